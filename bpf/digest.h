/* SPDX-License-Identifier: GPL-2.0 */
/* The digest of a packet (proto/digest.h), and whether its transport checksum is final. */
#ifndef FIELDLINE_BPF_DIGEST_H
#define FIELDLINE_BPF_DIGEST_H

#include "bpf/maps.h"
#include "bpf/parse.h"

/*
 * Loads len bytes, 0..max. Counted from one less, because Linux 6.1 learns no lower bound from `len != 0`; the
 * barrier keeps clang from undoing that.
 */
#define FL_LOAD_BOUNDED(ctx, at, to, len, max)                                             \
	({                                                                                 \
		__u32 less_ = (len) - 1;                                                   \
		asm volatile("" : "+r"(less_));                                            \
		less_ < (max) ? fl_context_load(ctx, at, to, less_ + 1) : less_ + 1 != 0;    \
	})

static __always_inline void fl_digest_clear_checksum(struct fl_digest_input *in)
{
	__u32 at;

	switch (in->protocol) {
	case IPPROTO_TCP:
		at = __builtin_offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		at = __builtin_offsetof(struct udphdr, check);
		break;
	case IPPROTO_SCTP: /* four bytes */
		at = __builtin_offsetof(struct fl_sctp, checksum) + 2;
		in->transport[at - 2] = 0;
		in->transport[at - 1] = 0;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		at = __builtin_offsetof(struct fl_icmp, checksum);
		break;
	default:
		return;
	}
	in->transport[at] = 0;
	in->transport[at + 1] = 0;
}

/* 0, or -1 if the packet's bytes could not be read. `in` is scratch. */
static __always_inline int fl_digest_packet(struct fl_context *ctx, const struct fl_packet *p,
					    struct fl_digest_input *in, __u64 *digest)
{
	__u32 payload_len = p->ip_end - p->payload_at;

	if (payload_len > FL_DIGEST_PAYLOAD)
		payload_len = FL_DIGEST_PAYLOAD;
	__builtin_memset(in, 0, sizeof(*in));
	__builtin_memcpy(in->src, p->key.src, sizeof(in->src));
	__builtin_memcpy(in->dst, p->key.dst, sizeof(in->dst));
	in->ip_length = p->ip_length;
	in->ip_id = p->ip_id;
	in->fragment = p->fragment;
	in->protocol = p->key.protocol;
	in->transport_len = p->transport_len;
	in->payload_len = payload_len;
	if (FL_LOAD_BOUNDED(ctx, p->transport_at, in->transport, p->transport_len, FL_DIGEST_TRANSPORT))
		return -1;
	if (FL_LOAD_BOUNDED(ctx, p->payload_at, in->payload, payload_len, FL_DIGEST_PAYLOAD))
		return -1;
	fl_digest_clear_checksum(in);
	*digest = fl_digest(in);
	return 0;
}

/*
 * A program is not told whether a checksum is still to be filled in, but for a super-packet, whose checksum always
 * is. What stands in the field until then is the sum over the pseudo-header, so compare with that; a final checksum
 * looks like it once in 65,536 packets.
 * ::ffff:a.b.c.d adds 0xffff to the sum of a.b.c.d, which in ones' complement is nothing.
 */
static __always_inline int fl_checksum_is_partial(const struct fl_packet *p)
{
	const __u32 *word = (const __u32 *)p->key.src; /* and dst behind it */
	__u64 sum = bpf_htons(p->key.protocol) + (__u64)bpf_htonl(p->ip_end - p->transport_at);
	int i;

	if (p->key.protocol != IPPROTO_TCP && p->key.protocol != IPPROTO_UDP)
		return 0;
#pragma unroll
	for (i = 0; i < 8; i++)
		sum += word[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == p->checksum;
}

#endif
