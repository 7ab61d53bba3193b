// SPDX-License-Identifier: GPL-2.0
#include "sock.h"

#include <linux/cred.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/socket.h>
#include <linux/user_namespace.h>
#include <net/inet_sock.h>
#include <net/tcp.h>
#include <trace/events/sock.h>
#include "record.h"

/*
 * The socket is alive: its caller holds the file, or is about to end it. It is not locked any more when a call has
 * returned: each number is one that the socket had, not all of the same moment.
 */
void magnet_sock_fill(struct magnet_ext_sock *ext, const struct sock *sk, u32 event)
{
	const struct inet_sock *inet = inet_sk(sk);

	/* A close may be of a packet's making: then `current` is whom the interrupt met. */
	if (event != MAGNET_SOCK_CLOSE || in_task()) {
		ext->pid = task_tgid_nr(current);
		ext->uid = from_kuid(&init_user_ns, current_uid());
	}
	ext->sndbuf = READ_ONCE(sk->sk_sndbuf);
	ext->rcvbuf = READ_ONCE(sk->sk_rcvbuf);
	ext->local_port = ntohs(READ_ONCE(inet->inet_sport)); /* inet_num is given back before the state is CLOSE */
	ext->peer_port = ntohs(READ_ONCE(inet->inet_dport));
	ext->family = sk->sk_family;
	ext->protocol = min_t(u16, sk->sk_protocol, U8_MAX);
	if (sk->sk_protocol == IPPROTO_TCP && sk->sk_type == SOCK_STREAM) {
		const struct tcp_sock *tcp = (const struct tcp_sock *)sk;
		const u32 written = READ_ONCE(tcp->write_seq), read = READ_ONCE(tcp->copied_seq);

		ext->seq = event == MAGNET_SOCK_RECV ? read : written;
		ext->wqueue = written - READ_ONCE(tcp->snd_una);
		ext->rqueue = READ_ONCE(tcp->rcv_nxt) - read;
	} else {
		ext->wqueue = sk_wmem_alloc_get(sk);
		ext->rqueue = sk_rmem_alloc_get(sk);
	}
}

static noinline void magnet_sock_record_with(const struct sock *sk, u32 event, s32 size)
{
	const u64 sockid = magnet_cookie(sk);
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, event, size);
	ext = magnet_record_ext(record);
	if (ext)
		magnet_sock_fill(&ext->sock, sk, event);
	magnet_record_end(record, timestamp);
}

static __always_inline void magnet_sock_record(const struct sock *sk, u32 event, s32 size)
{
	if (!magnet_record_plain_of(sk, event, size))
		magnet_sock_record_with(sk, event, size);
}

/* A peek takes nothing; what the error queue gives (a transmit time and the packet that it is of) was never received. */
static s32 magnet_sock_taken(long returned, int flags)
{
	return returned > 0 && (flags & (MSG_PEEK | MSG_ERRQUEUE)) ? 0 : (s32)returned;
}

#ifdef MAGNET_SOCK_LENGTH_ARGS
static bool magnet_sock_is_inet(const struct sock *sk)
{
	return sk->sk_family == AF_INET || sk->sk_family == AF_INET6;
}

void magnet_sock_sent(void *unused, MAGNET_SOCK_LENGTH_ARGS)
{
	check_trace_callback_type_sock_send_length(magnet_sock_sent);
	if (magnet_sock_is_inet(sk))
		magnet_sock_record(sk, MAGNET_SOCK_SEND, returned);
}

void magnet_sock_received(void *unused, MAGNET_SOCK_LENGTH_ARGS)
{
	check_trace_callback_type_sock_recv_length(magnet_sock_received);
	if (magnet_sock_is_inet(sk))
		magnet_sock_record(sk, MAGNET_SOCK_RECV, magnet_sock_taken(returned, flags));
}
#endif

/* Calls: (struct socket *, ...). Nonzero: this call is of no interest. */
int magnet_sock_send_call(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct magnet_sock_call *call = (void *)instance->data;
	const struct socket *socket = (const struct socket *)regs_get_kernel_argument(regs, 0);

	call->sk = socket->sk;
	call->flags = 0;
	return !call->sk;
}

/* Protocols without a sendpage of their own come by inet_sendmsg() as well. */
int magnet_sock_sendpage_call(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct magnet_sock_call *call = (const void *)instance->data;

	return magnet_sock_send_call(instance, regs) || !magnet_has_sendpage(call->sk);
}

int magnet_sock_recv_call(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct magnet_sock_call *call = (void *)instance->data;
	const int skip = magnet_sock_send_call(instance, regs);

	call->flags = (int)regs_get_kernel_argument(regs, 3);
	return skip;
}

int magnet_sock_splice_call(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	return magnet_sock_send_call(instance, regs);
}

int magnet_sock_send_returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct magnet_sock_call *call = (const void *)instance->data;

	magnet_sock_record(call->sk, MAGNET_SOCK_SEND, (s32)regs_return_value(regs));
	return 0;
}

int magnet_sock_recv_returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct magnet_sock_call *call = (const void *)instance->data;

	magnet_sock_record(call->sk, MAGNET_SOCK_RECV, magnet_sock_taken((s32)regs_return_value(regs), call->flags));
	return 0;
}
