// SPDX-License-Identifier: GPL-2.0
/*
 * The classifier: the way of the packet from the port to the rings, read from top to bottom.
 *
 * It runs for every packet of a port and neither loops without bound nor decides about traffic: what happens to
 * the packet afterwards is the port's action, the same for all. Counters are per CPU and written without
 * atomics, because XDP does not nest on one CPU.
 */
#include "bpf/inside.h"
#include "bpf/lift.h"
#include "bpf/trigger.h"

/* One loaded instance per port; the maps are shared. */
const volatile __u16 fl_port = 0;
const volatile __u32 fl_action = XDP_DROP; /* a tap's packets are copies: consumed after use */

/* The counters of FL_UNPARSED stand in one row, in the order of their constants. */
static __always_inline void fl_count_unparsed(struct fl_port_counters *port, __u32 reason)
{
	__u64 *first = &port->not_ip;

	reason -= FL_NOT_IP;
	if (reason < FL_UNPARSED_END - FL_NOT_IP)
		first[reason]++;
}

static __always_inline void fl_count_matched(struct fl_port_counters *port, enum fl_lift_result result)
{
	port->matched++;
	if (result == FL_LIFTED)
		port->lifted++;
	else if (result == FL_DROPPED_RING)
		port->dropped_ring++;
	else
		port->dropped_read++;
}

SEC("xdp.frags")
int fl_classify(struct xdp_md *ctx)
{
	__u32 index = fl_port, zero = 0, wire_len = bpf_xdp_get_buff_len(ctx);
	struct fl_port_counters *port = bpf_map_lookup_elem(&port_counters, &index);
	struct fl_scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	enum fl_lift_result result;
	struct fl_packet *packet;
	__u32 masks;
	int reason;

	if (!port || !s) /* never: both indices are inside their arrays */
		return fl_action;
	port->packets++;
	port->bytes += wire_len;

	packet = &s->packet;
	reason = fl_parse(ctx, &s->cursor, packet, wire_len);
	if (reason == FL_LATER_FRAGMENT)
		reason = fl_fragment_find(packet);
	if (reason) {
		fl_count_unparsed(port, reason);
		return fl_action;
	}
	if (fl_trigger_is(ctx, packet)) {
		fl_trigger_lift(ctx, packet, s, port, index);
		return fl_action;
	}
	masks = fl_masks_in_use();
	fl_flow_match(&packet->key, packet->payload_at, s, FL_MASKS_ALL(masks));
	if (!s->lift.hits && masks >> FL_MASKS_INSIDE_SHIFT && fl_tunnel_is(packet)) {
		reason = fl_look_inside(ctx, s, masks);
		if (reason > 0) {
			fl_count_unparsed(port, reason);
			return fl_action;
		}
		if (reason == FL_TRIGGER_INSIDE) {
			fl_trigger_lift(ctx, packet, s, port, index);
			return fl_action;
		}
	}
	if (!s->lift.hits) {
		port->unmatched++;
		return fl_action;
	}
	if (packet->fragmented)
		fl_fragment_keep(packet);
	result = fl_lift_packet(ctx, packet, s, index);
	fl_flow_count(&s->lift, wire_len, result);
	fl_count_matched(port, result);
	return fl_action;
}

char LICENSE[] SEC("license") = "GPL";
