/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * MAGNeT's records and its character device: what the module and readers of its rings share.
 * Crosses: kernel memory mapped by a reader, trace files, event frames. Little-endian on disk and on the wire,
 * host byte order in the ring (the same on every machine that Fieldline runs on). docs/format/magnet.md is the
 * normative page.
 *
 * /dev/magnetN is the ring of CPU N: an array of `slots` records of `record_size` bytes, mapped shared and
 * writable from offset 0. A slot is free when its timestamp is zero. Slot 0 is not part of the ring: at each open
 * it is written afresh with MAGNET_SYSINFO. The ring runs through slots 1 .. slots-1. The kernel fills a free slot
 * and stores the timestamp last (release); the reader loads the timestamp first (acquire), copies the record, and
 * stores zero into the timestamp (release), in the order of the slots. The kernel never overwrites: what finds no
 * free slot is counted, and the first slot that is free again gets MAGNET_LOST with that count.
 */
#ifndef FIELDLINE_PROTO_MAGNET_H
#define FIELDLINE_PROTO_MAGNET_H

#include "proto/check.h"

#define MAGNET_ABI 1

/* Layers: bits of the module's `layers`; the high byte of an event's code is the layer's number. */
enum magnet_layer {
	MAGNET_LAYER_SOCK = 1,
	MAGNET_LAYER_TCP = 2,
	MAGNET_LAYER_UDP = 3,
	MAGNET_LAYER_IP = 4,
	MAGNET_LAYER_DEV = 5,
};

/* Numbers are never used again. */
enum magnet_event {
	MAGNET_SYSINFO = 0x0001, /* size: cycle counter in kHz */
	MAGNET_LOST = 0x0002,	 /* size: records that found no free slot since the last record before this one */

	MAGNET_SOCK_OPEN = 0x0101,  /* the socket's addresses became known: established, or connect() of UDP; size 0 */
	MAGNET_SOCK_CLOSE = 0x0102, /* size 0 */
	MAGNET_SOCK_SEND = 0x0103,  /* size: what the call returned: bytes taken, or -errno */
	MAGNET_SOCK_RECV = 0x0104,

	MAGNET_TCP_SEND = 0x0201,    /* size: payload bytes handed to IP; retransmissions and pure ACKs included */
	MAGNET_TCP_RECV = 0x0202,    /* size: payload bytes that reached the socket */
	MAGNET_TCP_RETRANS = 0x0203, /* size: payload bytes sent again; see docs/format/magnet.md */

	MAGNET_UDP_SEND = 0x0301, /* size: payload bytes */
	MAGNET_UDP_RECV = 0x0302,

	MAGNET_IP_SEND = 0x0401, /* size: bytes from the IP header on; a super-packet is one record */
	MAGNET_IP_RECV = 0x0402,
	MAGNET_IP6_SEND = 0x0403,
	MAGNET_IP6_RECV = 0x0404,

	MAGNET_DEV_SEND = 0x0501, /* size: bytes of the frame */
	MAGNET_DEV_RECV = 0x0502,

	/* magnet_add() of other modules takes codes from here on; the kernel's own are refused there. */
	MAGNET_EVENT_OTHERS = 0x8000,
	MAGNET_EVENT_MAX = 0xffff,
};

/* The paper's record; the whole of it with ext=0. */
struct magnet_record {
	__u64 sockid;	 /* socket cookie, as `ss -e` and SO_COOKIE show it; 0: no socket known at this point */
	__u64 timestamp; /* cycle counter, never 0; in an event frame ns since the epoch (UTC) */
	__u32 event;	 /* enum magnet_event */
	__s32 size;
};
FL_ASSERT_SIZE(struct magnet_record, 24);
FL_ASSERT_OFFSET(struct magnet_record, timestamp, 8);
FL_ASSERT_OFFSET(struct magnet_record, size, 20);

/* Ports are host byte order numbers. Unknown members are 0. */
struct magnet_ext_sysinfo {
	__u64 cycles;	 /* one clock pair, taken together: ... */
	__u64 tai_ns;	 /* ... CLOCK_TAI when the counter stood at `cycles` */
	__u64 realtime_ns;
	__u32 error_ns;	 /* the pair is known to plus or minus this */
	__u16 cpu;
	__u16 abi;	 /* MAGNET_ABI */
	__u32 slots;
	__u16 record_size;
	__u16 layers;	 /* bit (1 << (layer - 1)) */
};

struct magnet_ext_lost {
	__u64 first;	/* timestamp of the first that was lost */
	__u64 reserved[4];
};

struct magnet_ext_open {
	__u8 local[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 peer[16];
	__u16 local_port, peer_port;
	__u8 family;	/* AF_INET or AF_INET6 */
	__u8 protocol;	/* IPPROTO_ */
	__u8 passive;	/* 1: accepted */
	__u8 reserved;
};

struct magnet_ext_sock {
	__u32 pid; /* thread group: what ps shows */
	__u32 uid; /* in the initial user namespace */
	__u32 seq; /* TCP after a send: the sequence behind the last byte written; after a receive: behind the last read */
	__u32 wqueue; /* TCP: bytes written and not yet acknowledged; else memory charged to the send buffer */
	__u32 rqueue; /* TCP: bytes received and not yet read; else memory charged to the receive buffer */
	__u32 sndbuf, rcvbuf;
	__u16 local_port, peer_port;
	__u8 family, protocol;
	__u8 reserved[6];
};

struct magnet_ext_tcp {
	__u16 local_port, peer_port;
	__u32 seq;	 /* of this segment, as on the wire */
	__u32 ack;	 /* as on the wire */
	__u32 cwnd;	 /* segments */
	__u32 ssthresh;	 /* segments; 0x7fffffff: not set */
	__u32 srtt_us;
	__u32 snd_wnd;	 /* bytes */
	__u32 in_flight; /* bytes: snd_nxt - snd_una */
	__u32 wqueue;	 /* bytes: write_seq - snd_nxt, written and never sent */
	__u8 flags;	 /* of the TCP header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16 */
	__u8 ca_state;	 /* 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss */
	__u16 gso_segs;	 /* 0: one segment */
};

/* UDP, IP and device layers: what joins a record to a packet. */
struct magnet_ext_packet {
	__u16 local_port, peer_port; /* this host's and the other's; 0 where the transport has none or is fragmented away */
	__u32 seq, ack;		     /* TCP, as on the wire */
	__u32 payload;		     /* bytes behind the transport header; all segments of a super-packet together */
	__u32 ifindex;
	__u16 ip_id;		     /* IPv4 identification */
	__u16 fragment;		     /* IPv4 flags and offset as on the wire, host byte order */
	__u16 gso_size, gso_segs;
	__u8 family, protocol;
	__u8 flags;		     /* TCP */
	__u8 reserved[9];
};

union magnet_ext {
	struct magnet_ext_sysinfo sysinfo;
	struct magnet_ext_lost lost;
	struct magnet_ext_open open; /* the only one with addresses */
	struct magnet_ext_sock sock;
	struct magnet_ext_tcp tcp;
	struct magnet_ext_packet packet;
	__u8 bytes[40]; /* others' events */
};
FL_ASSERT_SIZE(union magnet_ext, 40);
FL_ASSERT_SIZE(struct magnet_ext_sysinfo, 40);
FL_ASSERT_SIZE(struct magnet_ext_open, 40);
FL_ASSERT_SIZE(struct magnet_ext_sock, 40);
FL_ASSERT_SIZE(struct magnet_ext_tcp, 40);
FL_ASSERT_SIZE(struct magnet_ext_packet, 40);

/* With ext=1. */
struct magnet_record_ext {
	struct magnet_record head;
	union magnet_ext ext;
};
FL_ASSERT_SIZE(struct magnet_record_ext, 64);

/* Answer of the device's only ioctl; a fresh clock pair each time. */
struct magnet_info {
	__u32 abi;	   /* MAGNET_ABI */
	__u32 record_size; /* 24 or 64 */
	__u32 slots;	   /* slot 0 included */
	__u32 cpu;
	__u64 bytes;	   /* to be mapped: whole pages */
	__u32 next_slot;   /* where the kernel writes next: the oldest unread record is the first at or behind it */
	__u32 cycles_khz;
	__u64 cycles;
	__u64 tai_ns;
	__u64 realtime_ns;
	__u32 error_ns;
	__u32 layers;
	__u64 recorded;	   /* of this ring since load, as in /proc/net/magnet */
	__u64 lost;
};
FL_ASSERT_SIZE(struct magnet_info, 80);
FL_ASSERT_OFFSET(struct magnet_info, cycles, 32);

#define MAGNET_IOC_INFO 0x80504d01 /* _IOR('M', 1, struct magnet_info) */

#endif
