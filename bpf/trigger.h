/* SPDX-License-Identifier: GPL-2.0 */
/* Triggers: recognised by their magic alone and handed to user space, which decides (proto/trigger.h). */
#ifndef FIELDLINE_BPF_TRIGGER_H
#define FIELDLINE_BPF_TRIGGER_H

#include "bpf/maps.h"
#include "bpf/parse.h"

/* The bytes that a trigger could fill, or 0 if this kind of packet carries none. */
static __always_inline __u32 fl_trigger_room(const struct fl_packet *p)
{
	if (p->later)
		return 0;
	switch (p->key.protocol) {
	case IPPROTO_UDP:
		return p->udp_len > sizeof(struct udphdr) ? p->udp_len - sizeof(struct udphdr) : 0;
	case IPPROTO_ICMP:
		if (p->icmp_type != FL_ICMP_ECHO_REQUEST && p->icmp_type != FL_ICMP_ECHO_REPLY)
			return 0;
		return p->ip_end - p->payload_at;
	case IPPROTO_ICMPV6:
		if (p->icmp_type != FL_ICMPV6_ECHO_REQUEST && p->icmp_type != FL_ICMPV6_ECHO_REPLY)
			return 0;
		return p->ip_end - p->payload_at;
	default:
		return 0;
	}
}

static __always_inline int fl_trigger_is(struct fl_context *ctx, const struct fl_packet *p)
{
	__u8 magic[FL_TRIGGER_MAGIC_LEN], differs = 0;
	int i;

	if (fl_trigger_room(p) < sizeof(magic) || p->payload_at + sizeof(magic) > p->ip_end)
		return 0;
	if (fl_load(ctx, p->payload_at, magic, sizeof(magic)))
		return 0;
#pragma unroll
	for (i = 0; i < FL_TRIGGER_MAGIC_LEN; i++)
		differs |= magic[i] ^ (__u8)FL_TRIGGER_MAGIC[i];
	return !differs;
}

/*
 * Onto the trigger ring with a wakeup: triggers are rare and the user waits. A UDP length that is not the
 * datagram's is a bad length; so are several datagrams in one super-packet, and an unreadable packet counts as one,
 * so that the sum holds.
 */
static __always_inline void fl_trigger_lift(struct fl_context *ctx, const struct fl_packet *p, struct fl_scratch *s,
					    struct fl_port_counters *port, __u16 port_index, __u32 segments)
{
	__u32 len = fl_trigger_room(p), over = len - FL_TRIGGER_MIN;

	port->triggers += segments;
	if (p->fragmented) {
		port->triggers_fragmented += segments;
		return;
	}
	/* Both bounds by one comparison, as in FL_LOAD_BOUNDED. */
	asm volatile("" : "+r"(over));
	if (segments > 1 || p->payload_at + len != p->ip_end || over > FL_TRIGGER_MAX - FL_TRIGGER_MIN ||
	    fl_context_load(ctx, p->payload_at, s->trigger_bytes, over + FL_TRIGGER_MIN)) {
		port->triggers_bad_length += segments;
		return;
	}
	s->trigger.timestamp_ns = bpf_ktime_get_tai_ns();
	s->trigger.outer = p->key;
	s->trigger.port = port_index;
	s->trigger.len = len;
	s->trigger.reserved = 0;
	if (bpf_ringbuf_output(&trigger_ring, &s->trigger, sizeof(s->trigger) + FL_TRIGGER_MIN + over, 0))
		port->triggers_dropped_ring++;
}

#endif
