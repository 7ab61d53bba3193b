/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an event of the device layer says of its packet: read from the headers that the skb points at. Later
 * fragments, extension headers and tunnels' outer headers name no ports and are nobody's.
 */
#ifndef FIELDLINE_BPF_HOST_PACKET_H
#define FIELDLINE_BPF_HOST_PACKET_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "bpf/host_socket.h"

/* A pointer member as a number: the verifier lets nobody reckon with the kernel's pointers themselves. */
#define fl_address(member) ((__u64)BPF_CORE_READ(skb, member))

struct fl_headers {
	struct fl_flow_key key;
	struct magnet_ext_packet ext;
	__u32 frame_len;
};

static __always_inline int fl_read_v4(__u64 at, struct fl_headers *h, __u32 *transport, __u32 *total)
{
	struct iphdr ip;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), (const void *)at) || ip.version != 4 || ip.ihl < 5)
		return -1;
	if (ip.frag_off & bpf_htons(0x1fff))
		return -1;
	fl_map_v4(h->key.src, ip.saddr);
	fl_map_v4(h->key.dst, ip.daddr);
	h->key.protocol = ip.protocol;
	h->ext.family = FL_AF_INET;
	h->ext.ip_id = bpf_ntohs(ip.id);
	h->ext.fragment = bpf_ntohs(ip.frag_off);
	*transport = ip.ihl * 4;
	*total = bpf_ntohs(ip.tot_len);
	return 0;
}

static __always_inline int fl_read_v6(__u64 at, struct fl_headers *h, __u32 *transport, __u32 *total)
{
	struct ipv6hdr ip;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), (const void *)at) || ip.version != 6)
		return -1;
	fl_copy_v6(h->key.src, &ip.saddr);
	fl_copy_v6(h->key.dst, &ip.daddr);
	h->key.protocol = ip.nexthdr;
	h->ext.family = FL_AF_INET6;
	*transport = sizeof(ip);
	*total = ip.payload_len ? sizeof(ip) + bpf_ntohs(ip.payload_len) : 0;
	return 0;
}

/* Ports and, of TCP, what joins it to its socket; the transport header's length. */
static __always_inline __u32 fl_read_transport(__u64 at, struct fl_headers *h)
{
	struct tcphdr tcp;
	struct udphdr udp;

	if (h->key.protocol == IPPROTO_TCP && !bpf_probe_read_kernel(&tcp, sizeof(tcp), (const void *)at)) {
		h->key.sport = tcp.source;
		h->key.dport = tcp.dest;
		h->ext.seq = bpf_ntohl(tcp.seq);
		h->ext.ack = bpf_ntohl(tcp.ack_seq);
		h->ext.flags = ((const __u8 *)&tcp)[13] & 0x3f;
		return tcp.doff * 4;
	}
	if (h->key.protocol == IPPROTO_UDP && !bpf_probe_read_kernel(&udp, sizeof(udp), (const void *)at)) {
		h->key.sport = udp.source;
		h->key.dport = udp.dest;
		return sizeof(udp);
	}
	return 0;
}

static __always_inline void fl_read_gso(const struct sk_buff *skb, struct fl_headers *h)
{
	struct skb_shared_info *shared = (struct skb_shared_info *)(fl_address(head) + skb->end);

	h->ext.gso_size = BPF_CORE_READ(shared, gso_size);
	h->ext.gso_segs = BPF_CORE_READ(shared, gso_segs);
}

/* 0, or -1 for what is no run's. `network`: the network header. */
static __always_inline int fl_headers_read(const struct sk_buff *skb, __u64 network, __u16 type,
					   struct fl_headers *h)
{
	__u32 at, total, len, headers;
	int error;

	if (type == bpf_htons(ETH_P_IP))
		error = fl_read_v4(network, h, &at, &total);
	else if (type == bpf_htons(ETH_P_IPV6))
		error = fl_read_v6(network, h, &at, &total);
	else
		return -1;
	if (error)
		return -1;
	headers = at + fl_read_transport(network + at, h);
	if (!fl_flow_wanted(&h->key))
		return -1;
	fl_read_gso(skb, h);
	/* A super-packet may be longer than the header can say; any other may have padding behind it. */
	len = skb->len - (network - fl_address(data));
	if (!h->ext.gso_size && total)
		len = total;
	h->ext.payload = len > headers ? len - headers : 0;
	h->ext.protocol = h->key.protocol;
	return 0;
}

#endif
