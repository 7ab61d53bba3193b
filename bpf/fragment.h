/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Later fragments of activated flows. They carry no ports, so that the first fragment's are kept under what all
 * fragments of a datagram share. What is kept is the flow key and not what it matched: rights and deadlines are
 * asked for again with each fragment, and a slot may belong to another flow by then.
 *
 * A first fragment is kept only if it matched, because writing costs more than all the rest of the way. A later
 * fragment that arrives before its first is not found.
 */
#ifndef FIELDLINE_BPF_FRAGMENT_H
#define FIELDLINE_BPF_FRAGMENT_H

#include "bpf/packet.h"

#define FL_DATAGRAMS_MAX 8192

/*
 * Fragments of one datagram follow each other within a path's jitter, while 16 bits of IPv4 identification are
 * used up within a second at 1 Gbit/s (RFC 4963): an old first fragment would lend its ports to strangers.
 */
#define FL_DATAGRAM_AGE_NS 1000000000ULL

struct fl_datagram {
	__u8 src[16];
	__u8 dst[16];
	__be32 id;
	__u8 protocol; /* fl_packet.fragment_of */
	__u8 reserved[3];
};

struct fl_datagram_first {
	__u64 seen_ns; /* CLOCK_MONOTONIC */
	__be16 sport;
	__be16 dport;
	__u8 protocol; /* behind all extension headers */
	__u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FL_DATAGRAMS_MAX);
	__type(key, struct fl_datagram);
	__type(value, struct fl_datagram_first);
} datagrams SEC(".maps");

/* When the last first fragment was kept, by any port: until then, and an age later, nobody looks for one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} datagrams_at SEC(".maps");

static __always_inline void fl_datagram_of(const struct fl_packet *p, struct fl_datagram *key)
{
	__builtin_memcpy(key->src, p->key.src, sizeof(key->src));
	__builtin_memcpy(key->dst, p->key.dst, sizeof(key->dst));
	key->id = p->ip_id;
	key->protocol = p->fragment_of;
	__builtin_memset(key->reserved, 0, sizeof(key->reserved));
}

/* Of a first fragment that matched. A function of its own: whole packets pass by. */
__noinline int fl_fragment_keep(struct fl_packet *p)
{
	struct fl_datagram_first first = {};
	struct fl_datagram key;
	__u32 zero = 0;
	__u64 *at = bpf_map_lookup_elem(&datagrams_at, &zero);

	if (!p || !at)
		return 0;
	fl_datagram_of(p, &key);
	first.seen_ns = bpf_ktime_get_ns();
	first.sport = p->key.sport;
	first.dport = p->key.dport;
	first.protocol = p->key.protocol;
	*at = first.seen_ns;
	bpf_map_update_elem(&datagrams, &key, &first, BPF_ANY);
	return 0;
}

/* Completes a later fragment's key. 0, or FL_LATER_FRAGMENT. */
__noinline int fl_fragment_find(struct fl_packet *p)
{
	const struct fl_datagram_first *first;
	struct fl_datagram key;
	__u32 zero = 0;
	__u64 now_ns, *at = bpf_map_lookup_elem(&datagrams_at, &zero);

	if (!p || !at || !*at)
		return FL_LATER_FRAGMENT;
	now_ns = bpf_ktime_get_ns();
	if (now_ns > *at + FL_DATAGRAM_AGE_NS)
		return FL_LATER_FRAGMENT;
	fl_datagram_of(p, &key);
	first = bpf_map_lookup_elem(&datagrams, &key);
	if (!first || now_ns > first->seen_ns + FL_DATAGRAM_AGE_NS)
		return FL_LATER_FRAGMENT;
	p->key.sport = first->sport;
	p->key.dport = first->dport;
	p->key.protocol = first->protocol;
	return 0;
}

#endif
