/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is read of a packet, and how its bytes are reached.
 *
 * A driver may leave any part of a frame, even all of it, in fragments. What is not in the linear part is
 * therefore read by fl_context_load(), which would cost 30 ns a header if it were used for all.
 */
#ifndef FIELDLINE_BPF_PACKET_H
#define FIELDLINE_BPF_PACKET_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/context.h"
#include "proto/flow.h"

/*
 * Cursor and packet live in a map value: what the verifier loads from there is an unknown number, so that all
 * ways through the headers end in one state. On the stack it follows each way to the end (more than a million
 * instructions).
 */
struct fl_cursor {
	__u32 at;  /* from the start of the frame */
	__u32 end; /* of the frame, then of the IP datagram: link padding is not payload */
};

struct fl_packet {
	struct fl_flow_key key;
	__u32 wire_len;
	__u32 transport_at; /* where the transport header begins, or the payload if the protocol has none for us */
	__u32 transport_len;
	__u32 payload_at;
	__u32 ip_end;
	__be32 ip_length;
	__be32 ip_id;
	__be16 fragment;
	__be16 checksum; /* of the transport */
	__u16 udp_len;
	__u8 icmp_type;
	__u8 fragmented;  /* a first fragment of several */
	__u8 later;	  /* a later one */
	__u8 fragment_of; /* the protocol as the header that fragments names it, the same in all fragments */
	__u8 depth;	  /* how many tunnels were opened to reach it */
	__u8 reserved;
};

#define FL_LINEAR_MAX 0x7fff /* within what the verifier lets a packet pointer move */

/* Bytes of the frame at any offset; the caller has checked them against the frame's end. */
static __always_inline int fl_load(struct fl_context *ctx, __u32 at, void *to, __u32 size)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (at <= FL_LINEAR_MAX && data + at + size <= data_end) {
		__builtin_memcpy(to, data + at, size);
		return 0;
	}
	return fl_context_load(ctx, at, to, size) ? -1 : 0;
}

static __always_inline int fl_read(struct fl_context *ctx, const struct fl_cursor *c, void *to, __u32 size)
{
	return c->at + size > c->end ? -1 : fl_load(ctx, c->at, to, size);
}

#endif
