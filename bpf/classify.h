/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The classifier: the way of the packet from the port to the rings, read from top to bottom.
 *
 * It runs for every packet of a port and neither loops without bound nor decides about traffic: what happens to
 * the packet afterwards is the port's action, the same for all. Counters are per CPU and written without
 * atomics: XDP and both tc hooks run with bottom halves off, so that none of them interrupts another.
 */
#ifndef FIELDLINE_BPF_CLASSIFY_H
#define FIELDLINE_BPF_CLASSIFY_H

#include "bpf/inside.h"
#include "bpf/lift.h"
#include "bpf/trigger.h"

/* One loaded instance per port; the maps are shared. */
const volatile __u16 fl_port = 0;
const volatile __u32 fl_action = 0;

/* The counters of FL_UNPARSED stand in one row, in the order of their constants. */
static __always_inline void fl_count_unparsed(struct fl_port_counters *port, __u32 reason, __u32 packets)
{
	__u64 *first = &port->not_ip;

	reason -= FL_NOT_IP;
	if (reason < FL_UNPARSED_END - FL_NOT_IP)
		first[reason] += packets;
}

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

/* What becomes of a packet of so many segments, for which fl_parse() gave this reason. */
static __always_inline void fl_classify_parsed(struct fl_context *ctx, struct fl_scratch *s,
					       struct fl_port_counters *port, __u32 index, __u32 segments, int reason)
{
	struct fl_packet *packet = &s->packet;
	enum fl_lift_result result;
	__u32 masks;

	if (reason == FL_LATER_FRAGMENT)
		reason = fl_fragment_find(packet);
	if (reason) {
		fl_count_unparsed(port, reason, segments);
		return;
	}
	if (fl_trigger_is(ctx, packet)) {
		fl_trigger_lift(ctx, packet, s, port, index, segments);
		return;
	}
	masks = fl_masks_in_use();
	fl_flow_match(&packet->key, packet->payload_at, s, FL_MASKS_ALL(masks));
	if (!s->lift.hits && masks >> FL_MASKS_INSIDE_SHIFT && fl_tunnel_is(packet)) {
		reason = fl_look_inside(ctx, s, masks);
		if (reason > 0) {
			fl_count_unparsed(port, reason, segments);
			return;
		}
		if (reason == FL_TRIGGER_INSIDE) {
			fl_trigger_lift(ctx, packet, s, port, index, segments);
			return;
		}
	}
	if (!s->lift.hits) {
		port->unmatched += segments;
		return;
	}
	if (packet->fragmented)
		fl_fragment_keep(packet);
	result = fl_lift_packet(ctx, packet, s, index, segments);
	fl_flow_count(&s->lift, segments, fl_wire_bytes(ctx, packet, segments), result);
	fl_count_matched(port, result, segments);
}

static __always_inline void fl_classify_packet(struct fl_context *ctx)
{
	__u32 index = fl_port, zero = 0, wire_len = fl_context_len(ctx), segments;
	struct fl_port_counters *port = bpf_map_lookup_elem(&port_counters, &index);
	struct fl_scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	int reason;

	if (!port || !s) /* never: both indices are inside their arrays */
		return;
	reason = fl_parse(ctx, &s->cursor, &s->packet, wire_len);
	segments = fl_context_segments(ctx, wire_len - s->packet.payload_at);
	port->packets += segments;
	port->super_packets += segments > 1;
	fl_classify_parsed(ctx, s, port, index, segments, reason);
	port->bytes += fl_wire_bytes(ctx, &s->packet, segments);
}

#endif
