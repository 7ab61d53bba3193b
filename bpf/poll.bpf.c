// SPDX-License-Identifier: GPL-2.0
/* Tells the classifier that a NAPI poll is over (bpf/clock.h). Of polls without a lifted packet it reads a word. */
#include "bpf/clock.h"

SEC("raw_tp/napi_poll")
int fl_poll_over(void *ctx)
{
	__u32 zero = 0;
	struct fl_poll *poll = bpf_map_lookup_elem(&polls, &zero);
	__u64 took_ns;

	if (!poll || !poll->began_ns)
		return 0;
	took_ns = bpf_ktime_get_tai_ns() - poll->began_ns;
	/* A clock that was set back meanwhile makes it negative. */
	if ((__s64)took_ns > (__s64)poll->longest_ns)
		poll->longest_ns = took_ns;
	poll->began_ns = 0;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
