/* SPDX-License-Identifier: GPL-2.0 */
/* What applications send and receive by their sockets. */
#ifndef MAGNET_SOCK_H
#define MAGNET_SOCK_H

#include <linux/kprobes.h>
#include "compat.h"
#include "hooks.h"
#include "proto/magnet.h"

struct magnet_sock_call {
	struct sock *sk;
	int flags;
};
#define MAGNET_SOCK_CALL_SIZE sizeof(struct magnet_sock_call)

void magnet_sock_fill(struct magnet_ext_sock *ext, const struct sock *sk, u32 event);

int magnet_sock_send_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_sendpage_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_recv_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_splice_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_send_returned(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_recv_returned(struct kretprobe_instance *instance, struct pt_regs *regs);

#ifdef MAGNET_SOCK_LENGTH_ARGS
void magnet_sock_sent(void *unused, MAGNET_SOCK_LENGTH_ARGS);
void magnet_sock_received(void *unused, MAGNET_SOCK_LENGTH_ARGS);
#define MAGNET_SOCK_SENT magnet_sock_sent
#define MAGNET_SOCK_RECEIVED magnet_sock_received
#else
#define MAGNET_SOCK_SENT NULL
#define MAGNET_SOCK_RECEIVED NULL
#endif

#endif
