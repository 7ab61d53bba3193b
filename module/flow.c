// SPDX-License-Identifier: GPL-2.0
#include "flow.h"

#include <linux/ipv6.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/tcp_states.h>
#include <trace/events/sock.h>
#include "record.h"
#include "sock.h"

static void magnet_flow_addresses(struct magnet_ext_open *ext, const struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	struct in6_addr address;

#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		/* A socket that talks to a mapped address has mapped addresses here. */
		const struct ipv6_pinfo *v6 = inet6_sk(sk);

		memcpy(ext->local, v6 ? &v6->saddr : &sk->sk_v6_rcv_saddr, sizeof(ext->local));
		memcpy(ext->peer, &sk->sk_v6_daddr, sizeof(ext->peer));
		return;
	}
#endif
	ipv6_addr_set_v4mapped(inet->inet_saddr, &address);
	memcpy(ext->local, &address, sizeof(ext->local));
	ipv6_addr_set_v4mapped(inet->inet_daddr, &address);
	memcpy(ext->peer, &address, sizeof(ext->peer));
}

static void magnet_flow_record(const struct sock *sk, u32 event, bool passive)
{
	const u64 sockid = magnet_cookie(sk);
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, event, 0);
	ext = magnet_record_ext(record);
	if (ext && event == MAGNET_SOCK_CLOSE) {
		magnet_sock_fill(&ext->sock, sk, event);
	} else if (ext) {
		magnet_flow_addresses(&ext->open, sk);
		ext->open.local_port = inet_sk(sk)->inet_num;
		ext->open.peer_port = ntohs(inet_sk(sk)->inet_dport);
		ext->open.family = sk->sk_family;
		ext->open.protocol = sk->sk_protocol;
		ext->open.passive = passive;
	}
	magnet_record_end(record, timestamp);
}

/* TCP alone comes here: the states that follow ESTABLISHED, and no other, had an open. */
static bool magnet_flow_was_open(int state)
{
	return (1 << state) & (TCPF_ESTABLISHED | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_CLOSE_WAIT | TCPF_LAST_ACK |
			       TCPF_CLOSING);
}

void magnet_flow_state(void *unused, const struct sock *sk, const int from, const int to)
{
	check_trace_callback_type_inet_sock_set_state(magnet_flow_state);
	if (sk->sk_protocol != IPPROTO_TCP)
		return;
	if (to == TCP_ESTABLISHED)
		magnet_flow_record(sk, MAGNET_SOCK_OPEN, from == TCP_SYN_RECV);
	else if (to == TCP_CLOSE && magnet_flow_was_open(from))
		magnet_flow_record(sk, MAGNET_SOCK_CLOSE, false);
}

int magnet_flow_connect_call(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct magnet_sock_call *call = (void *)instance->data;

	call->sk = (struct sock *)regs_get_kernel_argument(regs, 0);
	return call->sk->sk_protocol != IPPROTO_UDP;
}

int magnet_flow_connect6_returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct magnet_sock_call *call = (const void *)instance->data;

	if ((s32)regs_return_value(regs) == 0)
		magnet_flow_record(call->sk, MAGNET_SOCK_OPEN, false);
	return 0;
}

/* __ip6_datagram_connect() comes here for mapped addresses, and has the record. */
int magnet_flow_connect4_returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct magnet_sock_call *call = (const void *)instance->data;

	return call->sk->sk_family == AF_INET6 ? 0 : magnet_flow_connect6_returned(instance, regs);
}

/* (struct sock *, ...): released, or connect() to no family. Connected UDP sockets are in TCP_ESTABLISHED. */
MAGNET_ENTERED(magnet_flow_udp_ends)
{
	const struct sock *sk = (const struct sock *)first;

	if (sk->sk_protocol == IPPROTO_UDP && READ_ONCE(sk->sk_state) == TCP_ESTABLISHED)
		magnet_flow_record(sk, MAGNET_SOCK_CLOSE, false);
}
