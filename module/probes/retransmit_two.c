// SPDX-License-Identifier: GPL-2.0
/* The tracepoint tcp_retransmit_skb with two arguments. */
#include <net/tcp.h>
#include <trace/events/tcp.h>

void probe(void *data, const struct sock *sk, const struct sk_buff *skb);

void probe(void *data, const struct sock *sk, const struct sk_buff *skb)
{
	check_trace_callback_type_tcp_retransmit_skb(probe);
}
