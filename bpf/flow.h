/* SPDX-License-Identifier: GPL-2.0 */
/* What a packet's look-up in the flow table (bpf/flow_find.h) means for its lifting and for the counters. */
#ifndef FIELDLINE_BPF_FLOW_H
#define FIELDLINE_BPF_FLOW_H

#include "bpf/maps.h"

static __always_inline __u32 fl_masks_in_use(void)
{
	__u32 zero = 0, *in_use = bpf_map_lookup_elem(&masks_in_use, &zero);

	return in_use ? FL_READ_ONCE(*in_use) : 0;
}

/*
 * Every live entry of the masks in `bits` that the packet matches: slots, number and direction go into s->lift,
 * the most that any of them asks for into s->wanted (bytes) and s->sample_bits. header_end is what
 * FL_SNAPLEN_HEADERS means here.
 * The running numbers stand in memory for the verifier's sake, as in parse.h.
 */
static __always_inline void fl_flow_match(const struct fl_flow_key *key, __u32 header_end, struct fl_scratch *s,
					  __u32 bits)
{
	__u32 index, slot, snaplen, wanted, hits;
	struct fl_flow_value *value;
	__u64 now_ns = 0;

	s->lift.hits = 0;
	if (!bits)
		return;
	s->wanted = 0;
	s->sample_bits = FL_SAMPLE_NONE;
	__builtin_memset(s->lift.slots, 0, sizeof(s->lift.slots));
	for (index = 0; index < FL_MASKS_MAX; index++) {
		if (!(bits & (1U << index)))
			continue;
		value = fl_flow_find(key, index, &now_ns, &slot);
		hits = FL_READ_ONCE(s->lift.hits);
		if (!value || hits >= FL_MASKS_MAX)
			continue;
		snaplen = FL_READ_ONCE(value->snaplen);
		wanted = snaplen & ~FL_SNAPLEN_AND_HEADERS;
		if ((snaplen == FL_SNAPLEN_HEADERS || snaplen != wanted) && wanted < header_end)
			wanted = header_end;
		if (wanted > FL_READ_ONCE(s->wanted))
			s->wanted = wanted;
		if (value->sample_bits < FL_READ_ONCE(s->sample_bits))
			s->sample_bits = value->sample_bits;
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
	FL_SAMPLED_OUT,
};

/*
 * A packet that was dropped is a drop of those entries alone that wanted it. (One that was lifted counts as lifted
 * for all of them: user space cuts, and counts what it cuts.) Without its bytes there is no digest to ask.
 */
static __always_inline int fl_flow_wanted(__u32 slot, __u64 digest, enum fl_lift_result result)
{
	struct fl_flow_value *value = bpf_map_lookup_elem(&values, &slot);
	__u32 bits = value ? FL_READ_ONCE(value->sample_bits) : 0;

	return result == FL_DROPPED_RING ? fl_sample_keeps(digest, bits) : bits != FL_SAMPLE_NONE;
}

/* packets: as many segments as the lifted one is on the wire, of that many bytes together. */
static __always_inline void fl_flow_count(const struct fl_lift *lift, __u32 packets, __u32 bytes,
					   enum fl_lift_result result)
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
		counters->packets += packets;
		counters->bytes += bytes;
		if (result == FL_LIFTED) {
			counters->lifted += packets;
		} else if (result == FL_SAMPLED_OUT || !fl_flow_wanted(slot, lift->digest, result)) {
			counters->sampled_out += packets;
			counters->sampled_out_bytes += bytes;
		} else if (result == FL_DROPPED_RING) {
			counters->dropped_ring += packets;
		} else {
			counters->dropped_read += packets;
		}
	}
}

#endif
