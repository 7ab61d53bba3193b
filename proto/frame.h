/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Stream frames: what producers, archives and readers say to each other over TLS 1.3. Network byte order.
 * docs/format/frame.md is the normative page. Unknown types are skipped and counted.
 *
 * Durable frames (FL_FRAME_IS_DURABLE) begin with fl_item_head: the session numbers its items from 1, and an
 * archive acknowledges the highest number that is on its disk. A frame of n header records is n items; any
 * other durable frame is one.
 */
#ifndef FIELDLINE_PROTO_FRAME_H
#define FIELDLINE_PROTO_FRAME_H

#include "proto/check.h"

#define FL_STREAM_VERSION 1
#define FL_STREAM_PORT 8621
#define FL_FRAME_MAX (1 << 20) /* payload bytes; longer ends the connection */
#define FL_QUERY_NAMESPACE "query@fieldline"
#define FL_QUERY_EXPORTER "EXPORTER-fieldline-query" /* TLS exporter label; 32 bytes, no context */

enum fl_frame_type {
	FL_FRAME_HELLO = 1,	       /* JSON, both ways, first */
	FL_FRAME_HEADER_RECORDS = 2,   /* durable, binary: fl_header_record[] */
	FL_FRAME_EVENT_RECORDS = 3,    /* durable, binary: fl_event_head and its records (proto/event.h) */
	FL_FRAME_PORT_TOTALS = 4,      /* durable, binary: fl_totals_head and its periods */
	FL_FRAME_ACTIVATION = 5,       /* durable, JSON: started, renewed with new limits, ended, refused */
	FL_FRAME_FINAL_COUNTS = 6,     /* durable, JSON: what each vantage point saw and lost, after the drain */
	FL_FRAME_CLOCK_QUALITY = 7,    /* durable, JSON */
	FL_FRAME_CONFIGURATION = 8,    /* durable, JSON: vantage points of the session */
	FL_FRAME_STATUS = 9,	       /* JSON: counters of a producer; only the newest is kept */
	FL_FRAME_ACK = 10,	       /* archive -> producer: fl_ack */
	FL_FRAME_AUTH = 11,	       /* reader -> archive, JSON: SSHSIG over the TLS exporter */
	FL_FRAME_REQUEST = 12,	       /* reader -> archive, JSON */
	FL_FRAME_DATA = 13,	       /* archive -> reader: bytes of a pcapng file */
	FL_FRAME_END = 14,	       /* archive -> reader, JSON: the answer is complete; its result */
	FL_FRAME_ERROR = 15,	       /* JSON: code, text, what to do; the connection may close after it */
	FL_FRAME_APPLICATION_EVENT = 16, /* durable, binary: fl_application_event (proto/application.h) */
};

enum fl_frame_encoding {
	FL_ENCODING_BINARY = 0,
	FL_ENCODING_JSON = 1,
};

#define FL_FRAME_IS_DURABLE(type)                                                      \
	(((type) >= FL_FRAME_HEADER_RECORDS && (type) <= FL_FRAME_CONFIGURATION) || \
	 (type) == FL_FRAME_APPLICATION_EVENT)

struct fl_frame_header {
	__u8 type;
	__u8 encoding;
	__be16 flags; /* 0 */
	__be32 length; /* of what follows */
};
FL_ASSERT_SIZE(struct fl_frame_header, 8);
FL_ASSERT_OFFSET(struct fl_frame_header, length, 4);

struct fl_item_head {
	__be64 sequence; /* of the first item */
	__u8 run[16];	 /* zero: of no run */
	__be32 count;	 /* items, 1.. */
	__u8 reserved[4];
};
FL_ASSERT_SIZE(struct fl_item_head, 32);
FL_ASSERT_OFFSET(struct fl_item_head, count, 24);

enum fl_record_flags {
	FL_RECORD_REVERSE = 1 << 0,	     /* from host B to host A */
	FL_RECORD_CHECKSUM_PARTIAL = 1 << 1, /* as in fl_lift_flags */
	FL_RECORD_TRUNCATED = 1 << 2,
	FL_RECORD_DEPTH = 3 << 3, /* how many tunnels stand around the packet of the flow */
	FL_RECORD_RANK = 31 << 11, /* fl_sample_rank(): 1 of 2^rank packets is a sample that still has this one */
};
#define FL_RECORD_RANK_SHIFT 11

#define FL_RECORD_DEPTH_SHIFT 3

/* One header record; followed by cap_len bytes, no padding. */
struct fl_header_record {
	__be64 timestamp_ns; /* UTC since the epoch */
	__be64 digest;	     /* fl_digest_of_run() */
	__be32 wire_len;
	__be16 cap_len;
	__be16 port;
	__be16 queue;
	__be16 flags; /* enum fl_record_flags */
	__be16 gso_size;
	__be16 gso_segs;
};
FL_ASSERT_SIZE(struct fl_header_record, 32);
FL_ASSERT_OFFSET(struct fl_header_record, wire_len, 16);
FL_ASSERT_OFFSET(struct fl_header_record, flags, 26);

/*
 * Body of FL_FRAME_PORT_TOTALS, whose item is of no run: what each port carried, period after period. The head, the
 * ports' numbers (be16) with zeros up to a multiple of 8, then for each period an fl_totals_period and one
 * fl_port_total for each port in the order of the numbers.
 */
#define FL_TOTALS_VERSION 1

struct fl_totals_head {
	__be16 version;
	__be16 ports;	/* 1 .. FL_PORTS_MAX */
	__be32 periods; /* 1 .. */
	__u8 session[16]; /* an answer mixes the reports of several */
};
FL_ASSERT_SIZE(struct fl_totals_head, 24);
FL_ASSERT_OFFSET(struct fl_totals_head, periods, 4);

struct fl_totals_period {
	__be64 begin_ns;  /* UTC since the epoch */
	__be64 length_ns; /* by CLOCK_MONOTONIC; not 0 */
};
FL_ASSERT_SIZE(struct fl_totals_period, 16);
FL_ASSERT_OFFSET(struct fl_totals_period, length_ns, 8);

struct fl_port_total {
	__be64 packets; /* as fl_port_counters has them */
	__be64 bytes;
};
FL_ASSERT_SIZE(struct fl_port_total, 16);
FL_ASSERT_OFFSET(struct fl_port_total, bytes, 8);

struct fl_ack {
	__be64 sequence; /* every item up to this one is on disk */
};
FL_ASSERT_SIZE(struct fl_ack, 8);

#endif
