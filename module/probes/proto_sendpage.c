// SPDX-License-Identifier: GPL-2.0
/* Protocols have a sendpage of their own. */
#include <net/sock.h>

bool probe(const struct sock *sk);

bool probe(const struct sock *sk)
{
	return sk->sk_prot->sendpage;
}
