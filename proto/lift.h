/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the classifier hands to user space: one record per lifted packet (header ring) or trigger (trigger ring).
 * Crosses: BPF ring buffers -> source. Host byte order unless a member is __be.
 */
#ifndef FIELDLINE_PROTO_LIFT_H
#define FIELDLINE_PROTO_LIFT_H

#include "proto/flow.h"

enum fl_lift_flags {
	FL_LIFT_CHECKSUM_PARTIAL = 1 << 0, /* transport checksum not final (offloaded): never joins by it */
	FL_LIFT_TRUNCATED = 1 << 1,	   /* snaplen cut inside the headers */
	FL_LIFT_ASCENDING = 1 << 2,	   /* from the lower address and port to the higher, as unsigned numbers */
	FL_LIFT_TUNNEL = 1 << 3,	   /* carries another packet, whose bytes begin behind header_len */
};

/* Followed by cap_len bytes of the frame from its link header on, padded to 8. */
struct fl_lift {
	__u64 timestamp_ns; /* CLOCK_TAI */
	__u64 digest;	    /* fl_digest(): not yet keyed by a run */
	__u32 wire_len;	    /* without FCS; of a super-packet as it is, with one set of headers */
	__u16 cap_len;
	__u16 port; /* index of the port among the sensor's */
	__u16 queue;
	__u16 flags;	/* enum fl_lift_flags */
	__u8 direction; /* of the first slot */
	__u8 hits;	/* how many of slots[] are valid, 1.. */
	__u16 gso_size;	  /* payload of each segment of a super-packet; 0: a wire segment */
	__u16 gso_segs;	  /* how many segments a super-packet is on the wire */
	__u16 header_len; /* from the start of the frame to the end of the transport header: each segment has its own */
	__u8 depth;	  /* how many tunnels stand around what matched */
	__u8 tag_len;	  /* of a VLAN tag that was on the wire and is not in the frame's bytes: in wire_len, not in header_len */
	__u8 reserved[2];
	__u32 slots[FL_MASKS_MAX]; /* every entry that matched, in the order of the masks */
};
FL_ASSERT_SIZE(struct fl_lift, 72);
FL_ASSERT_OFFSET(struct fl_lift, wire_len, 16);
FL_ASSERT_OFFSET(struct fl_lift, direction, 28);
FL_ASSERT_OFFSET(struct fl_lift, header_len, 34);
FL_ASSERT_OFFSET(struct fl_lift, slots, 40);

/* Followed by len bytes: the trigger as it stood behind the UDP or ICMP header. */
struct fl_trigger_lift {
	__u64 timestamp_ns;	  /* CLOCK_TAI */
	struct fl_flow_key outer; /* of the packet that carried it; ports 0 for ICMP */
	__u16 port;
	__u16 len;
	__u32 reserved;
};
FL_ASSERT_SIZE(struct fl_trigger_lift, 56);

#endif
