/* SPDX-License-Identifier: GPL-2.0 */
/* IPv4 with options, IPv6 with its extension headers, jumbograms and fragments. */
#ifndef FIELDLINE_BPF_PARSE_IP_H
#define FIELDLINE_BPF_PARSE_IP_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "bpf/packet.h"

#define FL_EXTENSIONS_MAX 8 /* IPv6 extension headers that are followed */

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
	if (!total && c->end - c->at > 0xffff) /* a super-packet that 16 bits cannot tell (BIG TCP) */
		total = c->end - c->at;
	if (ip.version != 4 || header < sizeof(ip) || total < header || c->at + total > c->end)
		return -FL_IP_TRUNCATED;

	fl_map_v4(p->key.src, ip.saddr);
	fl_map_v4(p->key.dst, ip.daddr);
	p->ip_length = bpf_htonl(total);
	p->ip_id = bpf_htonl(bpf_ntohs(ip.id));
	p->fragment = ip.frag_off & bpf_htons(0x7fff);
	p->fragment_of = ip.protocol;
	p->later = !!(ip.frag_off & bpf_htons(0x1fff));
	p->fragmented = !p->later && (ip.frag_off & bpf_htons(0x2000));
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
			p->ip_id = ext.id;
			p->fragment = ext.offset;
			p->fragment_of = ext.next;
			c->at += sizeof(ext);
			if (ext.offset & bpf_htons(0xfff8)) {
				p->later = 1;
				return ext.next;
			}
			p->fragmented = !!(ext.offset & bpf_htons(1));
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

/* The head of a hop-by-hop header whose first option is the jumbo payload length (RFC 2675). */
struct fl_jumbo {
	__u8 next;
	__u8 length;
	__u8 option;
	__u8 option_length;
	__be32 payload;
};

#define FL_JUMBO_OPTION 0xc2

/*
 * The payload's length of a jumbogram, or 0. Its place as the first option is where Linux writes and looks for
 * it, and where its alignment (4n + 2) puts it unless padding is spent.
 */
static __always_inline __u32 fl_jumbo_length(struct fl_context *ctx, struct fl_cursor *c)
{
	struct fl_cursor behind = {.at = c->at + sizeof(struct ipv6hdr), .end = c->end};
	struct fl_jumbo jumbo;
	__u32 length;

	if (fl_read(ctx, &behind, &jumbo, sizeof(jumbo)) || jumbo.option != FL_JUMBO_OPTION ||
	    jumbo.option_length != sizeof(jumbo.payload))
		return 0;
	length = bpf_ntohl(jumbo.payload);
	return length > 0xffff ? length : 0;
}

static __always_inline int fl_parse_ipv6(struct fl_context *ctx, struct fl_cursor *c, struct fl_packet *p)
{
	struct ipv6hdr ip;
	__u32 payload;

	if (fl_read(ctx, c, &ip, sizeof(ip)) || ip.version != 6)
		return -FL_IP_TRUNCATED;
	payload = bpf_ntohs(ip.payload_len);
	if (!payload && ip.nexthdr == IPPROTO_HOPOPTS) {
		payload = fl_jumbo_length(ctx, c);
		if (!payload)
			return -FL_JUMBO_INVALID;
	}
	if (payload > c->end - c->at - sizeof(ip))
		return -FL_IP_TRUNCATED;

	__builtin_memcpy(p->key.src, &ip.saddr, sizeof(p->key.src));
	__builtin_memcpy(p->key.dst, &ip.daddr, sizeof(p->key.dst));
	p->ip_length = bpf_htonl(payload);
	c->at += sizeof(ip);
	c->end = c->at + payload;
	return fl_parse_extensions(ctx, c, p, ip.nexthdr);
}

#endif
