/* SPDX-License-Identifier: GPL-2.0 */
/* Where a socket's addresses begin and end to be known. */
#ifndef MAGNET_FLOW_H
#define MAGNET_FLOW_H

#include <linux/kprobes.h>
#include "hooks.h"

void magnet_flow_state(void *unused, const struct sock *sk, const int from, const int to);

int magnet_flow_connect_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_flow_connect4_returned(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_flow_connect6_returned(struct kretprobe_instance *instance, struct pt_regs *regs);
MAGNET_ENTERED(magnet_flow_udp_ends);

#endif
