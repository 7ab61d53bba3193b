/* SPDX-License-Identifier: GPL-2.0 */
/* One event onto the ring, behind the account of those that found no room. */
#ifndef FIELDLINE_BPF_HOST_RECORD_H
#define FIELDLINE_BPF_HOST_RECORD_H

#include "bpf/host_kernel.h"
#include "bpf/host_maps.h"

/* Is any live entry for this key? */
static __always_inline int fl_flow_wanted(const struct fl_flow_key *key)
{
	__u32 zero = 0, bits, index, slot;
	__u32 *in_use = bpf_map_lookup_elem(&masks_in_use, &zero);
	__u64 now_ns = 0;

	bits = in_use ? FL_READ_ONCE(*in_use) : 0;
	for (index = 0; index < FL_MASKS_MAX; index++) {
		if ((bits & (1U << index)) && fl_flow_find(key, index, &now_ns, &slot))
			return 1;
	}
	return 0;
}

static __always_inline void fl_event_lost(struct fl_event_counters *counters, __u64 now_ns)
{
	__sync_fetch_and_add(&counters->lost, 1);
	/* Two nested losses may both see 0: either time is that of the first, within the nesting. */
	if (__sync_fetch_and_add(&counters->pending, 1) == 0)
		counters->first_ns = now_ns;
}

static __always_inline struct fl_event_lift *fl_event_reserve(__u64 now_ns)
{
	struct fl_event_lift *lift = bpf_ringbuf_reserve(&event_ring, sizeof(*lift), 0);

	if (!lift)
		return NULL;
	__builtin_memset(lift, 0, sizeof(*lift));
	lift->cpu = bpf_get_smp_processor_id();
	lift->record.head.timestamp = now_ns;
	return lift;
}

/* Puts MAGNET_LOST with what this CPU has not told yet; without room it stays untold. */
static __always_inline int fl_event_tell_lost(struct fl_event_counters *counters, __u64 now_ns)
{
	struct fl_event_lift *lift = fl_event_reserve(now_ns);
	__u64 pending, first_ns;

	if (!lift)
		return -1;
	first_ns = counters->first_ns;
	pending = __sync_lock_test_and_set(&counters->pending, 0);
	if (!pending) {
		bpf_ringbuf_discard(lift, BPF_RB_NO_WAKEUP);
		return 0;
	}
	if (pending > 0x7fffffff) {
		__sync_fetch_and_add(&counters->pending, pending - 0x7fffffff);
		pending = 0x7fffffff;
	}
	lift->record.head.event = MAGNET_LOST;
	lift->record.head.size = pending;
	lift->record.ext.lost.first = first_ns;
	bpf_ringbuf_submit(lift, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Room for one event, or NULL and the event is counted as lost. The caller commits it. */
static __always_inline struct fl_event_lift *fl_event_begin(__u32 event, __u64 sockid, __s32 size)
{
	__u64 now_ns = bpf_ktime_get_tai_ns();
	struct fl_event_counters *counters;
	struct fl_event_lift *lift;
	__u32 zero = 0;

	counters = bpf_map_lookup_elem(&event_counters, &zero);
	if (!counters)
		return NULL;
	if (FL_READ_ONCE(counters->pending) && fl_event_tell_lost(counters, now_ns)) {
		fl_event_lost(counters, now_ns);
		return NULL;
	}
	lift = fl_event_reserve(now_ns);
	if (!lift) {
		fl_event_lost(counters, now_ns);
		return NULL;
	}
	__sync_fetch_and_add(&counters->recorded, 1);
	lift->record.head.event = event;
	lift->record.head.sockid = sockid;
	lift->record.head.size = size;
	return lift;
}

/* The reader polls on a timer: no wakeup on the path of a system call or a packet. */
static __always_inline void fl_event_commit(struct fl_event_lift *lift)
{
	bpf_ringbuf_submit(lift, BPF_RB_NO_WAKEUP);
}

#endif
