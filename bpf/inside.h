/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a tunnel's packet carries is a packet of its own, whoever wants the tunnel's: a run of the underlay takes
 * nothing from those inside, neither their packets nor their triggers.
 */
#ifndef FIELDLINE_BPF_INSIDE_H
#define FIELDLINE_BPF_INSIDE_H

#include "bpf/parse_tunnel.h"
#include "bpf/take.h"
#include "bpf/trigger.h"

#define FL_TUNNELS_MAX 2 /* a mirror's (ERSPAN) around a network's own */

/*
 * From the outermost tunnel inwards, as far as they go: how many of the packets were taken, triggers too, is left in
 * s->taken_inside, the last packet read in s->packet. 0, or the reason why the next one cannot be read. A function
 * that the verifier takes by itself, so that other packets do not carry its length.
 */
__noinline int fl_look_inside(struct fl_context *ctx, struct fl_scratch *s, __u32 masks, __u32 segments)
{
	struct fl_port_counters *port;
	__u32 index = fl_port;
	int i, reason;

	port = bpf_map_lookup_elem(&port_counters, &index);
	if (!s || !port)
		return 0;
	s->taken_inside = 0;
#pragma unroll
	for (i = 0; i < FL_TUNNELS_MAX; i++) {
		if (!fl_tunnel_is(&s->packet))
			return 0;
		reason = fl_parse_inside(ctx, &s->cursor, &s->packet);
		if (reason == FL_LATER_FRAGMENT)
			reason = fl_fragment_find(&s->packet);
		if (reason)
			return reason;
		if (masks & FL_TRIGGERS_INSIDE && fl_trigger_is(ctx, &s->packet)) {
			fl_trigger_lift(ctx, &s->packet, s, port, fl_port, segments);
			s->taken_inside++;
			return 0;
		}
		s->taken_inside += fl_take(ctx, s, port, segments, FL_MASKS_INSIDE(masks));
	}
	return fl_tunnel_is(&s->packet) ? FL_TUNNELS_TOO_MANY : 0;
}

#endif
