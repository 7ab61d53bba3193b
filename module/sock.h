/* SPDX-License-Identifier: GPL-2.0 */
/* What applications ask of their sockets. */
#ifndef MAGNET_SOCK_H
#define MAGNET_SOCK_H

#include <linux/kprobes.h>
#include "compat.h"
#include "hooks.h"
#include "proto/magnet.h"

struct magnet_sock_call {
	struct sock *sk;
	bool peek;
};
#define MAGNET_SOCK_CALL_SIZE sizeof(struct magnet_sock_call)

void magnet_sock_fill(struct magnet_ext_sock *ext, const struct sock *sk, u32 event);

void magnet_sock_state(void *unused, const struct sock *sk, const int from, const int to);

int magnet_sock_connect_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_connect4_returned(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_connect6_returned(struct kretprobe_instance *instance, struct pt_regs *regs);
MAGNET_ENTERED(magnet_sock_udp_ends);

int magnet_sock_send_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_sendpage_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_recv_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_splice_call(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_send_returned(struct kretprobe_instance *instance, struct pt_regs *regs);
int magnet_sock_recv_returned(struct kretprobe_instance *instance, struct pt_regs *regs);

#ifdef HAVE_SOCK_LENGTH
void magnet_sock_sent(void *unused, struct sock *sk, int returned, int flags);
void magnet_sock_received(void *unused, struct sock *sk, int returned, int flags);
#define MAGNET_SOCK_SENT magnet_sock_sent
#define MAGNET_SOCK_RECEIVED magnet_sock_received
#else
#define MAGNET_SOCK_SENT NULL
#define MAGNET_SOCK_RECEIVED NULL
#endif

#endif
