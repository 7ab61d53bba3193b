/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Event frames: what a host recorded of a run's sockets. docs/format/event.md is the normative page.
 * Crosses: BPF ring buffer -> source (fl_event_lift, fl_event_counters); producer -> archive -> reader (the rest).
 *
 * The body of a frame is fl_event_head, in network byte order as all frames are, and then `count` records of
 * `record_size` bytes in little-endian: they are stored, mapped and compared as the host wrote them, and a host that
 * records 100,000 of them a second shall not turn each of their bytes round. Timestamps are UTC.
 */
#ifndef FIELDLINE_PROTO_EVENT_H
#define FIELDLINE_PROTO_EVENT_H

#include "proto/magnet.h"

enum fl_event_source {
	FL_EVENT_MODULE = 1,   /* struct magnet_record or magnet_record_ext, as record_size says, of the module's rings */
	FL_EVENT_EBPF = 2,     /* the same, of raw tracepoints */
	FL_EVENT_TCP_INFO = 3, /* struct fl_tcp_info: samples of the run's TCP sockets */
};

/* Events of one CPU stand in the order in which they happened; between CPUs nothing is promised. */
struct fl_event_head {
	__u8 source; /* enum fl_event_source */
	__u8 reserved;
	__be16 record_size;
	__be32 count;	  /* records, 1.. */
	__be16 cpu;	  /* of events; 0 for samples */
	__u8 reserved2[6];
	__u8 session[16]; /* of the host that recorded them: an answer holds several hosts' */
};
FL_ASSERT_SIZE(struct fl_event_head, 32);
FL_ASSERT_OFFSET(struct fl_event_head, session, 16);
FL_ASSERT_OFFSET(struct fl_event_head, record_size, 2);
FL_ASSERT_OFFSET(struct fl_event_head, cpu, 8);

/* What the kernel tells of one TCP socket at one moment. What this kernel does not tell is 0. */
struct fl_tcp_info {
	__u64 sockid;
	__u64 timestamp;     /* UTC, taken when the kernel's answer was read */
	__u64 bytes_acked;
	__u64 bytes_received;
	__u64 bytes_sent;    /* payload, retransmissions included */
	__u64 bytes_retrans;
	__u64 delivery_rate; /* bytes/s */
	__u64 pacing_rate;   /* bytes/s; all ones: not paced */
	__u64 busy_us;	     /* data was under way or waiting */
	__u64 rwnd_limited_us;
	__u64 sndbuf_limited_us;
	__u32 rtt_us, rttvar_us, min_rtt_us;
	__u32 cwnd, ssthresh; /* segments */
	__u32 snd_wnd;	      /* bytes */
	__u32 unacked, lost, retrans, total_retrans; /* segments */
	__u32 notsent;	      /* bytes */
	__u32 mss;
	__u16 local_port, peer_port;
	__u8 state; /* as <netinet/tcp.h>: 1 established ... */
	__u8 ca_state;
	__u8 family;
	__u8 reserved;
};
FL_ASSERT_SIZE(struct fl_tcp_info, 144);
FL_ASSERT_OFFSET(struct fl_tcp_info, bytes_acked, 16);
FL_ASSERT_OFFSET(struct fl_tcp_info, rtt_us, 88);
FL_ASSERT_OFFSET(struct fl_tcp_info, local_port, 136);

/*
 * Which two hosts a packet was between, in 8 bytes: IPv4 addresses as they are, in host byte order, this host's above;
 * of IPv6 a hash. Never 0 for an address pair that a packet can have. Addresses as in fl_flow_key.
 */
static inline __attribute__((__always_inline__)) __u64 fl_event_tag(const __u8 *local, const __u8 *peer)
{
	__u64 tag = 0xcbf29ce484222325ULL;
	__u32 words[8], i;

	__builtin_memcpy(words, local, 16);
	__builtin_memcpy(words + 4, peer, 16);
	/* ::ffff:a.b.c.d, little-endian as all our machines are */
	if (!words[0] && !words[1] && words[2] == 0xffff0000U)
		return (__u64)__builtin_bswap32(words[3]) << 32 | __builtin_bswap32(words[7]);
	for (i = 0; i < 8; i++)
		tag = (tag ^ words[i]) * 0x100000001b3ULL;
	return tag ^ tag >> 32 ? tag ^ tag >> 32 : 1;
}

/*
 * One record of the BPF event ring. Timestamps are CLOCK_TAI there, and the last 8 bytes of magnet_ext_packet, which are 0
 * wherever else such a record stands, hold fl_event_tag(): no record without a cookie is then given to another's run.
 */
struct fl_event_lift {
	__u32 cpu;
	__u32 reserved;
	struct magnet_record_ext record;
};
FL_ASSERT_SIZE(struct fl_event_lift, 72);

/* Per CPU. Events of wanted flows = recorded + lost (+ what the programs missed, which the kernel counts). */
struct fl_event_counters {
	__u64 recorded; /* MAGNET_LOST records not counted */
	__u64 lost;
	__u64 pending;	/* of lost: not told yet by a MAGNET_LOST record */
	__u64 first_ns; /* when the first of pending was lost */
};
FL_ASSERT_SIZE(struct fl_event_counters, 32);

#endif
