// SPDX-License-Identifier: GPL-2.0
#include "tcp.h"

#include <net/tcp.h>
#include <trace/events/tcp.h>
#include "record.h"

struct magnet_segment {
	u32 seq, ack;
	u32 payload;
	u32 segments;
	u8 flags;
};

/* sk is a full socket; on the way out, and mostly on the way in, it is locked by who runs this. */
static void magnet_tcp_fill(struct magnet_ext_tcp *ext, const struct sock *sk, const struct magnet_segment *segment)
{
	const struct tcp_sock *tcp = (const struct tcp_sock *)sk;
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)sk;
	const u32 next = READ_ONCE(tcp->snd_nxt);

	ext->local_port = READ_ONCE(inet_sk(sk)->inet_num);
	ext->peer_port = ntohs(READ_ONCE(inet_sk(sk)->inet_dport));
	ext->seq = segment->seq;
	ext->ack = segment->ack;
	ext->cwnd = READ_ONCE(tcp->snd_cwnd);
	ext->ssthresh = READ_ONCE(tcp->snd_ssthresh);
	ext->srtt_us = READ_ONCE(tcp->srtt_us) >> 3;
	ext->snd_wnd = READ_ONCE(tcp->snd_wnd);
	ext->in_flight = next - READ_ONCE(tcp->snd_una);
	ext->wqueue = READ_ONCE(tcp->write_seq) - next;
	ext->flags = segment->flags;
	ext->ca_state = icsk->icsk_ca_state;
	ext->gso_segs = segment->segments > 1 ? min_t(u32, segment->segments, U16_MAX) : 0;
}

static noinline void magnet_tcp_record(const struct sock *sk, u32 event, const struct magnet_segment *segment)
{
	const u64 sockid = magnet_cookie(sk);
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	record = magnet_record_begin(&timestamp);
	if (!record)
		return;
	magnet_record_head(record, sockid, event, segment->payload);
	ext = magnet_record_ext(record);
	if (ext)
		magnet_tcp_fill(&ext->tcp, sk, segment);
	magnet_record_end(record, timestamp);
}

/* A segment in the send queues has no header yet: its control block says what the header will. */
static struct magnet_segment magnet_tcp_outgoing(const struct sk_buff *skb, u32 ack)
{
	const struct tcp_skb_cb *cb = TCP_SKB_CB(skb);

	return (struct magnet_segment){
		.seq = cb->seq,
		.ack = ack,
		.payload = skb->len,
		.segments = tcp_skb_pcount(skb),
		.flags = (u8)cb->tcp_flags,
	};
}

static noinline void magnet_tcp_transmitted(const struct sock *sk, const struct sk_buff *skb, u32 ack)
{
	const struct magnet_segment segment = magnet_tcp_outgoing(skb, ack);

	magnet_tcp_record(sk, MAGNET_TCP_SEND, &segment);
}

/* __tcp_transmit_skb(sk, skb, clone_it, gfp_mask, rcv_nxt) */
MAGNET_ENTERED(magnet_tcp_transmit)
{
	const struct sock *sk = (const struct sock *)first;
	const struct sk_buff *skb = (const struct sk_buff *)second;

	if (!magnet_record_plain_of(sk, MAGNET_TCP_SEND, skb->len))
		magnet_tcp_transmitted(sk, skb, (u32)fifth);
}

/* The header is checked and linear, and skb->data stands there. */
static u32 magnet_tcp_payload(const struct sk_buff *skb)
{
	const u32 header = ((const struct tcphdr *)skb->data)->doff * 4;

	return skb->len > header ? skb->len - header : 0;
}

static noinline void magnet_tcp_received_with(const struct sock *sk, const struct sk_buff *skb)
{
	const struct tcphdr *header = (const struct tcphdr *)skb->data;
	const struct magnet_segment segment = {
		.seq = ntohl(header->seq),
		.ack = ntohl(header->ack_seq),
		.payload = magnet_tcp_payload(skb),
		.segments = skb_shinfo(skb)->gso_segs,
		.flags = ((const u8 *)header)[13],
	};

	magnet_tcp_record(sk, MAGNET_TCP_RECV, &segment);
}

static __always_inline void magnet_tcp_received(const struct sock *sk, const struct sk_buff *skb)
{
	if (!magnet_record_plain_of(sk, MAGNET_TCP_RECV, magnet_tcp_payload(skb)))
		magnet_tcp_received_with(sk, skb);
}

/*
 * A segment goes to tcp_rcv_established(), where the tracepoint stands, or to tcp_rcv_state_process(): from do_rcv, by
 * the socket's state, and from tcp_child_process(), unless the child is busy and has it from its backlog.
 */
#ifdef MAGNET_TCP_PROBE_ARGS
void magnet_tcp_established(void *unused, MAGNET_TCP_PROBE_ARGS)
{
	check_trace_callback_type_tcp_probe(magnet_tcp_established);
	magnet_tcp_received(sk, skb);
}
#endif

/*
 * tcp_rcv_state_process(sk, skb), and tcp_v4_do_rcv(sk, skb) where there is no such tracepoint. What a listener gets and
 * is not a SYN either makes a child (a SYN cookie), which tcp_child_process() has, or is refused.
 */
MAGNET_ENTERED(magnet_tcp_receive)
{
	const struct sock *sk = (const struct sock *)first;
	const struct sk_buff *skb = (const struct sk_buff *)second;

	if (READ_ONCE(sk->sk_state) != TCP_LISTEN || ((const struct tcphdr *)skb->data)->syn)
		magnet_tcp_received(sk, skb);
}

/* IPv4 packets of an IPv6 socket go on to tcp_v4_do_rcv(). */
MAGNET_ENTERED(magnet_tcp_receive6)
{
	const struct sk_buff *skb = (const struct sk_buff *)second;

	if (skb->protocol != htons(ETH_P_IP))
		magnet_tcp_receive(first, second, third, fourth, fifth);
}

/* tcp_child_process(parent, child, skb): the segment that ends the handshake goes to the child, and by no do_rcv. */
MAGNET_ENTERED(magnet_tcp_receive_child)
{
	const struct sock *child = (const struct sock *)second;
	const struct sk_buff *skb = (const struct sk_buff *)third;

	magnet_tcp_received(child, skb);
}

static void magnet_tcp_again(const struct sock *sk, const struct sk_buff *skb)
{
	const struct magnet_segment segment =
		magnet_tcp_outgoing(skb, READ_ONCE(((const struct tcp_sock *)sk)->rcv_nxt));

	magnet_tcp_record(sk, MAGNET_TCP_RETRANS, &segment);
}

#ifdef MAGNET_RETRANSMIT_ARGS
void magnet_tcp_retransmitted(void *unused, MAGNET_RETRANSMIT_ARGS)
{
	check_trace_callback_type_tcp_retransmit_skb(magnet_tcp_retransmitted);
	/* Also for what has no full socket: SYN-ACKs have no record here in any kernel. */
	if (!MAGNET_RETRANSMIT_FAILED && skb && sk_fullsock(sk))
		magnet_tcp_again(sk, skb);
}
#endif

/* __tcp_retransmit_skb(sk, skb, segs): may still fail, and may send a part of skb alone. */
MAGNET_ENTERED(magnet_tcp_retransmit)
{
	magnet_tcp_again((const struct sock *)first, (const struct sk_buff *)second);
}
