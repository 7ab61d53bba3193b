// SPDX-License-Identifier: GPL-2.0
/* The tracepoint tcp_probe with a socket and a packet, which it does not change. */
#include <net/tcp.h>
#include <trace/events/tcp.h>

void probe(void *data, struct sock *sk, const struct sk_buff *skb);

void probe(void *data, struct sock *sk, const struct sk_buff *skb)
{
	check_trace_callback_type_tcp_probe(probe);
}
