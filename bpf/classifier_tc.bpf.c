// SPDX-License-Identifier: GPL-2.0
/*
 * The classifier on a tc hook: of an interface in the path, where each packet goes on to whatever stands behind, or of
 * a tap without native XDP, where it is consumed.
 */
#define FL_TC
#include "bpf/classify.h"

SEC("tc")
int fl_classify_tc(struct __sk_buff *ctx)
{
	fl_classify_packet(ctx);
	return fl_action;
}

char LICENSE[] SEC("license") = "GPL";
