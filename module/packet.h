/* SPDX-License-Identifier: GPL-2.0 */
/* What joins a record to a packet: the extension of the UDP, IP and device layers. */
#ifndef MAGNET_PACKET_H
#define MAGNET_PACKET_H

#include <linux/skbuff.h>
#include "proto/magnet.h"

struct magnet_packet {
	const struct sk_buff *skb;
	int offset;	 /* of the IP header from skb->data; may be negative */
	__be16 protocol; /* ETH_P_ of what stands there */
	bool sent;
	u32 ifindex;
};

void magnet_packet_fill(struct magnet_ext_packet *ext, const struct magnet_packet *packet);

#endif
