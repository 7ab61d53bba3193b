/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps of one sensor, shared by the programs of all its ports. User space sizes flows, values,
 * flow_counters and both rings before loading. docs/format/flow.md says who writes what in which order.
 */
#ifndef FIELDLINE_BPF_MAPS_H
#define FIELDLINE_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/parse.h"
#include "proto/digest.h"
#include "proto/flow.h"
#include "proto/lift.h"
#include "proto/trigger.h"

/* Bit i: masks[i] is in use. Zero on an idle sensor, which then looks nothing up. */
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
 * Key AND mask, with the mask's index in `reserved` (two masks may leave the same bytes), to the slot.
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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * FL_FLOWS_DEFAULT);
	__type(key, __u32);
	__type(value, struct fl_flow_counters);
} flow_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FL_PORTS_MAX);
	__type(key, __u32);
	__type(value, struct fl_port_counters);
} port_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} header_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} trigger_ring SEC(".maps");

/*
 * Where a record is put together: too large for the stack. One per CPU is enough, because XDP runs with bottom
 * halves off and so never twice on one CPU.
 */
struct fl_scratch {
	struct fl_lift lift;
	__u8 frame[FL_SNAPLEN_MAX]; /* directly behind lift: both are written to the ring as one */
	struct fl_digest_input digest;
	struct fl_trigger_lift trigger;
	__u8 trigger_bytes[FL_TRIGGER_MAX];
	struct fl_packet packet;
	struct fl_cursor cursor;
	__u32 wanted; /* bytes to lift */
};
FL_ASSERT_OFFSET(struct fl_scratch, frame, sizeof(struct fl_lift));
FL_ASSERT_OFFSET(struct fl_scratch, digest, sizeof(struct fl_lift) + FL_SNAPLEN_MAX);
FL_ASSERT_OFFSET(struct fl_scratch, trigger_bytes,
		 __builtin_offsetof(struct fl_scratch, trigger) + sizeof(struct fl_trigger_lift));

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_scratch);
} scratch SEC(".maps");

#endif
