// SPDX-License-Identifier: GPL-2.0
/* The tracepoints sock_send_length and sock_recv_length, with the arguments that sock.c takes. */
#include <net/sock.h>
#include <trace/events/sock.h>

void probe(void *data, struct sock *sk, int ret, int flags);

void probe(void *data, struct sock *sk, int ret, int flags)
{
	check_trace_callback_type_sock_send_length(probe);
	check_trace_callback_type_sock_recv_length(probe);
}
