/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between kernels, all of it: probes/ finds out by compiling. What exists at run time (tracepoints,
 * symbols for kprobes) is found at load, by hooks.c.
 */
#ifndef MAGNET_COMPAT_H
#define MAGNET_COMPAT_H

#include <linux/ftrace.h>
#include <linux/ptrace.h>
#include <net/sock.h>
#include "probed.h"

/* Up to 6.4 sendfile() and splice() into a socket went by inet_sendpage(). */
static inline bool magnet_has_sendpage(const struct sock *sk)
{
#ifdef HAVE_PROTO_SENDPAGE
	return READ_ONCE(sk->sk_prot)->sendpage;
#else
	return false;
#endif
}

/* The arguments of the tracepoint tcp_retransmit_skb; with neither the kprobe takes its place. */
#if defined(HAVE_RETRANSMIT_TWO)
#define MAGNET_RETRANSMIT_ARGS const struct sock *sk, const struct sk_buff *skb
#define MAGNET_RETRANSMIT_FAILED false
#elif defined(HAVE_RETRANSMIT_THREE)
#define MAGNET_RETRANSMIT_ARGS const struct sock *sk, const struct sk_buff *skb, int err
#define MAGNET_RETRANSMIT_FAILED (err != 0)
#endif

/* The arguments of the tracepoints sock_send_length and sock_recv_length; without them kretprobes take their place. */
#ifdef HAVE_SOCK_LENGTH
#define MAGNET_SOCK_LENGTH_ARGS struct sock *sk, int returned, int flags
#endif

/* The arguments of the tracepoint tcp_probe; with neither functions' entries take its place. */
#if defined(HAVE_TCP_PROBE)
#define MAGNET_TCP_PROBE_ARGS struct sock *sk, struct sk_buff *skb
#elif defined(HAVE_TCP_PROBE_CONST)
#define MAGNET_TCP_PROBE_ARGS struct sock *sk, const struct sk_buff *skb
#endif

/* What an ftrace handler is given, and a function's arguments in it; with none of these kprobes take its place. */
#if defined(HAVE_FTRACE_ARGUMENTS)
#define MAGNET_FTRACE_REGS struct ftrace_regs
#define MAGNET_FTRACE_FLAGS 0
#define magnet_ftrace_argument(with, n) ftrace_regs_get_argument(with, n)
#elif defined(HAVE_FTRACE_REGS)
#define MAGNET_FTRACE_REGS struct ftrace_regs
#define MAGNET_FTRACE_FLAGS 0
#define magnet_ftrace_argument(with, n) regs_get_kernel_argument(&(with)->regs, n)
#elif defined(HAVE_FTRACE_ALL_REGISTERS)
#define MAGNET_FTRACE_REGS struct pt_regs
#define MAGNET_FTRACE_FLAGS (FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_RECURSION_SAFE)
#define magnet_ftrace_argument(with, n) regs_get_kernel_argument(with, n)
#endif

#endif
