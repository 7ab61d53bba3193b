// SPDX-License-Identifier: GPL-2.0
#include "udp.h"

#include <linux/in6.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <net/inet_sock.h>
#include "packet.h"
#include "record.h"

/* Given with the call, or by connect(). The name was copied into the kernel; its port is where all families have it. */
static u16 magnet_udp_peer_port(const struct sock *sk, const struct msghdr *message)
{
	const struct sockaddr_in *name = message->msg_name;

	if (name && message->msg_namelen >= (int)offsetofend(struct sockaddr_in, sin_port))
		return ntohs(name->sin_port);
	return ntohs(READ_ONCE(inet_sk(sk)->inet_dport));
}

static noinline void magnet_udp_sent_with(const struct sock *sk, const struct msghdr *message, size_t length)
{
	const u64 sockid = magnet_cookie(sk);
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, MAGNET_UDP_SEND, min_t(size_t, length, S32_MAX));
	ext = magnet_record_ext(record);
	if (ext) {
		ext->packet.local_port = READ_ONCE(inet_sk(sk)->inet_num);
		ext->packet.peer_port = magnet_udp_peer_port(sk, message);
		ext->packet.payload = min_t(size_t, length, U32_MAX);
		ext->packet.family = sk->sk_family;
		ext->packet.protocol = sk->sk_protocol;
	}
	magnet_record_end(record, timestamp);
}

/* udp_sendmsg(sk, msg, len), udpv6_sendmsg(sk, msg, len) */
MAGNET_ENTERED(magnet_udp_send6)
{
	const struct sock *sk = (const struct sock *)first;

	if (!magnet_record_plain_of(sk, MAGNET_UDP_SEND, min_t(size_t, third, S32_MAX)))
		magnet_udp_sent_with(sk, (const struct msghdr *)second, third);
}

/* udpv6_sendmsg() comes here for mapped addresses, and has the record. */
MAGNET_ENTERED(magnet_udp_send4)
{
	const struct sock *sk = (const struct sock *)first;

	if (sk->sk_family != AF_INET6)
		magnet_udp_send6(first, second, third, fourth, fifth);
}

/* skb->data stands behind the UDP header, the headers before it. */
static noinline void magnet_udp_received_with(const struct sock *sk, const struct sk_buff *skb)
{
	const u64 sockid = magnet_cookie(sk);
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, MAGNET_UDP_RECV, skb->len);
	ext = magnet_record_ext(record);
	if (ext) {
		const struct magnet_packet packet = {
			.skb = skb,
			.offset = skb_network_offset(skb),
			.protocol = skb->protocol,
			.ifindex = skb->dev ? skb->dev->ifindex : 0,
		};

		magnet_packet_fill(&ext->packet, &packet);
	}
	magnet_record_end(record, timestamp);
}

/* __udp_enqueue_schedule_skb(sk, skb) */
MAGNET_ENTERED(magnet_udp_receive)
{
	const struct sock *sk = (const struct sock *)first;
	const struct sk_buff *skb = (const struct sk_buff *)second;

	if (!magnet_record_plain_of(sk, MAGNET_UDP_RECV, skb->len))
		magnet_udp_received_with(sk, skb);
}
