// SPDX-License-Identifier: GPL-2.0
#include "ip.h"

#include <linux/if_ether.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include "packet.h"
#include "record.h"

#ifdef CONFIG_NETFILTER
/* A super-packet (GSO, GRO) is one record. A packet that came in over loopback has no socket any more. */
unsigned int magnet_ip_packet(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const bool sent = state->hook == NF_INET_LOCAL_OUT;
	const bool v4 = state->pf == NFPROTO_IPV4;
	const struct net_device *dev = sent ? state->out : state->in;
	const int offset = skb_network_offset(skb);
	struct magnet_record *record;
	union magnet_ext *ext;
	u32 event;
	u64 sockid, timestamp;

	if (v4)
		event = sent ? MAGNET_IP_SEND : MAGNET_IP_RECV;
	else
		event = sent ? MAGNET_IP6_SEND : MAGNET_IP6_RECV;
	sockid = skb->sk ? magnet_cookie(skb->sk) : 0;
	record = magnet_record_begin(&timestamp);
	if (!record)
		return NF_ACCEPT;
	magnet_record_head(record, sockid, event, skb->len - offset);
	ext = magnet_record_ext(record);
	if (ext) {
		const struct magnet_packet packet = {
			.skb = skb,
			.offset = offset,
			.protocol = htons(v4 ? ETH_P_IP : ETH_P_IPV6),
			.sent = sent,
			.ifindex = dev ? dev->ifindex : 0,
		};

		magnet_packet_fill(&ext->packet, &packet);
	}
	magnet_record_end(record, timestamp);
	return NF_ACCEPT;
}
#endif
