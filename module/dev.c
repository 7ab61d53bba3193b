// SPDX-License-Identifier: GPL-2.0
#include "dev.h"

#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <trace/events/net.h>
#include "packet.h"
#include "record.h"

/* A name that is changed in this moment may or may not match: accepted. */
static bool magnet_dev_is_wanted(const struct net_device *dev)
{
	u32 i;

	if (likely(!magnet_param.dev_count))
		return true;
	for (i = 0; i < magnet_param.dev_count; i++)
		if (!strncmp(dev->name, magnet_param.dev[i], IFNAMSIZ))
			return true;
	return false;
}

static void magnet_dev_record(u32 event, u32 size, const struct magnet_packet *packet, const struct sock *sk)
{
	const u64 sockid = sk ? magnet_cookie(sk) : 0;
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, event, size);
	ext = magnet_record_ext(record);
	if (ext)
		magnet_packet_fill(&ext->packet, packet);
	magnet_record_end(record, timestamp);
}

void magnet_dev_transmit(void *unused, const struct sk_buff *skb, const struct net_device *dev)
{
	const struct magnet_packet packet = {
		.skb = skb,
		.offset = skb_network_offset(skb),
		.protocol = vlan_get_protocol(skb),
		.sent = true,
		.ifindex = dev->ifindex,
	};

	check_trace_callback_type_net_dev_start_xmit(magnet_dev_transmit);
	if (magnet_dev_is_wanted(dev))
		magnet_dev_record(MAGNET_DEV_SEND, skb->len, &packet, skb->sk);
}

/* Here skb->data stands behind the link header, which belongs to the frame's size as it does on the way out. */
void magnet_dev_receive(void *unused, struct sk_buff *skb)
{
	const struct magnet_packet packet = {
		.skb = skb,
		.protocol = skb->protocol,
		.ifindex = skb->dev->ifindex,
	};
	const u32 link = skb_mac_header_was_set(skb) ? -skb_mac_offset(skb) : 0;

	check_trace_callback_type_netif_receive_skb(magnet_dev_receive);
	if (magnet_dev_is_wanted(skb->dev))
		magnet_dev_record(MAGNET_DEV_RECV, skb->len + link, &packet, skb->sk);
}
