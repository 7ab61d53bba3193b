/* SPDX-License-Identifier: GPL-2.0 */
/* Transport headers: what tells one flow from another, and where the payload begins. */
#ifndef FIELDLINE_BPF_PARSE_TRANSPORT_H
#define FIELDLINE_BPF_PARSE_TRANSPORT_H

#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/packet.h"

/* <linux/icmp.h> and <linux/icmpv6.h> draw in libc's headers. ICMP and ICMPv6 begin alike. */
struct fl_icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

#define FL_ICMP_ECHO_REPLY 0
#define FL_ICMP_ECHO_REQUEST 8
#define FL_ICMPV6_ECHO_REQUEST 128
#define FL_ICMPV6_ECHO_REPLY 129

/* SCTP's common header; its checksum is a CRC over the whole packet. */
struct fl_sctp {
	__be16 source;
	__be16 dest;
	__be32 tag;
	__be32 checksum;
};

/* The halves of the SPI stand where ports do, so that a grant's port pair names an association. */
struct fl_esp {
	__be16 spi_high;
	__be16 spi_low;
	__be32 sequence;
};

static __always_inline int fl_parse_tcp(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	struct tcphdr tcp;
	__u32 header;

	if (fl_read(ctx, c, &tcp, sizeof(tcp)))
		return -FL_TRANSPORT_TRUNCATED;
	header = tcp.doff * 4;
	if (header < sizeof(tcp) || c->at + header > c->end)
		return -FL_TRANSPORT_TRUNCATED;
	p->key.sport = tcp.source;
	p->key.dport = tcp.dest;
	p->checksum = tcp.check;
	return header;
}

static __always_inline int fl_parse_udp(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	struct udphdr udp;

	if (fl_read(ctx, c, &udp, sizeof(udp)))
		return -FL_TRANSPORT_TRUNCATED;
	p->key.sport = udp.source;
	p->key.dport = udp.dest;
	p->checksum = udp.check;
	p->udp_len = bpf_ntohs(udp.len);
	return sizeof(udp);
}

static __always_inline int fl_parse_icmp(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	struct fl_icmp icmp;

	if (fl_read(ctx, c, &icmp, sizeof(icmp)))
		return -FL_TRANSPORT_TRUNCATED;
	p->icmp_type = icmp.type;
	p->checksum = icmp.checksum;
	return sizeof(icmp);
}

/* A header of `size` bytes of which nothing matters but that it begins with two ports. */
static __always_inline int fl_parse_ports(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p, __u32 size)
{
	__be16 ports[2];

	if (c->at + size > c->end || fl_load(ctx, c->at, ports, sizeof(ports)))
		return -FL_TRANSPORT_TRUNCATED;
	p->key.sport = ports[0];
	p->key.dport = ports[1];
	return size;
}

/* The length of the transport header; 0 for protocols that are matched by addresses alone. */
static __always_inline int fl_parse_transport(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	switch (p->key.protocol) {
	case IPPROTO_TCP:
		return fl_parse_tcp(ctx, c, p);
	case IPPROTO_UDP:
		return fl_parse_udp(ctx, c, p);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return fl_parse_icmp(ctx, c, p);
	case IPPROTO_SCTP:
		return fl_parse_ports(ctx, c, p, sizeof(struct fl_sctp));
	case IPPROTO_ESP:
		return fl_parse_ports(ctx, c, p, sizeof(struct fl_esp));
	case IPPROTO_UDPLITE:
		return fl_parse_ports(ctx, c, p, sizeof(struct udphdr));
	default:
		return 0;
	}
}

#endif
