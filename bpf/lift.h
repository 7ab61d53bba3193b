/* SPDX-License-Identifier: GPL-2.0 */
/* One matched packet onto the header ring (proto/lift.h). */
#ifndef FIELDLINE_BPF_LIFT_H
#define FIELDLINE_BPF_LIFT_H

#include "bpf/clock.h"
#include "bpf/digest.h"
#include "bpf/flow.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

/* The frame's first cap_len bytes behind the record; the bytes that pad it to 8 are zero. */
static __always_inline int fl_lift_frame(struct fl_context *ctx, struct fl_scratch *s, __u32 cap_len)
{
	__u32 last = (cap_len - 1) & (FL_SNAPLEN_MAX - 8);

	*(__u64 *)&s->frame[last] = 0;
	return FL_LOAD_BOUNDED(ctx, 0, s->frame, cap_len, FL_SNAPLEN_MAX) ? -1 : 0;
}

/* A flow's two directions always differ here, but for a packet from an address and port to themselves. */
static __always_inline int fl_is_ascending(const struct fl_flow_key *key)
{
	const __be32 *src = (const __be32 *)key->src, *dst = (const __be32 *)key->dst;
	int i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		if (src[i] != dst[i])
			return bpf_ntohl(src[i]) < bpf_ntohl(dst[i]);
	}
	return bpf_ntohs(key->sport) < bpf_ntohs(key->dport);
}

/* s->lift has its hits already, s->wanted and s->sample_bits what they ask for. */
static __always_inline enum fl_lift_result fl_lift_packet(struct fl_context *ctx, const struct fl_packet *p,
							  struct fl_scratch *s, __u16 port_index, __u16 segments,
							  int time_per_poll)
{
	struct fl_lift *lift = &s->lift;
	__u32 cap_len = s->wanted, size;

	if (cap_len > p->wire_len)
		cap_len = p->wire_len;
	if (cap_len > FL_SNAPLEN_MAX)
		cap_len = FL_SNAPLEN_MAX;
	if (s->sample_bits == FL_SAMPLE_NONE)
		return FL_SAMPLED_OUT;
	lift->timestamp_ns = fl_packet_time(time_per_poll);
	if (fl_digest_packet(ctx, p, &s->digest, &lift->digest))
		return FL_DROPPED_READ;
	if (!fl_sample_keeps(lift->digest, s->sample_bits))
		return FL_SAMPLED_OUT;
	if (fl_lift_frame(ctx, s, cap_len))
		return FL_DROPPED_READ;
	lift->wire_len = p->wire_len + fl_context_tag_len(ctx);
	lift->cap_len = cap_len;
	lift->port = port_index;
	lift->queue = fl_context_queue(ctx);
	lift->flags = (segments > 1 || fl_checksum_is_partial(p) ? FL_LIFT_CHECKSUM_PARTIAL : 0) |
		      (cap_len < p->payload_at ? FL_LIFT_TRUNCATED : 0) |
		      (fl_is_ascending(&p->key) ? FL_LIFT_ASCENDING : 0) |
		      (fl_tunnel_is(p) ? FL_LIFT_TUNNEL : 0);
	lift->header_len = p->payload_at < 0xffff ? p->payload_at : 0xffff;
	lift->depth = p->depth;
	lift->tag_len = fl_context_tag_len(ctx);
	lift->gso_size = segments > 1 ? fl_context_gso_size(ctx) : 0;
	lift->gso_segs = segments > 1 ? segments : 0;

	size = (cap_len + 7) & ~7U;
	asm volatile("" : "+r"(size));
	if (size > FL_SNAPLEN_MAX)
		return FL_DROPPED_READ;
	/* The reader polls on a timer: a wakeup per packet would cost more than the rest of the way. */
	return bpf_ringbuf_output(&header_ring, lift, sizeof(*lift) + size, BPF_RB_NO_WAKEUP) ? FL_DROPPED_RING :
												FL_LIFTED;
}

#endif
