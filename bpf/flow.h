/* SPDX-License-Identifier: GPL-2.0 */
/* The look-up in the flow table: tuple-space search, one probe for each mask in use (proto/flow.h). */
#ifndef FIELDLINE_BPF_FLOW_H
#define FIELDLINE_BPF_FLOW_H

#include "bpf/maps.h"

#define FL_READ_ONCE(x) (*(const volatile typeof(x) *)&(x))

static __always_inline void fl_key_masked(struct fl_flow_key *to, const struct fl_flow_key *key,
					  const struct fl_flow_key *mask, __u32 index)
{
	const __u32 *k = (const __u32 *)key, *m = (const __u32 *)mask;
	__u32 *word = (__u32 *)to;
	int i;

#pragma unroll
	for (i = 0; i < (int)(sizeof(*to) / sizeof(*word)); i++)
		word[i] = k[i] & m[i];
	to->reserved = index;
}

/* The live entry's value, or NULL. *now_ns: the clock, read at the first hit only; 0 before. */
static __always_inline struct fl_flow_value *fl_flow_find(const struct fl_flow_key *key, __u32 index,
							  __u64 *now_ns, __u32 *slot)
{
	const struct fl_flow_key *mask = bpf_map_lookup_elem(&masks, &index);
	struct fl_flow_value *value;
	struct fl_flow_key masked;
	__u32 *found;

	if (!mask)
		return NULL;
	fl_key_masked(&masked, key, mask, index);
	found = bpf_map_lookup_elem(&flows, &masked);
	if (!found)
		return NULL;
	*slot = FL_READ_ONCE(*found);
	value = bpf_map_lookup_elem(&values, slot);
	if (!value)
		return NULL;
	if (!*now_ns)
		*now_ns = bpf_ktime_get_ns();
	return *now_ns < FL_READ_ONCE(value->deadline_ns) ? value : NULL;
}

/*
 * Every live entry that the packet matches: slots, number and direction go into s->lift, the largest number of
 * bytes that any of them asks for into s->wanted. header_end is what FL_SNAPLEN_HEADERS means for this packet.
 * The running numbers stand in memory for the verifier's sake, as in parse.h.
 */
static __always_inline void fl_flow_match(const struct fl_flow_key *key, __u32 header_end, struct fl_scratch *s)
{
	__u32 zero = 0, bits, index, slot, wanted, hits;
	__u32 *in_use = bpf_map_lookup_elem(&masks_in_use, &zero);
	struct fl_flow_value *value;
	__u64 now_ns = 0;

	bits = in_use ? FL_READ_ONCE(*in_use) : 0;
	s->lift.hits = 0;
	if (!bits)
		return;
	s->wanted = 0;
	__builtin_memset(s->lift.slots, 0, sizeof(s->lift.slots));
	for (index = 0; index < FL_MASKS_MAX; index++) {
		if (!(bits & (1U << index)))
			continue;
		value = fl_flow_find(key, index, &now_ns, &slot);
		hits = FL_READ_ONCE(s->lift.hits);
		if (!value || hits >= FL_MASKS_MAX)
			continue;
		wanted = FL_READ_ONCE(value->snaplen);
		if (wanted == FL_SNAPLEN_HEADERS)
			wanted = header_end;
		if (wanted > FL_READ_ONCE(s->wanted))
			s->wanted = wanted;
		if (!hits)
			s->lift.direction = value->direction;
		s->lift.slots[hits] = slot;
		s->lift.hits = hits + 1;
	}
}

enum fl_lift_result {
	FL_LIFTED,
	FL_DROPPED_RING,
	FL_DROPPED_READ,
};

static __always_inline void fl_flow_count(const struct fl_lift *lift, __u32 wire_len, enum fl_lift_result result)
{
	struct fl_flow_counters *counters;
	__u32 i, slot;

	for (i = 0; i < FL_MASKS_MAX; i++) {
		if (i >= lift->hits)
			break;
		slot = lift->slots[i];
		counters = bpf_map_lookup_elem(&flow_counters, &slot);
		if (!counters)
			continue;
		counters->packets++;
		counters->bytes += wire_len;
		if (result == FL_LIFTED)
			counters->lifted++;
		else if (result == FL_DROPPED_RING)
			counters->dropped_ring++;
		else
			counters->dropped_read++;
	}
}

#endif
