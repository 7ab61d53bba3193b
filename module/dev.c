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

static void magnet_dev_fill(struct magnet_ext_packet *ext, const struct sk_buff *skb, u32 ifindex, bool sent)
{
	const struct magnet_packet packet = {
		.skb = skb,
		.offset = sent ? skb_network_offset(skb) : 0,
		.protocol = sent ? vlan_get_protocol(skb) : skb->protocol,
		.sent = sent,
		.ifindex = ifindex,
	};

	magnet_packet_fill(ext, &packet);
}

static noinline void magnet_dev_record(const struct sk_buff *skb, const struct net_device *dev, u32 size,
					      bool sent)
{
	const u64 sockid = skb->sk ? magnet_cookie(skb->sk) : 0;
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	if (!magnet_dev_is_wanted(dev))
		return;
	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, sent ? MAGNET_DEV_SEND : MAGNET_DEV_RECV, size);
	ext = magnet_record_ext(record);
	if (ext)
		magnet_dev_fill(&ext->packet, skb, dev->ifindex, sent);
	magnet_record_end(record, timestamp);
}

static __always_inline bool magnet_dev_record_plain(const struct sk_buff *skb, u32 size, bool sent)
{
	return likely(!magnet_param.dev_count) &&
	       magnet_record_plain_packet(skb, sent ? MAGNET_DEV_SEND : MAGNET_DEV_RECV, size);
}

void magnet_dev_transmit(void *unused, const struct sk_buff *skb, const struct net_device *dev)
{
	check_trace_callback_type_net_dev_start_xmit(magnet_dev_transmit);
	if (!magnet_dev_record_plain(skb, skb->len, true))
		magnet_dev_record(skb, dev, skb->len, true);
}

/* Here skb->data stands behind the link header, which belongs to the frame's size as it does on the way out. */
void magnet_dev_receive(void *unused, struct sk_buff *skb)
{
	const u32 link = skb_mac_header_was_set(skb) ? -skb_mac_offset(skb) : 0;

	check_trace_callback_type_netif_receive_skb(magnet_dev_receive);
	if (!magnet_dev_record_plain(skb, skb->len + link, false))
		magnet_dev_record(skb, skb->dev, skb->len + link, false);
}
