/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tunnels: IP in IP, GRE (NVGRE, ERSPAN), VXLAN, GENEVE. Each opener reads the tunnel's header at the cursor and
 * returns the EtherType of what stands behind it, ETH_P_TEB for a whole Ethernet frame, or the negated reason.
 */
#ifndef FIELDLINE_BPF_PARSE_TUNNEL_H
#define FIELDLINE_BPF_PARSE_TUNNEL_H

#include "bpf/parse.h"

#define FL_VXLAN_PORT 4789
#define FL_GENEVE_PORT 6081
#define FL_ERSPAN_2 0x88be
#define FL_ERSPAN_3 0x22eb

struct fl_gre {
	__be16 flags;
	__be16 type;
};

#define FL_GRE_CHECKSUM 0x8000
#define FL_GRE_KEY 0x2000
#define FL_GRE_SEQUENCE 0x1000
#define FL_GRE_UNKNOWN 0x4fff /* routing, what RFC 2784 reserves, and any version but 0 */

struct fl_vxlan {
	__u8 flags;
	__u8 reserved[3];
	__be32 vni;
};

#define FL_VXLAN_VNI 0x08

struct fl_geneve {
	__u8 version_length; /* options in units of 4 bytes */
	__u8 flags;
	__be16 type;
	__be32 vni;
};

/* Does the packet carry another one? Told from its key alone: plain TCP pays one comparison. */
static __always_inline int fl_tunnel_is(const struct fl_packet *p)
{
	switch (p->key.protocol) {
	case IPPROTO_UDP:
		return p->key.dport == bpf_htons(FL_VXLAN_PORT) || p->key.dport == bpf_htons(FL_GENEVE_PORT);
	case IPPROTO_GRE:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return 1;
	default:
		return 0;
	}
}

static __always_inline int fl_open_vxlan(struct fl_context *ctx, struct fl_cursor *c)
{
	struct fl_vxlan vxlan;

	if (fl_read(ctx, c, &vxlan, sizeof(vxlan)) || !(vxlan.flags & FL_VXLAN_VNI))
		return -FL_TUNNEL_INVALID;
	c->at += sizeof(vxlan);
	return ETH_P_TEB;
}

static __always_inline int fl_open_geneve(struct fl_context *ctx, struct fl_cursor *c)
{
	struct fl_geneve geneve;

	if (fl_read(ctx, c, &geneve, sizeof(geneve)) || geneve.version_length >> 6)
		return -FL_TUNNEL_INVALID;
	c->at += sizeof(geneve) + 4 * (geneve.version_length & 0x3f);
	return c->at > c->end ? -FL_TUNNEL_INVALID : bpf_ntohs(geneve.type);
}

/*
 * ERSPAN's own header, behind GRE's: none without a sequence number (type I), 8 bytes in type II; in type III 12,
 * and 8 more if its last bit says so.
 */
static __always_inline int fl_open_erspan(struct fl_context *ctx, struct fl_cursor *c, __u16 type, int numbered)
{
	__be32 word[3];
	__u32 version = type == FL_ERSPAN_3 ? 2 : 1, size = type == FL_ERSPAN_3 ? 12 : 8;

	if (type == FL_ERSPAN_2 && !numbered)
		return ETH_P_TEB;
	if (c->at + size > c->end || fl_load(ctx, c->at, &word[0], sizeof(word[0])) ||
	    bpf_ntohl(word[0]) >> 28 != version)
		return -FL_TUNNEL_INVALID;
	if (type == FL_ERSPAN_3) {
		if (fl_load(ctx, c->at + 8, &word[2], sizeof(word[2])))
			return -FL_TUNNEL_INVALID;
		if (word[2] & bpf_htonl(1))
			size += 8;
	}
	c->at += size;
	return c->at > c->end ? -FL_TUNNEL_INVALID : ETH_P_TEB;
}

static __always_inline int fl_open_gre(struct fl_context *ctx, struct fl_cursor *c)
{
	__u16 flags, type;
	struct fl_gre gre;

	if (fl_read(ctx, c, &gre, sizeof(gre)))
		return -FL_TUNNEL_INVALID;
	flags = bpf_ntohs(gre.flags);
	type = bpf_ntohs(gre.type);
	if (flags & FL_GRE_UNKNOWN)
		return -FL_TUNNEL_INVALID;
	c->at += sizeof(gre) + (flags & FL_GRE_CHECKSUM ? 4 : 0) + (flags & FL_GRE_KEY ? 4 : 0) +
		 (flags & FL_GRE_SEQUENCE ? 4 : 0);
	if (c->at > c->end)
		return -FL_TUNNEL_INVALID;
	if (type == FL_ERSPAN_2 || type == FL_ERSPAN_3)
		return fl_open_erspan(ctx, c, type, flags & FL_GRE_SEQUENCE);
	return type;
}

static __always_inline int fl_open_tunnel(struct fl_context *ctx, struct fl_cursor *c, const struct fl_packet *p)
{
	c->at = p->payload_at;
	c->end = p->ip_end;
	switch (p->key.protocol) {
	case IPPROTO_IPIP:
		return ETH_P_IP;
	case IPPROTO_IPV6:
		return ETH_P_IPV6;
	case IPPROTO_GRE:
		return fl_open_gre(ctx, c);
	default:
		return p->key.dport == bpf_htons(FL_VXLAN_PORT) ? fl_open_vxlan(ctx, c) : fl_open_geneve(ctx, c);
	}
}

/*
 * Makes of a packet that fl_tunnel_is() the one that it carries: 0, or the reason why not. A fragment
 * holds no whole packet. A function that the verifier takes by itself.
 */
__noinline int fl_parse_inside(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	__u32 wire_len, depth;
	int type;

	if (!c || !p)
		return FL_TUNNEL_INVALID;
	if (p->fragmented || p->later)
		return FL_TUNNEL_FRAGMENTED;
	type = fl_open_tunnel(ctx, c, p);
	if (type == ETH_P_TEB)
		type = fl_parse_ethernet(ctx, c);
	if (type != ETH_P_IP && type != ETH_P_IPV6)
		type = fl_parse_link(ctx, c, type);
	if (type < 0)
		return -type;

	wire_len = p->wire_len;
	depth = p->depth;
	__builtin_memset(p, 0, sizeof(*p));
	p->wire_len = wire_len;
	p->depth = depth + 1;
	p->key.where = FL_KEY_INSIDE;
	return fl_parse_ip(ctx, c, p, type);
}

#endif
