/* SPDX-License-Identifier: GPL-2.0 */
/* Frames handed to a device and taken from one. */
#ifndef MAGNET_DEV_H
#define MAGNET_DEV_H

struct net_device;
struct sk_buff;

void magnet_dev_transmit(void *unused, const struct sk_buff *skb, const struct net_device *dev);
void magnet_dev_receive(void *unused, struct sk_buff *skb);

#endif
