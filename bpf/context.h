/* SPDX-License-Identifier: GPL-2.0 */
/* What a program reads its packet from: XDP's frame, or an skb in a source that defines FL_TC. */
#ifndef FIELDLINE_BPF_CONTEXT_H
#define FIELDLINE_BPF_CONTEXT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef FL_TC
#define fl_context __sk_buff
#define fl_context_load bpf_skb_load_bytes
#else
#define fl_context xdp_md
#define fl_context_load bpf_xdp_load_bytes
#endif

static __always_inline __u32 fl_context_len(struct fl_context *ctx)
{
#ifdef FL_TC
	return ctx->len;
#else
	return bpf_xdp_get_buff_len(ctx);
#endif
}

/* Bytes of a tag that an skb carries beside its data: the stack takes the outermost one off before tc is asked. */
static __always_inline __u32 fl_context_tag_len(struct fl_context *ctx)
{
#ifdef FL_TC
	return ctx->vlan_present ? 4 : 0;
#else
	return 0;
#endif
}

/* The receive queue, also of what is forwarded; 0 of what this machine sends itself. */
static __always_inline __u16 fl_context_queue(struct fl_context *ctx)
{
#ifdef FL_TC
	__u32 recorded = ctx->queue_mapping; /* the queue's number + 1 */

	return recorded ? recorded - 1 : 0;
#else
	return ctx->rx_queue_index;
#endif
}

/* What each segment of a super-packet carries, 0 for a wire segment: native XDP sees nothing else. */
#define FL_GSO_BY_FRAGS 0xffff /* SCTP's: each segment has a size of its own, and gso_segs says how many there are */

static __always_inline __u16 fl_context_gso_size(struct fl_context *ctx)
{
#ifdef FL_TC
	return ctx->gso_size == FL_GSO_BY_FRAGS ? 0 : ctx->gso_size;
#else
	return 0;
#endif
}

/*
 * How many segments the packet is on the wire, given the length of its payload. Those that come from a guest or a
 * packet socket do not say.
 */
static __always_inline __u16 fl_context_segments(struct fl_context *ctx, __u32 payload_len)
{
#ifdef FL_TC
	__u32 size = ctx->gso_size, segments = ctx->gso_segs;

	if (!size)
		return 1;
	if (!segments)
		segments = (payload_len + size - 1) / size;
	return segments ? segments : 1;
#else
	return 1;
#endif
}

#endif
