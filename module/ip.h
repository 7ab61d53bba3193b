/* SPDX-License-Identifier: GPL-2.0 */
/* IP out and in: what passes netfilter's LOCAL_OUT and LOCAL_IN. */
#ifndef MAGNET_IP_H
#define MAGNET_IP_H

struct nf_hook_state;
struct sk_buff;

#ifdef CONFIG_NETFILTER
unsigned int magnet_ip_sent(void *unused, struct sk_buff *skb, const struct nf_hook_state *state);
unsigned int magnet_ip_received(void *unused, struct sk_buff *skb, const struct nf_hook_state *state);
unsigned int magnet_ip6_sent(void *unused, struct sk_buff *skb, const struct nf_hook_state *state);
unsigned int magnet_ip6_received(void *unused, struct sk_buff *skb, const struct nf_hook_state *state);
#define MAGNET_IP_HOOK(name) magnet_##name
#else
#define MAGNET_IP_HOOK(name) NULL
#endif

#endif
