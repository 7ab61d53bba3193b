// SPDX-License-Identifier: GPL-2.0
/*
 * A host's event records without a module: MAGNeT's records (proto/magnet.h) from raw tracepoints, and before
 * Linux 6.4 from the returns of two socket calls, where no module may be loaded. Each program is attached while a run is on and absent otherwise; it gates (namespace, flow table),
 * reserves, writes and commits, and decides about nothing.
 *
 * What no tracepoint shows is not given: TCP_SEND, UDP_SEND, UDP_RECV, IP_SEND, IP_RECV, IP6_SEND, IP6_RECV.
 * TCP_RECV is seen in state ESTABLISHED alone, SOCK_OPEN and SOCK_CLOSE of TCP alone.
 */
#include "bpf/host_packet.h"

static __always_inline int fl_socket_call(struct sock *sk, __u32 event, int ret)
{
	struct fl_event_lift *lift;
	struct fl_socket s;

	if (fl_socket_read(sk, &s))
		return 0;
	lift = fl_event_begin(event, bpf_get_socket_cookie(sk), ret);
	if (!lift)
		return 0;
	fl_socket_layer(lift, sk, &s, event == MAGNET_SOCK_SEND);
	fl_event_commit(lift);
	return 0;
}

/* As the module's: a peek takes nothing, and what the error queue gives was never received. */
static __always_inline int fl_socket_received(struct sock *sk, int flags, int ret)
{
	return fl_socket_call(sk, MAGNET_SOCK_RECV, ret > 0 && (flags & (FL_MSG_PEEK | FL_MSG_ERRQUEUE)) ? 0 : ret);
}

/* Linux 6.4 and newer. */
SEC("tp_btf/sock_send_length")
int BPF_PROG(fl_sock_send, struct sock *sk, int ret, int flags)
{
	return fl_socket_call(sk, MAGNET_SOCK_SEND, ret);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(fl_sock_recv, struct sock *sk, int ret, int flags)
{
	return fl_socket_received(sk, flags, ret);
}

/* Older ones: what inet sockets do when they are called, as it returns. One of these is met per call. */
SEC("fexit/inet_sendmsg")
int BPF_PROG(fl_sock_send_v4, struct socket *sock, void *message, __u64 size, int ret)
{
	return fl_socket_call(sock->sk, MAGNET_SOCK_SEND, ret);
}

SEC("fexit/inet6_sendmsg")
int BPF_PROG(fl_sock_send_v6, struct socket *sock, void *message, __u64 size, int ret)
{
	return fl_socket_call(sock->sk, MAGNET_SOCK_SEND, ret);
}

/* sendfile() and splice(), until Linux 6.5 */
SEC("fexit/inet_sendpage")
int BPF_PROG(fl_sock_sendpage, struct socket *sock, void *page, int offset, __u64 size, int flags, __s64 ret)
{
	return fl_socket_call(sock->sk, MAGNET_SOCK_SEND, ret);
}

SEC("fexit/inet_recvmsg")
int BPF_PROG(fl_sock_recv_v4, struct socket *sock, void *message, __u64 size, int flags, int ret)
{
	return fl_socket_received(sock->sk, flags, ret);
}

SEC("fexit/inet6_recvmsg")
int BPF_PROG(fl_sock_recv_v6, struct socket *sock, void *message, __u64 size, int flags, int ret)
{
	return fl_socket_received(sock->sk, flags, ret);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(fl_sock_open, struct sock *sk, int oldstate, int newstate)
{
	struct fl_event_lift *lift;
	struct fl_socket s;

	if (newstate != FL_TCP_ESTABLISHED || fl_socket_read(sk, &s))
		return 0;
	lift = fl_event_begin(MAGNET_SOCK_OPEN, bpf_get_socket_cookie(sk), 0);
	if (!lift)
		return 0;
	fl_socket_opened(lift, &s, oldstate == FL_TCP_SYN_RECV);
	fl_event_commit(lift);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(fl_sock_close, struct sock *sk)
{
	struct fl_event_lift *lift;
	struct fl_socket s;

	if (fl_socket_read(sk, &s))
		return 0;
	lift = fl_event_begin(MAGNET_SOCK_CLOSE, bpf_get_socket_cookie(sk), 0);
	if (!lift)
		return 0;
	fl_socket_layer(lift, sk, &s, 1);
	/* Not the doing of whoever happens to run: a socket is destroyed where its last packet is. */
	lift->record.ext.sock.pid = 0;
	lift->record.ext.sock.uid = 0;
	fl_event_commit(lift);
	return 0;
}

/* The tracepoint has a third argument, and is met by attempts that failed as well (it is their error then). */
const volatile __u8 fl_retransmit_tells_error = 0;

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(fl_tcp_retransmit, struct sock *sk, struct sk_buff *skb)
{
	struct tcp_skb_cb *control = (struct tcp_skb_cb *)&skb->cb[0];
	struct fl_event_lift *lift;
	struct fl_socket s;

	/* Where there is none the verifier, which knows the flag, never gets to this argument. */
	if (fl_retransmit_tells_error && (int)ctx[2])
		return 0;
	if (fl_socket_read(sk, &s) || !s.tcp)
		return 0;
	lift = fl_event_begin(MAGNET_TCP_RETRANS, bpf_get_socket_cookie(sk), skb->len);
	if (!lift)
		return 0;
	fl_tcp_layer(lift, &s);
	lift->record.ext.tcp.seq = BPF_CORE_READ(control, seq);
	lift->record.ext.tcp.ack = s.tcp->rcv_nxt;
	lift->record.ext.tcp.gso_segs = BPF_CORE_READ(control, tcp_gso_segs);
	lift->record.ext.tcp.flags = 0x10; /* the kernel keeps the others in a member whose size changed */
	fl_event_commit(lift);
	return 0;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(fl_tcp_recv, struct sock *sk, struct sk_buff *skb)
{
	struct fl_event_lift *lift;
	struct tcphdr header;
	struct fl_socket s;
	__u32 header_len;

	if (fl_socket_read(sk, &s) || !s.tcp)
		return 0;
	if (bpf_probe_read_kernel(&header, sizeof(header), (const void *)fl_address(data)))
		return 0;
	header_len = header.doff * 4;
	lift = fl_event_begin(MAGNET_TCP_RECV, bpf_get_socket_cookie(sk), skb->len - header_len);
	if (!lift)
		return 0;
	fl_tcp_layer(lift, &s);
	lift->record.ext.tcp.seq = bpf_ntohl(header.seq);
	lift->record.ext.tcp.ack = bpf_ntohl(header.ack_seq);
	lift->record.ext.tcp.flags = ((const __u8 *)&header)[13] & 0x3f;
	fl_event_commit(lift);
	return 0;
}

static __always_inline int fl_device_wanted(const struct net_device *dev, struct fl_headers *h)
{
	__u32 index = dev->ifindex;

	if (dev->nd_net.net->ns.inum != fl_netns || !bpf_map_lookup_elem(&devices, &index))
		return 0;
	__builtin_memset(h, 0, sizeof(*h));
	h->ext.ifindex = index;
	return 1;
}

static __always_inline void fl_device_put(struct fl_headers *h, __u32 event, __u64 sockid, int sent)
{
	struct fl_event_lift *lift = fl_event_begin(event, sockid, h->frame_len);
	__u16 sport = bpf_ntohs(h->key.sport), dport = bpf_ntohs(h->key.dport);
	__u64 tag;

	if (!lift)
		return;
	h->ext.local_port = sent ? sport : dport;
	h->ext.peer_port = sent ? dport : sport;
	lift->record.ext.packet = h->ext;
	tag = sent ? fl_event_tag(h->key.src, h->key.dst) : fl_event_tag(h->key.dst, h->key.src);
	__builtin_memcpy(&lift->record.ext.bytes[32], &tag, sizeof(tag));
	fl_event_commit(lift);
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(fl_device_send, struct sk_buff *skb, struct net_device *dev)
{
	struct fl_headers h;
	struct sock *sk;
	__u64 sockid = 0;

	if (!fl_device_wanted(dev, &h))
		return 0;
	if (fl_headers_read(skb, fl_address(head) + skb->network_header, skb->protocol, &h))
		return 0;
	h.frame_len = skb->len;
	/* Not the helper, which asks for a socket that is held. One that was in no event yet has none: it joins by ports. */
	sk = skb->sk;
	if (sk)
		sockid = sk->__sk_common.skc_cookie.counter;
	fl_device_put(&h, MAGNET_DEV_SEND, sockid, 1);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(fl_device_recv, struct sk_buff *skb)
{
	__u64 network = fl_address(data);
	struct net_device *dev = skb->dev;
	__u16 type = skb->protocol;
	struct fl_headers h;
	__u32 pulled;

	if (!dev || !fl_device_wanted(dev, &h))
		return 0;
	if (fl_headers_read(skb, network, type, &h))
		return 0;
	/* The link header was pulled: it stands between mac_header and data. */
	pulled = network - fl_address(head) - skb->mac_header;
	h.frame_len = skb->len + (pulled <= 64 ? pulled : 0);
	fl_device_put(&h, MAGNET_DEV_RECV, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
