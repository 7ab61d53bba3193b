// SPDX-License-Identifier: GPL-2.0
/*
 * Triggers as a host meets them: on its own interfaces, in both directions, by tc. Every packet goes on untouched
 * to whatever stands behind this program; nothing but a trigger is ever copied.
 */
#define FL_TC
#include <linux/pkt_cls.h>

#include "bpf/trigger.h"

/* The number of each interface among the host's. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FL_PORTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} watched SEC(".maps");

/*
 * Most of a host's packets are TCP and carry none: they are told apart by two loads, before anything is parsed.
 * What is not in the linear part is looked at in full.
 */
static __always_inline int fl_is_tcp(struct __sk_buff *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;
	const struct ipv6hdr *v6 = (const void *)(eth + 1);
	const struct iphdr *v4 = (const void *)(eth + 1);

	if ((const void *)(v4 + 1) > data_end)
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return v4->protocol == IPPROTO_TCP;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (const void *)(v6 + 1) > data_end)
		return 0;
	return v6->nexthdr == IPPROTO_TCP;
}

SEC("tc")
int fl_host_watch(struct __sk_buff *ctx)
{
	__u32 zero = 0, ifindex = ctx->ifindex, *index;
	struct fl_port_counters *port;
	struct fl_scratch *s;

	if (fl_is_tcp(ctx))
		return TC_ACT_UNSPEC;
	index = bpf_map_lookup_elem(&watched, &ifindex);
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!index || !s)
		return TC_ACT_UNSPEC;
	port = bpf_map_lookup_elem(&port_counters, index);
	if (!port || fl_parse(ctx, &s->cursor, &s->packet, ctx->len) || !fl_trigger_is(ctx, &s->packet))
		return TC_ACT_UNSPEC;
	fl_trigger_lift(ctx, &s->packet, s, port, *index, fl_context_segments(ctx, ctx->len - s->packet.payload_at));
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
