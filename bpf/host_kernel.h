/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the host's programs read of the kernel's own structures: these members alone, found by name when the
 * program is loaded (CO-RE), so that one object serves every kernel from 6.1 on. Their order here means nothing.
 */
#ifndef FIELDLINE_BPF_HOST_KERNEL_H
#define FIELDLINE_BPF_HOST_KERNEL_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define FL_AF_INET 2
#define FL_AF_INET6 10

/* <linux/socket.h> of the kernel's own */
#define FL_MSG_PEEK 2
#define FL_MSG_ERRQUEUE 0x2000

/* enum of <net/tcp_states.h> */
#define FL_TCP_ESTABLISHED 1
#define FL_TCP_SYN_RECV 3

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	__u16 sk_protocol;
	int sk_rcvbuf;
	int sk_sndbuf;
	refcount_t sk_wmem_alloc;
};

struct socket {
	struct sock *sk;
};

struct inet_sock {
	__be16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u8 icsk_ca_state : 5;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 copied_seq;
	__u32 rcv_nxt;
	__u32 snd_cwnd;
	__u32 snd_nxt;
	__u32 snd_ssthresh;
	__u32 snd_una;
	__u32 snd_wnd;
	__u32 srtt_us;
	__u32 write_seq;
};

struct net_device {
	int ifindex;
	possible_net_t nd_net;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	__u16 protocol;
	__u16 network_header;
	__u16 mac_header;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
	char cb[48];
};

struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
};

struct tcp_skb_cb {
	__u32 seq;
	__u16 tcp_gso_segs;
};

#pragma clang attribute pop

#endif
