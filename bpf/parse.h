/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cursor parsers: each reads one header at the cursor, checks it against the frame and the datagram, advances
 * and returns the next type, or the negated reason why there is none.
 */
#ifndef FIELDLINE_BPF_PARSE_H
#define FIELDLINE_BPF_PARSE_H

#include "bpf/parse_ip.h"
#include "bpf/parse_link.h"
#include "bpf/parse_transport.h"

/*
 * From an IP header on (type: which). 0, or the reason why the packet is not looked at further. Of a later
 * fragment all but the ports is known; bpf/fragment.h may know those of its first.
 */
static __always_inline int fl_parse_ip(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p, int type)
{
	int next = type == ETH_P_IP ? fl_parse_ipv4(ctx, c, p) : fl_parse_ipv6(ctx, c, p);

	if (next < 0)
		return -next;
	p->key.protocol = next;
	p->transport_at = c->at;
	p->payload_at = c->at;
	p->ip_end = c->end;
	if (p->later)
		return FL_LATER_FRAGMENT;
	next = fl_parse_transport(ctx, c, p);
	if (next < 0)
		return -next;
	p->transport_len = next;
	p->payload_at = c->at + next;
	return 0;
}

/* 0, or the reason why the packet is not looked at further. */
static __always_inline int fl_parse(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p, __u32 wire_len)
{
	int type;

	__builtin_memset(p, 0, sizeof(*p));
	p->wire_len = wire_len;
	c->at = 0;
	c->end = wire_len;
	type = fl_parse_ethernet(ctx, c);
	if (type != ETH_P_IP && type != ETH_P_IPV6) {
		type = fl_parse_link(ctx, c, type);
		if (type < 0)
			return -type;
	}
	return fl_parse_ip(ctx, c, p, type);
}

#endif
