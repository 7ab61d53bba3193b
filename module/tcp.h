/* SPDX-License-Identifier: GPL-2.0 */
/* TCP segments of sockets, as TCP hands them down and takes them in. */
#ifndef MAGNET_TCP_H
#define MAGNET_TCP_H

#include <linux/kprobes.h>
#include "compat.h"

int magnet_tcp_transmit(struct kprobe *probe, struct pt_regs *regs);
int magnet_tcp_receive4(struct kprobe *probe, struct pt_regs *regs);
int magnet_tcp_receive6(struct kprobe *probe, struct pt_regs *regs);
int magnet_tcp_receive_child(struct kprobe *probe, struct pt_regs *regs);
int magnet_tcp_retransmit(struct kprobe *probe, struct pt_regs *regs);

#ifdef MAGNET_RETRANSMIT_ARGS
void magnet_tcp_retransmitted(void *unused, MAGNET_RETRANSMIT_ARGS);
#define MAGNET_TCP_RETRANSMITTED magnet_tcp_retransmitted
#else
#define MAGNET_TCP_RETRANSMITTED NULL
#endif

#endif
