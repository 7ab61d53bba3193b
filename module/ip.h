/* SPDX-License-Identifier: GPL-2.0 */
/* IP out and in: what passes netfilter's LOCAL_OUT and LOCAL_IN. */
#ifndef MAGNET_IP_H
#define MAGNET_IP_H

struct nf_hook_state;
struct sk_buff;

unsigned int magnet_ip_packet(void *unused, struct sk_buff *skb, const struct nf_hook_state *state);

#endif
