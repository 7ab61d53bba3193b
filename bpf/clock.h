/* SPDX-License-Identifier: GPL-2.0 */
/*
 * When a packet came, by the kernel's clock. Where reading that costs much (a virtual machine without a cycle counter:
 * microseconds), a tap's packets may share one reading for each NAPI poll: all but the first that is lifted are then
 * stamped too early, by as long as the poll took at most, which is measured.
 */
#ifndef FIELDLINE_BPF_CLOCK_H
#define FIELDLINE_BPF_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "proto/flow.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_poll);
} polls SEC(".maps");

/* CLOCK_TAI. Polls of one CPU follow each other, and packets of a poll are seen within it. */
static __always_inline __u64 fl_packet_time(int per_poll)
{
	struct fl_poll *poll;
	__u32 zero = 0;

	if (!per_poll)
		return bpf_ktime_get_tai_ns();
	poll = bpf_map_lookup_elem(&polls, &zero);
	if (!poll)
		return bpf_ktime_get_tai_ns();
	if (!poll->began_ns)
		poll->began_ns = bpf_ktime_get_tai_ns();
	return poll->began_ns;
}

#endif
