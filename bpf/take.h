/* SPDX-License-Identifier: GPL-2.0 */
/* A packet that somebody wants, as it came or inside a tunnel: looked up, lifted, counted. */
#ifndef FIELDLINE_BPF_TAKE_H
#define FIELDLINE_BPF_TAKE_H

#include "bpf/flow.h"
#include "bpf/fragment.h"
#include "bpf/lift.h"

/* One loaded instance per port; the maps are shared. */
const volatile __u16 fl_port = 0;
const volatile __u8 fl_time_per_poll = 0;

static __always_inline void fl_count_matched(struct fl_port_counters *port, enum fl_lift_result result, __u32 packets)
{
	port->matched += packets;
	if (result == FL_LIFTED)
		port->lifted += packets;
	else if (result == FL_SAMPLED_OUT)
		port->sampled_out += packets;
	else if (result == FL_DROPPED_RING)
		port->dropped_ring += packets;
	else
		port->dropped_read += packets;
}

/*
 * Each segment of a super-packet has headers of its own on the wire: those that were parsed. What could not be parsed
 * has none known.
 */
static __always_inline __u32 fl_wire_bytes(struct fl_context *ctx, const struct fl_packet *p, __u32 segments)
{
	return p->wire_len + (segments - 1) * p->payload_at + segments * fl_context_tag_len(ctx);
}

/*
 * s->packet, of so many segments, for the entries in s->lift. A function of its own: it serves every depth, and
 * nobody's packets pass by.
 */
__noinline int fl_take_matched(struct fl_context *ctx, struct fl_scratch *s, struct fl_port_counters *port,
			       __u32 segments)
{
	enum fl_lift_result result;

	if (!s || !port)
		return 0;
	if (s->packet.fragmented)
		fl_fragment_keep(&s->packet);
	result = fl_lift_packet(ctx, &s->packet, s, fl_port, segments, fl_time_per_poll);
	fl_flow_count(&s->lift, segments, fl_wire_bytes(ctx, &s->packet, segments), result);
	fl_count_matched(port, result, segments);
	return 0;
}

/* The same for the entries of the masks in `bits`. Whether any of them matched. */
static __always_inline int fl_take(struct fl_context *ctx, struct fl_scratch *s, struct fl_port_counters *port,
				   __u32 segments, __u32 bits)
{
	fl_flow_match(&s->packet.key, s->packet.payload_at, s, bits);
	if (!s->lift.hits)
		return 0;
	fl_take_matched(ctx, s, port, segments);
	return 1;
}

#endif
