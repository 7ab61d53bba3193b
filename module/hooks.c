// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include "hooks.h"

#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/netfilter.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include "attach.h"
#include "dev.h"
#include "flow.h"
#include "ip.h"
#include "param.h"
#include "proto/magnet.h"
#include "sock.h"
#include "tcp.h"
#include "udp.h"

#define TRACEPOINT(events_, layer_, symbol_, callback_, ...) \
	{ .events = events_, .layer = MAGNET_LAYER_##layer_, .kind = MAGNET_HOOK_TRACEPOINT, .symbol = #symbol_, \
	  .callback = callback_, __VA_ARGS__ }
#define NETFILTER(events_, symbol_, family_, point_, callback_) \
	{ .events = events_, .layer = MAGNET_LAYER_IP, .kind = MAGNET_HOOK_NETFILTER, .symbol = symbol_, \
	  .family = family_, .point = point_, .callback = callback_ }
#define KPROBE(events_, layer_, symbol_, entered_, ...) \
	{ .events = events_, .layer = MAGNET_LAYER_##layer_, .kind = MAGNET_HOOK_KPROBE, .symbol = #symbol_, \
	  .entered = entered_, __VA_ARGS__ }
#define KRETPROBE(events_, layer_, symbol_, call_, returned_, blocked_, ...) \
	{ .events = events_, .layer = MAGNET_LAYER_##layer_, .kind = MAGNET_HOOK_KRETPROBE, .symbol = #symbol_, \
	  .call = call_, .returned = returned_, .call_data = MAGNET_SOCK_CALL_SIZE, .blocked = blocked_, __VA_ARGS__ }

/* Threads that may sleep inside one call at a time; one more is counted as missed. */
#define SLEEPERS 4096
#define NO_SLEEPERS 64

static struct magnet_hook magnet_hooks[] = {
	TRACEPOINT("sock-open,sock-close", SOCK, inet_sock_set_state, magnet_flow_state),
	KRETPROBE("sock-open", SOCK, __ip4_datagram_connect, magnet_flow_connect_call, magnet_flow_connect4_returned,
		  NO_SLEEPERS),
	KRETPROBE("sock-open", SOCK, __ip6_datagram_connect, magnet_flow_connect_call, magnet_flow_connect6_returned,
		  NO_SLEEPERS),
	TRACEPOINT("sock-send", SOCK, sock_send_length, MAGNET_SOCK_SENT),
	KRETPROBE("sock-send", SOCK, inet_sendmsg, magnet_sock_send_call, magnet_sock_send_returned, SLEEPERS,
		  .instead_of = "sock_send_length"),
	KRETPROBE("sock-send", SOCK, inet6_sendmsg, magnet_sock_send_call, magnet_sock_send_returned, SLEEPERS,
		  .instead_of = "sock_send_length"),
	KRETPROBE("sock-send", SOCK, inet_sendpage, magnet_sock_sendpage_call, magnet_sock_send_returned, SLEEPERS,
		  .instead_of = "sock_send_length"),
	TRACEPOINT("sock-recv", SOCK, sock_recv_length, MAGNET_SOCK_RECEIVED),
	KRETPROBE("sock-recv", SOCK, inet_recvmsg, magnet_sock_recv_call, magnet_sock_recv_returned, SLEEPERS,
		  .instead_of = "sock_recv_length"),
	KRETPROBE("sock-recv", SOCK, inet6_recvmsg, magnet_sock_recv_call, magnet_sock_recv_returned, SLEEPERS,
		  .instead_of = "sock_recv_length"),
	KRETPROBE("sock-recv", SOCK, tcp_splice_read, magnet_sock_splice_call, magnet_sock_recv_returned, SLEEPERS),
	KPROBE("tcp-send", TCP, __tcp_transmit_skb, magnet_tcp_transmit),
	TRACEPOINT("tcp-recv", TCP, tcp_probe, MAGNET_TCP_ESTABLISHED, .together_with = "tcp_rcv_state_process"),
	KPROBE("tcp-recv", TCP, tcp_rcv_state_process, magnet_tcp_receive, .together_with = "tcp_probe"),
	KPROBE("tcp-recv", TCP, tcp_v4_do_rcv, magnet_tcp_receive, .instead_of = "tcp_probe"),
	KPROBE("tcp-recv", TCP, tcp_v6_do_rcv, magnet_tcp_receive6, .instead_of = "tcp_probe"),
	KPROBE("tcp-recv", TCP, tcp_child_process, magnet_tcp_receive_child, .instead_of = "tcp_probe"),
	TRACEPOINT("tcp-retrans", TCP, tcp_retransmit_skb, MAGNET_TCP_RETRANSMITTED),
	KPROBE("tcp-retrans", TCP, __tcp_retransmit_skb, magnet_tcp_retransmit, .instead_of = "tcp_retransmit_skb"),
	KPROBE("udp-send", UDP, udp_sendmsg, magnet_udp_send4),
	KPROBE("udp-send", UDP, udpv6_sendmsg, magnet_udp_send6),
	KPROBE("udp-recv", UDP, __udp_enqueue_schedule_skb, magnet_udp_receive),
	NETFILTER("ip-send", "ipv4/local-out", NFPROTO_IPV4, NF_INET_LOCAL_OUT, MAGNET_IP_HOOK(ip_sent)),
	NETFILTER("ip-recv", "ipv4/local-in", NFPROTO_IPV4, NF_INET_LOCAL_IN, MAGNET_IP_HOOK(ip_received)),
	NETFILTER("ip6-send", "ipv6/local-out", NFPROTO_IPV6, NF_INET_LOCAL_OUT, MAGNET_IP_HOOK(ip6_sent)),
	NETFILTER("ip6-recv", "ipv6/local-in", NFPROTO_IPV6, NF_INET_LOCAL_IN, MAGNET_IP_HOOK(ip6_received)),
	TRACEPOINT("dev-send", DEV, net_dev_start_xmit, magnet_dev_transmit),
	TRACEPOINT("dev-recv", DEV, netif_receive_skb, magnet_dev_receive),
	/* Seldom entered, and so last: who is entered is looked for in the order of this table. */
	KPROBE("sock-close", SOCK, udp_destroy_sock, magnet_flow_udp_ends),
	KPROBE("sock-close", SOCK, udpv6_destroy_sock, magnet_flow_udp_ends),
	KPROBE("sock-close", SOCK, __udp_disconnect, magnet_flow_udp_ends),
};

static const char *const kinds[] = {
	[MAGNET_HOOK_TRACEPOINT] = "tracepoint",
	[MAGNET_HOOK_NETFILTER] = "netfilter",
	[MAGNET_HOOK_FTRACE] = "ftrace",
	[MAGNET_HOOK_KPROBE] = "kprobe",
	[MAGNET_HOOK_KRETPROBE] = "kretprobe",
};

static const char *const states[] = {
	[MAGNET_HOOK_IDLE] = "idle",   [MAGNET_HOOK_ARMED] = "armed", [MAGNET_HOOK_ABSENT] = "absent",
	[MAGNET_HOOK_SPARE] = "spare", [MAGNET_HOOK_OFF] = "off",     [MAGNET_HOOK_FAILED] = "failed",
};

static DEFINE_MUTEX(magnet_hooks_mutex);
/*
 * Inside the mutex, for state and missed: the one that /proc/net/magnet takes. It must not wait for the mutex: who holds
 * that may wait for network namespaces that go away, and they for the readers of their files in /proc.
 */
static DEFINE_SPINLOCK(magnet_hooks_state_lock);
static u32 magnet_hooks_users; /* under the mutex */
bool magnet_hooks_are_armed;

static bool magnet_hook_is_there(const char *symbol)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++)
		if (!strcmp(magnet_hooks[i].symbol, symbol))
			return magnet_hooks[i].state == MAGNET_HOOK_IDLE;
	return false;
}

static bool magnet_hook_is_replaced(const char *symbol)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++)
		if (magnet_hooks[i].instead_of && !strcmp(magnet_hooks[i].instead_of, symbol) &&
		    magnet_hooks[i].state == MAGNET_HOOK_IDLE)
			return true;
	return false;
}

void magnet_hook_attached(struct magnet_hook *hook, int err)
{
	spin_lock(&magnet_hooks_state_lock);
	hook->state = err ? MAGNET_HOOK_FAILED : MAGNET_HOOK_ARMED;
	spin_unlock(&magnet_hooks_state_lock);
	if (err)
		pr_warn("%s could not be hooked (error %d): %s incomplete\n", hook->symbol, -err, hook->events);
}

void magnet_hook_detached(struct magnet_hook *hook)
{
	spin_lock(&magnet_hooks_state_lock);
	hook->missed = magnet_attach_missed(hook);
	hook->state = MAGNET_HOOK_IDLE;
	spin_unlock(&magnet_hooks_state_lock);
}

static bool magnet_hook_has(const char *name, size_t length)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++)
		if (strlen(magnet_hooks[i].symbol) == length && !strncmp(magnet_hooks[i].symbol, name, length))
			return true;
	return false;
}

int magnet_hooks_init(void)
{
	u32 i;

	BUILD_BUG_ON(ARRAY_SIZE(magnet_hooks) > MAGNET_HOOKS_MAX);
	if (magnet_param_check_without(magnet_hook_has))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++)
		if (!(magnet_param.layers & (1U << (magnet_hooks[i].layer - 1))) ||
		    magnet_param_without(magnet_hooks[i].symbol))
			magnet_hooks[i].state = MAGNET_HOOK_OFF;
	magnet_attach_find(magnet_hooks, ARRAY_SIZE(magnet_hooks));
	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++)
		if (magnet_hooks[i].together_with && magnet_hooks[i].state == MAGNET_HOOK_IDLE &&
		    !magnet_hook_is_there(magnet_hooks[i].together_with))
			magnet_hooks[i].state = MAGNET_HOOK_SPARE;
	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++) {
		struct magnet_hook *hook = &magnet_hooks[i];

		if (hook->instead_of && hook->state != MAGNET_HOOK_OFF && magnet_hook_is_there(hook->instead_of))
			hook->state = MAGNET_HOOK_SPARE;
		else if (hook->state == MAGNET_HOOK_ABSENT)
			pr_info("this kernel has no %s %s: %s %s\n", kinds[hook->kind], hook->symbol, hook->events,
				magnet_hook_is_replaced(hook->symbol) ? "by other hooks" : "may be incomplete");
	}
	return magnet_param.always ? magnet_hooks_get() : 0;
}

void magnet_hooks_exit(void)
{
	if (magnet_param.always)
		magnet_hooks_put();
}

int magnet_hooks_get(void)
{
	if (mutex_lock_killable(&magnet_hooks_mutex))
		return -EINTR;
	if (magnet_hooks_users++ == 0) {
		magnet_attach(magnet_hooks, ARRAY_SIZE(magnet_hooks));
		WRITE_ONCE(magnet_hooks_are_armed, true);
	}
	mutex_unlock(&magnet_hooks_mutex);
	return 0;
}

void magnet_hooks_put(void)
{
	mutex_lock(&magnet_hooks_mutex);
	if (--magnet_hooks_users == 0) {
		WRITE_ONCE(magnet_hooks_are_armed, false);
		magnet_detach(magnet_hooks, ARRAY_SIZE(magnet_hooks));
	}
	mutex_unlock(&magnet_hooks_mutex);
}

void magnet_hooks_show(struct seq_file *file)
{
	unsigned long missed = 0;
	u32 i;

	spin_lock(&magnet_hooks_state_lock);
	for (i = 0; i < ARRAY_SIZE(magnet_hooks); i++) {
		const struct magnet_hook *hook = &magnet_hooks[i];

		seq_printf(file, "hook %s %s %s %s missed %lu\n", hook->events, kinds[hook->kind], hook->symbol,
			   states[hook->state], magnet_attach_missed(hook));
		missed += magnet_attach_missed(hook);
	}
	seq_printf(file, "armed %d\nmissed %lu\nnamespaces_without_ip %u\n", magnet_hooks_armed(), missed,
		   magnet_attach_namespaces_without_ip());
	spin_unlock(&magnet_hooks_state_lock);
}
