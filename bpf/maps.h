/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps of one sensor, shared by the programs of all its ports. User space sizes flows, values,
 * flow_counters and both rings before loading. docs/format/flow.md says who writes what in which order.
 */
#ifndef FIELDLINE_BPF_MAPS_H
#define FIELDLINE_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/flow_find.h"
#include "bpf/parse.h"
#include "proto/digest.h"
#include "proto/flow.h"
#include "proto/lift.h"
#include "proto/trigger.h"

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
 * Where a record is put together: too large for the stack. One per CPU is enough, because XDP and tc run with
 * bottom halves off and so never twice on one CPU.
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
	__u32 sample_bits; /* of the entry that asks for the most packets */
	__u32 taken_inside; /* by fl_look_inside() */
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
