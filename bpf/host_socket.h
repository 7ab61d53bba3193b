/* SPDX-License-Identifier: GPL-2.0 */
/* What an event says of its socket. */
#ifndef FIELDLINE_BPF_HOST_SOCKET_H
#define FIELDLINE_BPF_HOST_SOCKET_H

#include "bpf/host_record.h"

/* The daemon's own namespace: a host in a container or a lab records its own sockets alone. */
const volatile __u32 fl_netns = 0;

struct fl_socket {
	struct fl_flow_key key; /* source: here, destination: the peer */
	struct tcp_sock *tcp;	/* NULL if it is not TCP */
	__u8 family;
};

static __always_inline void fl_map_v4(__u8 *to, __be32 address)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = address;
}

static __always_inline void fl_copy_v6(__u8 *to, const struct in6_addr *from)
{
	__u32 *word = (__u32 *)to;

	word[0] = from->in6_u.u6_addr32[0];
	word[1] = from->in6_u.u6_addr32[1];
	word[2] = from->in6_u.u6_addr32[2];
	word[3] = from->in6_u.u6_addr32[3];
}

/* 0, or why the socket is none of ours: not IP, another namespace's, no peer, no run's. */
static __always_inline int fl_socket_read(struct sock *sk, struct fl_socket *s)
{
	__u16 protocol = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol);

	__builtin_memset(s, 0, sizeof(*s));
	s->family = sk->__sk_common.skc_family;
	if (s->family == FL_AF_INET) {
		fl_map_v4(s->key.src, sk->__sk_common.skc_rcv_saddr);
		fl_map_v4(s->key.dst, sk->__sk_common.skc_daddr);
	} else if (s->family == FL_AF_INET6) {
		fl_copy_v6(s->key.src, &sk->__sk_common.skc_v6_rcv_saddr);
		fl_copy_v6(s->key.dst, &sk->__sk_common.skc_v6_daddr);
	} else {
		return -1;
	}
	if (sk->__sk_common.skc_net.net->ns.inum != fl_netns || protocol > 0xff)
		return -1;
	s->key.protocol = protocol;
	s->key.dport = sk->__sk_common.skc_dport;
	s->key.sport = bpf_htons(sk->__sk_common.skc_num);
	if (protocol == IPPROTO_TCP) {
		s->tcp = bpf_skc_to_tcp_sock(sk);
		if (!s->tcp)
			return -1;
		/* Not skc_num: a closed socket has given its port back and still tells its reader of the end. */
		s->key.sport = s->tcp->inet_conn.icsk_inet.inet_sport;
	}
	return fl_flow_wanted(&s->key) ? 0 : -1;
}

static __always_inline void fl_socket_layer(struct fl_event_lift *lift, struct sock *sk, struct fl_socket *s, int sent)
{
	struct magnet_ext_sock *ext = &lift->record.ext.sock;
	struct tcp_sock *tcp = s->tcp;

	ext->pid = bpf_get_current_pid_tgid() >> 32;
	ext->uid = bpf_get_current_uid_gid();
	ext->sndbuf = sk->sk_sndbuf;
	ext->rcvbuf = sk->sk_rcvbuf;
	ext->local_port = bpf_ntohs(s->key.sport);
	ext->peer_port = bpf_ntohs(s->key.dport);
	ext->family = s->family;
	ext->protocol = s->key.protocol;
	if (tcp) {
		ext->seq = sent ? tcp->write_seq : tcp->copied_seq;
		ext->wqueue = tcp->write_seq - tcp->snd_una;
		ext->rqueue = tcp->rcv_nxt - tcp->copied_seq;
	} else {
		ext->wqueue = sk->sk_wmem_alloc.refs.counter - 1; /* the socket itself holds one */
		ext->rqueue = sk->sk_backlog.rmem_alloc.counter;
	}
}

static __always_inline void fl_tcp_layer(struct fl_event_lift *lift, struct fl_socket *s)
{
	struct magnet_ext_tcp *ext = &lift->record.ext.tcp;
	struct tcp_sock *tcp = s->tcp;

	ext->local_port = bpf_ntohs(s->key.sport);
	ext->peer_port = bpf_ntohs(s->key.dport);
	ext->cwnd = tcp->snd_cwnd;
	ext->ssthresh = tcp->snd_ssthresh;
	ext->srtt_us = tcp->srtt_us >> 3;
	ext->snd_wnd = tcp->snd_wnd;
	ext->in_flight = tcp->snd_nxt - tcp->snd_una;
	ext->wqueue = tcp->write_seq - tcp->snd_nxt;
	ext->ca_state = BPF_CORE_READ_BITFIELD(&tcp->inet_conn, icsk_ca_state);
}

static __always_inline void fl_socket_opened(struct fl_event_lift *lift, struct fl_socket *s, int passive)
{
	struct magnet_ext_open *ext = &lift->record.ext.open;

	__builtin_memcpy(ext->local, s->key.src, sizeof(ext->local));
	__builtin_memcpy(ext->peer, s->key.dst, sizeof(ext->peer));
	ext->local_port = bpf_ntohs(s->key.sport);
	ext->peer_port = bpf_ntohs(s->key.dport);
	ext->family = s->family;
	ext->protocol = s->key.protocol;
	ext->passive = passive;
}

#endif
