// SPDX-License-Identifier: GPL-2.0
/* The tracepoint tcp_retransmit_skb with three arguments. */
#include <net/tcp.h>
#include <trace/events/tcp.h>

void probe(void *data, const struct sock *sk, const struct sk_buff *skb, int err);

void probe(void *data, const struct sock *sk, const struct sk_buff *skb, int err)
{
	check_trace_callback_type_tcp_retransmit_skb(probe);
}
