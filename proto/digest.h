/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The digest joins one packet across vantage points without carrying payload. It is a 64-bit SipHash over
 * what no router changes; TTL, DSCP, ECN and checksums are left out.
 *
 *   fl_digest(input)          SipHash-1-3 under a fixed key: what the classifier computes once per packet
 *   fl_digest_of_run(run, d)  SipHash-2-4 of that under the run id: what a header record carries, so that the
 *                             same packet has unrelated digests in two runs
 *
 * Two steps, because a packet is lifted once for every run that contains it. SipHash: Aumasson and Bernstein,
 * 2012. Bytes are read as little-endian words, as SipHash does.
 *
 * Sampling is hash-based selection (RFC 5475, 6.2) on fl_digest(): 1 of 2^bits packets is kept, those whose digest
 * begins with `bits` zero bits. So all sensors keep the same packets, whatever run asks and whatever its key, and
 * what is kept of fewer is among what is kept of more. A fixed hash lets whoever writes packets choose which of
 * them are seen; a keyed one would tell each run its own packets, and one lift could not serve them all.
 */
#ifndef FIELDLINE_PROTO_DIGEST_H
#define FIELDLINE_PROTO_DIGEST_H

#include "proto/check.h"

#define FL_DIGEST_TRANSPORT 64 /* a TCP header with options has at most 60 bytes */
#define FL_DIGEST_PAYLOAD 32
#define FL_DIGEST_WORDS 18

struct fl_digest_input {
	__u8 src[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 dst[16];
	__be32 ip_length;   /* IPv4 total length, IPv6 payload length, as in the header */
	__be32 ip_id;	    /* IPv4 identification or that of an IPv6 fragment header, else 0 */
	__be16 fragment;    /* IPv4 flags and offset without the reserved bit, IPv6 offset field, else 0 */
	__u8 protocol;
	__u8 transport_len; /* bytes used in transport[] */
	__u8 payload_len;   /* bytes used in payload[] */
	__u8 reserved[3];
	__u8 transport[FL_DIGEST_TRANSPORT]; /* header with options, checksum field zero, rest zero */
	__u8 payload[FL_DIGEST_PAYLOAD];     /* the first bytes behind it, rest zero */
};
FL_ASSERT_SIZE(struct fl_digest_input, FL_DIGEST_WORDS * 8);
FL_ASSERT_OFFSET(struct fl_digest_input, transport, 48);

typedef __u64 __attribute__((may_alias)) fl_digest_word;

#define FL_SAMPLE_BITS_MAX 31
#define FL_SAMPLE_NONE 255 /* bits of what is only counted: no packet is kept */

#define FL_SIP_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define FL_SIP_ROUND(v0, v1, v2, v3)                                                                \
	do {                                                                                        \
		v0 += v1; v1 = FL_SIP_ROTL(v1, 13); v1 ^= v0; v0 = FL_SIP_ROTL(v0, 32);             \
		v2 += v3; v3 = FL_SIP_ROTL(v3, 16); v3 ^= v2;                                       \
		v0 += v3; v3 = FL_SIP_ROTL(v3, 21); v3 ^= v0;                                       \
		v2 += v1; v1 = FL_SIP_ROTL(v1, 17); v1 ^= v2; v2 = FL_SIP_ROTL(v2, 32);             \
	} while (0)

static inline __attribute__((always_inline)) __u64 fl_digest(const struct fl_digest_input *in)
{
	const fl_digest_word *word = (const fl_digest_word *)in;
	__u64 k0 = 0x66696c646c696e65ULL, k1 = 0x6469676573740001ULL; /* fixed: "fildline", "digest", version 1 */
	__u64 v0 = k0 ^ 0x736f6d6570736575ULL, v1 = k1 ^ 0x646f72616e646f6dULL;
	__u64 v2 = k0 ^ 0x6c7967656e657261ULL, v3 = k1 ^ 0x7465646279746573ULL;
	const __u64 last = (__u64)(FL_DIGEST_WORDS * 8) << 56;
	int i;

	for (i = 0; i < FL_DIGEST_WORDS; i++) {
		v3 ^= word[i];
		FL_SIP_ROUND(v0, v1, v2, v3);
		v0 ^= word[i];
	}
	v3 ^= last;
	FL_SIP_ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

static inline __attribute__((always_inline)) int fl_sample_keeps(__u64 digest, __u32 bits)
{
	return bits <= FL_SAMPLE_BITS_MAX && !(digest >> 32 >> (32 - bits));
}

/* The most bits with which this packet is kept. */
static inline __attribute__((always_inline)) __u32 fl_sample_rank(__u64 digest)
{
	__u32 rank = 0;

	while (rank < FL_SAMPLE_BITS_MAX && fl_sample_keeps(digest, rank + 1))
		rank++;
	return rank;
}

/* run: the 16 bytes of the run id, the SipHash key. */
static inline __attribute__((always_inline)) __u64 fl_digest_of_run(const __u8 *run, __u64 digest)
{
	__u64 k0 = 0, k1 = 0, v0, v1, v2, v3;
	const __u64 last = (__u64)8 << 56;
	int i;

	for (i = 0; i < 8; i++) {
		k0 |= (__u64)run[i] << (8 * i);
		k1 |= (__u64)run[i + 8] << (8 * i);
	}
	v0 = k0 ^ 0x736f6d6570736575ULL;
	v1 = k1 ^ 0x646f72616e646f6dULL;
	v2 = k0 ^ 0x6c7967656e657261ULL;
	v3 = k1 ^ 0x7465646279746573ULL;
	v3 ^= digest;
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	v0 ^= digest;
	v3 ^= last;
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	FL_SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

#endif
