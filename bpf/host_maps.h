/* SPDX-License-Identifier: GPL-2.0 */
/* The event ring of one host and what is counted of it. User space sizes the ring before loading. */
#ifndef FIELDLINE_BPF_HOST_MAPS_H
#define FIELDLINE_BPF_HOST_MAPS_H

#include "bpf/flow_find.h"
#include "proto/event.h"

/*
 * One ring for all CPUs: the kernel orders it, so that a socket's addresses stand in front of what is done with it
 * whatever CPU did it. A record that does not fit is counted, never waited for.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} event_ring SEC(".maps");

/*
 * Per CPU, with atomics all the same: a soft interrupt that comes into a program of process context runs another
 * program on the same counters.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_event_counters);
} event_counters SEC(".maps");

/* The interfaces whose device layer is recorded. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FL_PORTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

#endif
