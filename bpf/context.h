/* SPDX-License-Identifier: GPL-2.0 */
/* What a program reads its packet from: XDP's frame, or an skb in a source that defines FL_TC. */
#ifndef FIELDLINE_BPF_CONTEXT_H
#define FIELDLINE_BPF_CONTEXT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef FL_TC
#define fl_context __sk_buff
#define fl_context_load bpf_skb_load_bytes
#else
#define fl_context xdp_md
#define fl_context_load bpf_xdp_load_bytes
#endif

#endif
