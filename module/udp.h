/* SPDX-License-Identifier: GPL-2.0 */
/* UDP datagrams as they are handed to UDP, and as they reach a socket's queue. */
#ifndef MAGNET_UDP_H
#define MAGNET_UDP_H

#include <linux/kprobes.h>

int magnet_udp_send4(struct kprobe *probe, struct pt_regs *regs);
int magnet_udp_send6(struct kprobe *probe, struct pt_regs *regs);
int magnet_udp_receive(struct kprobe *probe, struct pt_regs *regs);

#endif
