/* SPDX-License-Identifier: GPL-2.0 */
/* What a tunnel's packet carries, looked up where its own flow is nobody's. */
#ifndef FIELDLINE_BPF_INSIDE_H
#define FIELDLINE_BPF_INSIDE_H

#include "bpf/flow.h"
#include "bpf/fragment.h"
#include "bpf/parse_tunnel.h"
#include "bpf/trigger.h"

#define FL_TUNNELS_MAX 2 /* a mirror's (ERSPAN) around a network's own */

#define FL_TRIGGER_INSIDE (-1)

/*
 * From the outermost tunnel inwards until something matches: 0 with s->packet the last packet read and s->lift
 * its hits, FL_TRIGGER_INSIDE with s->packet a trigger, or the reason why the next packet cannot be read. A
 * function that the verifier takes by itself, so that other packets do not carry its length.
 */
__noinline int fl_look_inside(struct fl_context *ctx, struct fl_scratch *s, __u32 masks)
{
	int i, reason;

	if (!s)
		return 0;
#pragma unroll
	for (i = 0; i < FL_TUNNELS_MAX; i++) {
		if (!fl_tunnel_is(&s->packet))
			return 0;
		reason = fl_parse_inside(ctx, &s->cursor, &s->packet);
		if (reason == FL_LATER_FRAGMENT)
			reason = fl_fragment_find(&s->packet);
		if (reason)
			return reason;
		if (masks & FL_TRIGGERS_INSIDE && fl_trigger_is(ctx, &s->packet))
			return FL_TRIGGER_INSIDE;
		fl_flow_match(&s->packet.key, s->packet.payload_at, s, FL_MASKS_INSIDE(masks));
		if (s->lift.hits)
			return 0;
	}
	return fl_tunnel_is(&s->packet) ? FL_TUNNELS_TOO_MANY : 0;
}

#endif
