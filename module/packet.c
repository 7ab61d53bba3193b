// SPDX-License-Identifier: GPL-2.0
#include "packet.h"

#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ipv6.h>

/* Where the transport header stands and how long it is with all behind it. */
struct magnet_transport {
	int offset;
	u32 length;
	u8 protocol;
};

static void magnet_packet_ports(struct magnet_ext_packet *ext, bool sent, __be16 source, __be16 dest)
{
	ext->local_port = ntohs(sent ? source : dest);
	ext->peer_port = ntohs(sent ? dest : source);
}

static void magnet_packet_transport(struct magnet_ext_packet *ext, const struct magnet_packet *packet,
				    const struct magnet_transport *transport)
{
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	} copy;
	const struct tcphdr *tcp;
	const struct udphdr *udp;
	u32 header = 0;

	if (transport->protocol == IPPROTO_TCP) {
		tcp = skb_header_pointer(packet->skb, transport->offset, sizeof(copy.tcp), &copy.tcp);
		if (!tcp)
			return;
		magnet_packet_ports(ext, packet->sent, tcp->source, tcp->dest);
		ext->seq = ntohl(tcp->seq);
		ext->ack = ntohl(tcp->ack_seq);
		ext->flags = ((const u8 *)tcp)[13];
		header = tcp->doff * 4;
	} else if (transport->protocol == IPPROTO_UDP || transport->protocol == IPPROTO_UDPLITE) {
		udp = skb_header_pointer(packet->skb, transport->offset, sizeof(copy.udp), &copy.udp);
		if (!udp)
			return;
		magnet_packet_ports(ext, packet->sent, udp->source, udp->dest);
		header = sizeof(*udp);
	}
	ext->payload = transport->length > header ? transport->length - header : 0;
}

/* A short frame is padded behind the packet; a super-packet's own length may not hold its size. */
static u32 magnet_packet_length(const struct sk_buff *skb, int offset, u32 said)
{
	const u32 length = skb->len - offset;

	return said && said < length && !skb_is_gso(skb) ? said : length;
}

static bool magnet_packet_ipv4(struct magnet_ext_packet *ext, const struct magnet_packet *packet,
			       struct magnet_transport *transport)
{
	const struct iphdr *ip;
	struct iphdr copy;
	u32 length;

	ip = skb_header_pointer(packet->skb, packet->offset, sizeof(copy), &copy);
	if (!ip || ip->version != 4 || ip->ihl < 5)
		return false;
	ext->family = AF_INET;
	ext->protocol = transport->protocol = ip->protocol;
	ext->ip_id = ntohs(ip->id);
	ext->fragment = ntohs(ip->frag_off);
	length = magnet_packet_length(packet->skb, packet->offset, ntohs(ip->tot_len));
	transport->offset = packet->offset + ip->ihl * 4;
	transport->length = length > ip->ihl * 4 ? length - ip->ihl * 4 : 0;
	ext->payload = transport->length;
	return !(ext->fragment & IP_OFFSET);
}

static bool magnet_packet_ipv6(struct magnet_ext_packet *ext, const struct magnet_packet *packet,
			       struct magnet_transport *transport)
{
	const struct ipv6hdr *ip;
	struct ipv6hdr copy;
	__be16 fragment = 0;
	u32 said, length;
	u8 next;

	ip = skb_header_pointer(packet->skb, packet->offset, sizeof(copy), &copy);
	if (!ip || ip->version != 6)
		return false;
	ext->family = AF_INET6;
	next = ip->nexthdr;
	said = ip->payload_len ? ntohs(ip->payload_len) + sizeof(*ip) : 0;
	length = magnet_packet_length(packet->skb, packet->offset, said);
	transport->offset = ipv6_skip_exthdr(packet->skb, packet->offset + sizeof(*ip), &next, &fragment);
	ext->protocol = transport->protocol = next;
	if (transport->offset < packet->offset)
		return false;
	length -= min_t(u32, length, transport->offset - packet->offset);
	ext->payload = transport->length = length;
	return !(fragment & htons(~0x7));
}

/* Tags that stand in the frame itself, at most two. */
static void magnet_packet_skip_vlan(struct magnet_packet *packet)
{
	const struct vlan_hdr *vlan;
	struct vlan_hdr copy;
	int i;

	for (i = 0; i < 2 && eth_type_vlan(packet->protocol); i++) {
		vlan = skb_header_pointer(packet->skb, packet->offset, sizeof(copy), &copy);
		if (!vlan)
			return;
		packet->protocol = vlan->h_vlan_encapsulated_proto;
		packet->offset += sizeof(copy);
	}
}

void magnet_packet_fill(struct magnet_ext_packet *ext, const struct magnet_packet *of)
{
	struct magnet_packet packet = *of;
	struct magnet_transport transport;
	bool has_ports = false;

	ext->ifindex = packet.ifindex;
	ext->gso_size = skb_shinfo(packet.skb)->gso_size;
	ext->gso_segs = skb_shinfo(packet.skb)->gso_segs;
	magnet_packet_skip_vlan(&packet);
	if (packet.protocol == htons(ETH_P_IP))
		has_ports = magnet_packet_ipv4(ext, &packet, &transport);
	else if (packet.protocol == htons(ETH_P_IPV6))
		has_ports = magnet_packet_ipv6(ext, &packet, &transport);
	if (has_ports)
		magnet_packet_transport(ext, &packet, &transport);
}
