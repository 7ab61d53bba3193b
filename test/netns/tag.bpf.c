// SPDX-License-Identifier: GPL-2.0
/* On a tap's own device, behind the copying: what leaves it carries a customer's tag inside a provider's. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int tag(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 5) || bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), 7))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
