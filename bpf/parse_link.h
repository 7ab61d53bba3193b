/* SPDX-License-Identifier: GPL-2.0 */
/* From the frame's start to its IP header: Ethernet, VLAN tags, an MPLS label stack. */
#ifndef FIELDLINE_BPF_PARSE_LINK_H
#define FIELDLINE_BPF_PARSE_LINK_H

#include <linux/if_ether.h>

#include "bpf/packet.h"

#define FL_TAGS_MAX 4	/* VLAN tags that are followed */
#define FL_LABELS_MAX 8 /* MPLS labels that are followed */
#define FL_LABEL_BOTTOM 0x100

struct fl_tag {
	__be16 tci;
	__be16 type;
};

static __always_inline int fl_parse_ethernet(struct fl_context *ctx, struct fl_cursor *c)
{
	struct ethhdr eth;

	if (fl_read(ctx, c, &eth, sizeof(eth)))
		return -FL_NOT_IP;
	c->at += sizeof(eth);
	return bpf_ntohs(eth.h_proto);
}

static __always_inline int fl_is_tag(int type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD || type == ETH_P_QINQ1;
}

/* The EtherType behind the tags, or the negated reason. Unrolled for what is said at fl_parse_extensions. */
static __always_inline int fl_parse_tags(struct fl_context *ctx, struct fl_cursor *c, int type)
{
	struct fl_tag tag;
	int i;

#pragma unroll
	for (i = 0; i < FL_TAGS_MAX; i++) {
		if (!fl_is_tag(type))
			return type;
		if (fl_read(ctx, c, &tag, sizeof(tag)))
			return -FL_LINK_TRUNCATED;
		c->at += sizeof(tag);
		type = bpf_ntohs(tag.type);
	}
	return fl_is_tag(type) ? -FL_TAGS_TOO_MANY : type;
}

/*
 * No label says what stands below the stack. Routers tell it by the first four bits as well (RFC 4928): 4 and 6
 * are IP; a pseudowire begins with 0 and is left alone.
 */
static __always_inline int fl_parse_labels(struct fl_context *ctx, struct fl_cursor *c)
{
	__be32 label = 0;
	__u8 first;
	int i;

#pragma unroll
	for (i = 0; i < FL_LABELS_MAX; i++) {
		if (fl_read(ctx, c, &label, sizeof(label)))
			return -FL_LINK_TRUNCATED;
		c->at += sizeof(label);
		if (label & bpf_htonl(FL_LABEL_BOTTOM))
			break;
	}
	if (!(label & bpf_htonl(FL_LABEL_BOTTOM)))
		return -FL_TAGS_TOO_MANY;
	if (fl_read(ctx, c, &first, sizeof(first)))
		return -FL_LINK_TRUNCATED;
	if (first >> 4 == 4)
		return ETH_P_IP;
	return first >> 4 == 6 ? ETH_P_IPV6 : -FL_NOT_IP;
}

/*
 * What stands behind an EtherType that is not IP's own: ETH_P_IP or ETH_P_IPV6 with the cursor there, or the
 * negated reason. A function that the verifier takes by itself: plain frames do not pass here.
 */
__noinline int fl_parse_link(struct fl_context *ctx, struct fl_cursor *c, int type)
{
	if (!c)
		return -FL_NOT_IP;
	type = fl_parse_tags(ctx, c, type);
	if (type == ETH_P_MPLS_UC || type == ETH_P_MPLS_MC)
		return fl_parse_labels(ctx, c);
	if (type < 0 || type == ETH_P_IP || type == ETH_P_IPV6)
		return type;
	return -FL_NOT_IP;
}

#endif
