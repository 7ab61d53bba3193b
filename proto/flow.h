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

/*
 * IPv4 addresses stand as ::ffff:a.b.c.d. ICMP and protocols without ports have both ports 0; of ESP sport is the
 * upper half of the SPI and dport the lower one, in either direction.
 */
struct fl_flow_key {
	__u8 src[16];
	__u8 dst[16];
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 where;  /* FL_KEY_INSIDE or 0; in the map also the index of the entry's mask, which source writes */
	__be16 vlan; /* 0: no entry asks for it */
};
FL_ASSERT_SIZE(struct fl_flow_key, 40);
FL_ASSERT_OFFSET(struct fl_flow_key, sport, 32);
FL_ASSERT_OFFSET(struct fl_flow_key, protocol, 36);

/*
 * Set in the key of a packet that stands inside a tunnel. A mask with this bit leaves such packets alone; one
 * without it takes them as well: the right to match them is a property of the entry, never of the packet.
 */
#define FL_KEY_INSIDE 0x01
#define FL_KEY_MASK_SHIFT 4 /* where the mask's index stands in `where` */

/*
 * The value of masks_in_use. 0 on an idle sensor, which looks nothing up. Tunnels are opened while any bit of
 * the second and third kind is set.
 */
#define FL_MASKS_ALL(bits) ((bits) & 0xff)	    /* bit i: masks[i] is looked up */
#define FL_MASKS_INSIDE(bits) ((bits) >> 8 & 0xff) /* bit i: also for what stands inside a tunnel */
#define FL_MASKS_INSIDE_SHIFT 8
#define FL_TRIGGERS_INSIDE (1U << 16) /* triggers are looked for inside tunnels */

enum fl_direction {
	FL_FORWARD = 0, /* from the grant's host A to its host B */
	FL_REVERSE = 1,
	FL_EITHER = 2, /* an entry of both: which one a packet has is told by FL_LIFT_ASCENDING */
};

/* The classifier honours the entry while bpf_ktime_get_ns() < deadline_ns; 0 is never honoured. */
struct fl_flow_value {
	__u64 deadline_ns; /* CLOCK_MONOTONIC */
	__u32 slot;	   /* index into the counters; names the entry in lifted records */
	__u16 snaplen;	   /* FL_SNAPLEN_HEADERS, or the most bytes to lift from the start of the frame, ... */
	__u8 direction;	   /* enum fl_direction */
	__u8 sample_bits;  /* 1 of 2^sample_bits packets is lifted (proto/digest.h); FL_SAMPLE_NONE: counted alone */
};
FL_ASSERT_SIZE(struct fl_flow_value, 16);
FL_ASSERT_OFFSET(struct fl_flow_value, slot, 8);

#define FL_SNAPLEN_HEADERS 0 /* to the end of the transport header with its options */
#define FL_SNAPLEN_MAX 512
/* Set beside a number of bytes where one run asks for them and another for the headers: the more of both. */
#define FL_SNAPLEN_AND_HEADERS 0x8000

/* Per CPU and slot. packets = lifted + sampled_out + dropped_ring + dropped_read. */
struct fl_flow_counters {
	__u64 packets; /* wire segments that matched while the deadline held */
	__u64 bytes;   /* their wire length, from the link header on, without FCS; of each segment its own */
	__u64 lifted;	    /* for this entry or for another that matched too */
	__u64 dropped_ring; /* header ring full */
	__u64 dropped_read; /* the packet's bytes could not be read */
	__u64 sampled_out;  /* on purpose: of no sample that was asked for, or only to be counted */
	__u64 sampled_out_bytes;
};
FL_ASSERT_SIZE(struct fl_flow_counters, 56);

/*
 * Why a packet is looked at no further: (constant, counter). Of the frame, or of what a tunnel carries while
 * tunnels are opened. docs/format/flow.md says what each means.
 */
#define FL_UNPARSED(X)                                                                            \
	X(FL_NOT_IP, not_ip)                                                                      \
	X(FL_LINK_TRUNCATED, link_truncated)	       /* ends inside its tags or labels */      \
	X(FL_TAGS_TOO_MANY, tags_too_many)	       /* more than the parser follows */        \
	X(FL_IP_TRUNCATED, ip_truncated)                                                          \
	X(FL_JUMBO_INVALID, jumbo_invalid)	       /* an IPv6 jumbogram without its length */ \
	X(FL_EXTENSIONS_TOO_MANY, extensions_too_many) /* more than the parser follows */         \
	X(FL_LATER_FRAGMENT, later_fragment)	       /* of no datagram whose first matched */   \
	X(FL_TRANSPORT_TRUNCATED, transport_truncated)                                            \
	X(FL_TUNNEL_INVALID, tunnel_invalid)	   /* its header is cut or of no known form */    \
	X(FL_TUNNEL_FRAGMENTED, tunnel_fragmented) /* a first fragment of a tunnel's packet */    \
	X(FL_TUNNELS_TOO_MANY, tunnels_too_many)   /* one inside the other */

/* Per CPU, where packets of a NAPI poll share one reading of the clock (CLOCK_TAI). */
struct fl_poll {
	__u64 began_ns;	  /* when its first packet was lifted; 0: none yet */
	__u64 longest_ns; /* from then to the end of a poll, so far */
};
FL_ASSERT_SIZE(struct fl_poll, 16);

#define FL_CONSTANT(constant, counter) constant,
#define FL_COUNTER(constant, counter) __u64 counter;
enum fl_unparsed { FL_PARSED = 0, FL_UNPARSED(FL_CONSTANT) FL_UNPARSED_END };

/*
 * Per CPU and port. packets + taken_again = unmatched + matched + triggers seen + each reason not to parse
 * (FL_UNPARSED). A trigger is consumed as a trigger and is never a match.
 */
struct fl_port_counters {
	__u64 packets;
	__u64 bytes;
	__u64 unmatched;
	__u64 matched; /* at least one live entry; = lifted + sampled_out + dropped_ring + dropped_read */
	__u64 lifted;
	__u64 dropped_ring;
	__u64 dropped_read;
	__u64 triggers;		      /* packets with the magic; = lifted ones + the three below */
	__u64 triggers_dropped_ring;  /* trigger ring full */
	__u64 triggers_bad_length;    /* shorter or longer than a trigger can be */
	__u64 triggers_fragmented;    /* magic in a first fragment */
	__u64 super_packets;	      /* buffers that are several wire segments each, which `packets` counts */
	__u64 sampled_out;
	__u64 taken_again;	      /* with a tunnel's packet, or with one further out: in matched or triggers once more */
	FL_UNPARSED(FL_COUNTER)	      /* in the order of enum fl_unparsed, from FL_NOT_IP on */
};
#undef FL_CONSTANT
#undef FL_COUNTER
FL_ASSERT_SIZE(struct fl_port_counters, 112 + 8 * (FL_UNPARSED_END - 1));
FL_ASSERT_OFFSET(struct fl_port_counters, not_ip, 112);

#endif
