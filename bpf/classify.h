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
#include "bpf/take.h"
#include "bpf/trigger.h"

const volatile __u32 fl_action = 0;

/* The counters of FL_UNPARSED stand in one row, in the order of their constants. */
static __always_inline void fl_count_unparsed(struct fl_port_counters *port, __u32 reason, __u32 packets)
{
	__u64 *first = &port->not_ip;

	reason -= FL_NOT_IP;
	if (reason < FL_UNPARSED_END - FL_NOT_IP)
		first[reason] += packets;
}

/* What becomes of a packet of so many segments, for which fl_parse() gave this reason. */
static __always_inline void fl_classify_parsed(struct fl_context *ctx, struct fl_scratch *s,
					       struct fl_port_counters *port, __u32 segments, int reason)
{
	struct fl_packet *packet = &s->packet;
	__u32 masks, taken;

	if (reason == FL_LATER_FRAGMENT)
		reason = fl_fragment_find(packet);
	if (reason) {
		fl_count_unparsed(port, reason, segments);
		return;
	}
	if (fl_trigger_is(ctx, packet)) {
		fl_trigger_lift(ctx, packet, s, port, fl_port, segments);
		return;
	}
	masks = fl_masks_in_use();
	taken = fl_take(ctx, s, port, segments, FL_MASKS_ALL(masks));
	if (masks >> FL_MASKS_INSIDE_SHIFT && fl_tunnel_is(packet)) {
		reason = fl_look_inside(ctx, s, masks, segments);
		taken += s->taken_inside;
	}
	if (taken)
		port->taken_again += (taken - 1) * segments;
	else if (reason)
		fl_count_unparsed(port, reason, segments);
	else
		port->unmatched += segments;
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
	fl_classify_parsed(ctx, s, port, segments, reason);
	port->bytes += fl_wire_bytes(ctx, &s->packet, segments);
}

#endif
