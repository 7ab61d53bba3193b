/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The flow table's maps and the look-up in them: tuple-space search, one probe for each mask in use
 * (proto/flow.h). Shared by the classifier and by the programs of host events, each with maps of its own.
 */
#ifndef FIELDLINE_BPF_FLOW_FIND_H
#define FIELDLINE_BPF_FLOW_FIND_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "proto/flow.h"

/* FL_MASKS_ALL and what follows it in proto/flow.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} masks_in_use SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FL_MASKS_MAX);
	__type(key, __u32);
	__type(value, struct fl_flow_key);
} masks SEC(".maps");

/*
 * Key AND mask, with the mask's index in `where` (two masks may leave the same bytes), to the slot.
 *
 * The hash holds only the slot: the kernel hands a replaced or deleted element on at once, while a program on
 * another CPU may still read it. What changes at each renewal therefore stands in `values`, whose members are
 * stored in place, and a deleted element's memory is reused only after a grace period (user space waits).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * FL_FLOWS_DEFAULT);
	__type(key, struct fl_flow_key);
	__type(value, __u32);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * FL_FLOWS_DEFAULT);
	__type(key, __u32);
	__type(value, struct fl_flow_value);
} values SEC(".maps");

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
	to->where |= index << FL_KEY_MASK_SHIFT;
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

#endif
