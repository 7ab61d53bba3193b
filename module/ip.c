// SPDX-License-Identifier: GPL-2.0
#include "ip.h"

#include <linux/if_ether.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include "packet.h"
#include "record.h"

#ifdef CONFIG_NETFILTER
/* One entry for each family and direction: what they are is known before the packet comes. */
static noinline void magnet_ip_record(const struct sk_buff *skb, const struct nf_hook_state *state, u32 event)
{
	const bool sent = event == MAGNET_IP_SEND || event == MAGNET_IP6_SEND;
	const struct net_device *dev = sent ? state->out : state->in;
	const int offset = skb_network_offset(skb);
	const u64 sockid = skb->sk ? magnet_cookie(skb->sk) : 0;
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, event, skb->len - offset);
	ext = magnet_record_ext(record);
	if (ext) {
		const struct magnet_packet packet = {
			.skb = skb,
			.offset = offset,
			.protocol = htons(state->pf == NFPROTO_IPV4 ? ETH_P_IP : ETH_P_IPV6),
			.sent = sent,
			.ifindex = dev ? dev->ifindex : 0,
		};

		magnet_packet_fill(&ext->packet, &packet);
	}
	magnet_record_end(record, timestamp);
}

/* A super-packet (GSO, GRO) is one record. A packet that came in over loopback has no socket any more. */
static __always_inline unsigned int magnet_ip_packet(const struct sk_buff *skb, const struct nf_hook_state *state,
						     u32 event)
{
	if (!magnet_record_plain_packet(skb, event, skb->len - skb_network_offset(skb)))
		magnet_ip_record(skb, state, event);
	return NF_ACCEPT;
}

unsigned int magnet_ip_sent(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return magnet_ip_packet(skb, state, MAGNET_IP_SEND);
}

unsigned int magnet_ip_received(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return magnet_ip_packet(skb, state, MAGNET_IP_RECV);
}

unsigned int magnet_ip6_sent(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return magnet_ip_packet(skb, state, MAGNET_IP6_SEND);
}

unsigned int magnet_ip6_received(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return magnet_ip_packet(skb, state, MAGNET_IP6_RECV);
}
#endif
