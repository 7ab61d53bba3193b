// SPDX-License-Identifier: GPL-2.0
/* The classifier on a tap's native XDP hook: a tap's packets are copies, consumed after use. */
#include "bpf/classify.h"

SEC("xdp.frags")
int fl_classify(struct xdp_md *ctx)
{
	fl_classify_packet(ctx);
	return fl_action;
}

char LICENSE[] SEC("license") = "GPL";
