/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The flow table: how user space tells the classifier which packets are wanted, and what it counts.
 * Crosses: user space -> BPF maps -> classifier. Host byte order unless a member is __be.
 *
 * Tuple-space search (Srinivasan, Suri, Varghese, SIGCOMM 1999): for each distinct mask in use, the packet's
 * key AND mask is looked up in one hash. A packet may match one entry per mask. Both directions of a flow are
 * two entries.
 */
#ifndef FIELDLINE_PROTO_FLOW_H
#define FIELDLINE_PROTO_FLOW_H

#include "proto/check.h"

#define FL_MASKS_MAX 8      /* distinct masks in use at a time; also the most entries one packet can match */
#define FL_PORTS_MAX 64     /* ports of one sensor */
#define FL_FLOWS_DEFAULT 65536 /* flows; each is two entries */

/* IPv4 addresses stand as ::ffff:a.b.c.d. ICMP and protocols without ports have both ports 0. */
struct fl_flow_key {
	__u8 src[16];
	__u8 dst[16];
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 reserved; /* 0; inside the map the index of the entry's mask, which source writes */
	__be16 vlan; /* 0: untagged or not asked for */
};
FL_ASSERT_SIZE(struct fl_flow_key, 40);
FL_ASSERT_OFFSET(struct fl_flow_key, sport, 32);
FL_ASSERT_OFFSET(struct fl_flow_key, protocol, 36);

enum fl_direction {
	FL_FORWARD = 0, /* from the grant's host A to its host B */
	FL_REVERSE = 1,
};

/* The classifier honours the entry while bpf_ktime_get_ns() < deadline_ns; 0 is never honoured. */
struct fl_flow_value {
	__u64 deadline_ns; /* CLOCK_MONOTONIC */
	__u32 slot;	   /* index into the counters; names the entry in lifted records */
	__u16 snaplen;	   /* FL_SNAPLEN_HEADERS, or the most bytes to lift from the start of the frame */
	__u8 direction;	   /* enum fl_direction */
	__u8 reserved;
};
FL_ASSERT_SIZE(struct fl_flow_value, 16);
FL_ASSERT_OFFSET(struct fl_flow_value, slot, 8);

#define FL_SNAPLEN_HEADERS 0 /* to the end of the transport header with its options */
#define FL_SNAPLEN_MAX 512

/* Per CPU and slot. packets = lifted + dropped_ring + dropped_read. */
struct fl_flow_counters {
	__u64 packets; /* wire segments that matched while the deadline held */
	__u64 bytes;   /* their wire length, from the link header on, without FCS */
	__u64 lifted;
	__u64 dropped_ring; /* header ring full */
	__u64 dropped_read; /* the packet's bytes could not be read */
};
FL_ASSERT_SIZE(struct fl_flow_counters, 40);

/*
 * Per CPU and port. packets = unmatched + matched + triggers seen + each reason not to parse
 * (not_ip .. transport_truncated). A trigger is consumed as a trigger and is never a match.
 */
struct fl_port_counters {
	__u64 packets;
	__u64 bytes;
	__u64 unmatched;
	__u64 matched; /* packets that matched at least one live entry; = lifted + dropped_ring + dropped_read */
	__u64 lifted;
	__u64 dropped_ring;
	__u64 dropped_read;
	__u64 not_ip;
	__u64 ip_truncated;
	__u64 extensions_too_many; /* more IPv6 extension headers than the parser follows */
	__u64 later_fragment;	   /* no transport header to look at */
	__u64 transport_truncated;
	__u64 triggers;		      /* packets with the magic; = lifted ones + the three below */
	__u64 triggers_dropped_ring;  /* trigger ring full */
	__u64 triggers_bad_length;    /* shorter or longer than a trigger can be */
	__u64 triggers_fragmented;    /* magic in a first fragment */
};
FL_ASSERT_SIZE(struct fl_port_counters, 128);

#endif
