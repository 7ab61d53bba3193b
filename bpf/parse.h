/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cursor parsers: each reads one header at the cursor, checks it against the frame and the datagram, advances
 * and returns the next type, or the negated reason why there is none.
 *
 * A driver may leave any part of a frame, even all of it, in fragments. What is not in the linear part is
 * therefore read by fl_context_load(), which would cost 30 ns a header if it were used for all.
 */
#ifndef FIELDLINE_BPF_PARSE_H
#define FIELDLINE_BPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/context.h"
#include "proto/flow.h"

#define FL_EXTENSIONS_MAX 8 /* IPv6 extension headers that are followed */

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

enum fl_unparsed {
	FL_NOT_IP = 1,
	FL_IP_TRUNCATED,
	FL_EXTENSIONS_TOO_MANY,
	FL_LATER_FRAGMENT,
	FL_TRANSPORT_TRUNCATED,
};

/*
 * Cursor and packet live in a map value: what the verifier loads from there is an unknown number, so that all
 * ways through the extension headers end in one state. On the stack it follows each way to the end (more than
 * a million instructions).
 */
struct fl_cursor {
	__u32 at;  /* from the start of the frame */
	__u32 end; /* of the frame, then of the IP datagram: link padding is not payload */
};

struct fl_packet {
	struct fl_flow_key key;
	__u32 wire_len;
	__u32 transport_at; /* where the transport header begins, or the payload if the protocol has none for us */
	__u32 transport_len;
	__u32 payload_at;
	__u32 ip_end;
	__be32 ip_length;
	__be32 ip_id;
	__be16 fragment;
	__be16 checksum; /* of the transport */
	__u16 udp_len;
	__u8 icmp_type;
	__u8 fragmented; /* a first fragment of several */
};

#define FL_LINEAR_MAX 0x7fff /* within what the verifier lets a packet pointer move */

/* Bytes of the frame at any offset; the caller has checked them against the frame's end. */
static __always_inline int fl_load(struct fl_context *ctx, __u32 at, void *to, __u32 size)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (at <= FL_LINEAR_MAX && data + at + size <= data_end) {
		__builtin_memcpy(to, data + at, size);
		return 0;
	}
	return fl_context_load(ctx, at, to, size) ? -1 : 0;
}

static __always_inline int fl_read(struct fl_context *ctx, const struct fl_cursor *c, void *to, __u32 size)
{
	return c->at + size > c->end ? -1 : fl_load(ctx, c->at, to, size);
}

static __always_inline int fl_parse_ethernet(struct fl_context *ctx, struct fl_cursor *c)
{
	struct ethhdr eth;

	if (fl_read(ctx, c, &eth, sizeof(eth)))
		return -FL_NOT_IP;
	c->at += sizeof(eth);
	return bpf_ntohs(eth.h_proto);
}

static __always_inline void fl_map_v4(__u8 *to, __be32 address)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = address;
}

static __always_inline int fl_parse_ipv4(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	__u32 header, total;
	struct iphdr ip;

	if (fl_read(ctx, c, &ip, sizeof(ip)))
		return -FL_IP_TRUNCATED;
	header = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || header < sizeof(ip) || total < header || c->at + total > c->end)
		return -FL_IP_TRUNCATED;
	if (ip.frag_off & bpf_htons(0x1fff))
		return -FL_LATER_FRAGMENT;

	fl_map_v4(p->key.src, ip.saddr);
	fl_map_v4(p->key.dst, ip.daddr);
	p->ip_length = bpf_htonl(total);
	p->ip_id = bpf_htonl(bpf_ntohs(ip.id));
	p->fragment = ip.frag_off & bpf_htons(0x7fff);
	p->fragmented = !!(ip.frag_off & bpf_htons(0x2000));
	c->end = c->at + total;
	c->at += header;
	return ip.protocol;
}

struct fl_extension {
	__u8 next;
	__u8 length;
	__be16 offset; /* of a fragment header */
	__be32 id;     /* of a fragment header */
};

static __always_inline int fl_is_extension(int type)
{
	return type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_DSTOPTS ||
	       type == IPPROTO_FRAGMENT || type == IPPROTO_AH;
}

static __always_inline int fl_parse_extensions(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p, int type)
{
	struct fl_extension ext;
	int i;

	/* Unrolled: clang enters the loop in its middle, which Linux 6.1 refuses as a back-edge. */
#pragma unroll
	for (i = 0; i < FL_EXTENSIONS_MAX; i++) {
		if (!fl_is_extension(type))
			return type;
		if (fl_read(ctx, c, &ext, sizeof(ext)))
			return -FL_IP_TRUNCATED;
		if (type == IPPROTO_FRAGMENT) {
			if (ext.offset & bpf_htons(0xfff8))
				return -FL_LATER_FRAGMENT;
			p->ip_id = ext.id;
			p->fragment = ext.offset;
			p->fragmented = !!(ext.offset & bpf_htons(1));
			c->at += sizeof(ext);
		} else if (type == IPPROTO_AH) {
			c->at += (ext.length + 2) * 4;
		} else {
			c->at += (ext.length + 1) * 8;
		}
		if (c->at > c->end)
			return -FL_IP_TRUNCATED;
		type = ext.next;
	}
	return fl_is_extension(type) ? -FL_EXTENSIONS_TOO_MANY : type;
}

static __always_inline int fl_parse_ipv6(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	struct ipv6hdr ip;
	__u32 total;

	if (fl_read(ctx, c, &ip, sizeof(ip)))
		return -FL_IP_TRUNCATED;
	total = sizeof(ip) + bpf_ntohs(ip.payload_len);
	if (ip.version != 6 || c->at + total > c->end)
		return -FL_IP_TRUNCATED;

	__builtin_memcpy(p->key.src, &ip.saddr, sizeof(p->key.src));
	__builtin_memcpy(p->key.dst, &ip.daddr, sizeof(p->key.dst));
	p->ip_length = bpf_htonl(bpf_ntohs(ip.payload_len));
	c->end = c->at + total;
	c->at += sizeof(ip);
	return fl_parse_extensions(ctx, c, p, ip.nexthdr);
}

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
	default:
		return 0;
	}
}

/* 0, or the reason why the packet is not looked at further. */
static __always_inline int fl_parse(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p, __u32 wire_len)
{
	int next;

	__builtin_memset(p, 0, sizeof(*p));
	p->wire_len = wire_len;
	c->at = 0;
	c->end = wire_len;
	next = fl_parse_ethernet(ctx, c);
	if (next == ETH_P_IP)
		next = fl_parse_ipv4(ctx, c, p);
	else if (next == ETH_P_IPV6)
		next = fl_parse_ipv6(ctx, c, p);
	else
		return FL_NOT_IP;
	if (next < 0)
		return -next;

	p->key.protocol = next;
	p->transport_at = c->at;
	p->ip_end = c->end;
	next = fl_parse_transport(ctx, c, p);
	if (next < 0)
		return -next;
	p->transport_len = next;
	p->payload_at = c->at + next;
	return 0;
}

#endif
