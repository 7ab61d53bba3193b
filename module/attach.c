// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include "attach.h"

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include "entry.h"

/* For the batch of unregistration, which takes one grace period; under the table's mutex. */
static struct kretprobe *magnet_kretprobes[MAGNET_HOOKS_MAX];

struct magnet_find {
	struct magnet_hook *hooks;
	u32 count;
};

static void magnet_find_tracepoint(struct tracepoint *tracepoint, void *data)
{
	const struct magnet_find *find = data;
	u32 i;

	for (i = 0; i < find->count; i++)
		if (find->hooks[i].kind == MAGNET_HOOK_TRACEPOINT &&
		    !strcmp(find->hooks[i].symbol, tracepoint->name))
			find->hooks[i].tracepoint = tracepoint;
}

/* From IDLE to ABSENT where the kernel has no such thing. */
void magnet_attach_find(struct magnet_hook *hooks, u32 count)
{
	struct magnet_find find = { hooks, count };
	u32 i;

	for_each_kernel_tracepoint(magnet_find_tracepoint, &find);
	for (i = 0; i < count; i++) {
		if (hooks[i].state != MAGNET_HOOK_IDLE)
			continue;
		if (hooks[i].kind == MAGNET_HOOK_TRACEPOINT && (!hooks[i].tracepoint || !hooks[i].callback))
			hooks[i].state = MAGNET_HOOK_ABSENT;
		if (hooks[i].kind == MAGNET_HOOK_NETFILTER && !IS_ENABLED(CONFIG_NETFILTER))
			hooks[i].state = MAGNET_HOOK_ABSENT;
	}
	magnet_entry_find(hooks, count);
}

#ifdef CONFIG_NETFILTER
#define MAGNET_NETFILTER_HOOKS 4

static struct nf_hook_ops magnet_netfilter_ops[MAGNET_NETFILTER_HOOKS];
static u32 magnet_netfilter_count;

/*
 * A namespace whose chains are full goes without, and is counted: who owns it could otherwise keep all others from being
 * recorded.
 */
struct magnet_netfilter_in {
	bool registered;
};
static unsigned int magnet_netfilter_id;
static atomic_t magnet_netfilter_without = ATOMIC_INIT(0);

static int __net_init magnet_netfilter_net_init(struct net *net)
{
	struct magnet_netfilter_in *in = net_generic(net, magnet_netfilter_id);
	const int err = nf_register_net_hooks(net, magnet_netfilter_ops, magnet_netfilter_count);

	in->registered = !err;
	if (err) {
		atomic_inc(&magnet_netfilter_without);
		pr_warn_ratelimited("a network namespace takes no more netfilter hooks (error %d): its IP events are missing\n",
				    -err);
	}
	return 0;
}

static void __net_exit magnet_netfilter_net_exit(struct net *net)
{
	const struct magnet_netfilter_in *in = net_generic(net, magnet_netfilter_id);

	if (in->registered)
		nf_unregister_net_hooks(net, magnet_netfilter_ops, magnet_netfilter_count);
	else
		atomic_dec(&magnet_netfilter_without);
}

static struct pernet_operations magnet_netfilter_net = {
	.init = magnet_netfilter_net_init,
	.exit = magnet_netfilter_net_exit,
	.id = &magnet_netfilter_id,
	.size = sizeof(struct magnet_netfilter_in),
};

u32 magnet_attach_namespaces_without_ip(void)
{
	return atomic_read(&magnet_netfilter_without);
}

/* Behind every other hook: what the host's own filter lets pass, as it then is. */
static int magnet_netfilter_attach(struct magnet_hook *hooks, u32 count)
{
	u32 i, n = 0;

	for (i = 0; i < count && n < MAGNET_NETFILTER_HOOKS; i++) {
		if (hooks[i].kind != MAGNET_HOOK_NETFILTER || hooks[i].state != MAGNET_HOOK_IDLE)
			continue;
		magnet_netfilter_ops[n++] = (struct nf_hook_ops){
			.hook = hooks[i].callback,
			.pf = hooks[i].family,
			.hooknum = hooks[i].point,
			.priority = NF_IP_PRI_LAST,
		};
	}
	magnet_netfilter_count = n;
	return n ? register_pernet_subsys(&magnet_netfilter_net) : 0;
}

static void magnet_netfilter_detach(void)
{
	unregister_pernet_subsys(&magnet_netfilter_net);
}
#else
static int magnet_netfilter_attach(struct magnet_hook *hooks, u32 count)
{
	return 0;
}

static void magnet_netfilter_detach(void)
{
}

u32 magnet_attach_namespaces_without_ip(void)
{
	return 0;
}
#endif

static int magnet_attach_one(struct magnet_hook *hook)
{
	switch (hook->kind) {
	case MAGNET_HOOK_TRACEPOINT:
		return tracepoint_probe_register(hook->tracepoint, hook->callback, NULL);
	case MAGNET_HOOK_KRETPROBE:
		memset(&hook->kretprobe, 0, sizeof(hook->kretprobe));
		hook->kretprobe.kp.symbol_name = hook->symbol;
		hook->kretprobe.entry_handler = hook->call;
		hook->kretprobe.handler = hook->returned;
		hook->kretprobe.data_size = hook->call_data;
		hook->kretprobe.maxactive = hook->blocked;
		return register_kretprobe(&hook->kretprobe);
	default:
		return -EINVAL;
	}
}

/* From IDLE and FAILED to ARMED or FAILED. */
void magnet_attach(struct magnet_hook *hooks, u32 count)
{
	int netfilter;
	u32 i;

	for (i = 0; i < count; i++)
		if (hooks[i].state == MAGNET_HOOK_FAILED)
			magnet_hook_detached(&hooks[i]);
	magnet_entry_attach(hooks, count);
	netfilter = magnet_netfilter_attach(hooks, count);
	for (i = 0; i < count; i++)
		if (hooks[i].state == MAGNET_HOOK_IDLE)
			magnet_hook_attached(&hooks[i], hooks[i].kind == MAGNET_HOOK_NETFILTER ?
								netfilter : magnet_attach_one(&hooks[i]));
}

unsigned long magnet_attach_missed(const struct magnet_hook *hook)
{
	unsigned long missed = hook->missed;

	if (hook->state != MAGNET_HOOK_ARMED)
		return missed;
	if (hook->kind == MAGNET_HOOK_KPROBE)
		missed += hook->kprobe.nmissed;
	if (hook->kind == MAGNET_HOOK_KRETPROBE)
		missed += hook->kretprobe.nmissed + hook->kretprobe.kp.nmissed;
	return missed;
}

/*
 * From ARMED to IDLE. Behind this no callback of ours runs: probes wait for their handlers themselves (a call that is
 * blocked under a kretprobe returns past us), tracepoints and netfilter at the end, in one grace period for all.
 */
void magnet_detach(struct magnet_hook *hooks, u32 count)
{
	u32 i, kretprobes = 0;
	bool netfilter = false;

	for (i = 0; i < count; i++) {
		struct magnet_hook *hook = &hooks[i];

		if (hook->state != MAGNET_HOOK_ARMED)
			continue;
		if (hook->kind == MAGNET_HOOK_TRACEPOINT)
			tracepoint_probe_unregister(hook->tracepoint, hook->callback, NULL);
		else if (hook->kind == MAGNET_HOOK_NETFILTER)
			netfilter = true;
		else if (hook->kind == MAGNET_HOOK_KRETPROBE)
			magnet_kretprobes[kretprobes++] = &hook->kretprobe;
	}
	if (netfilter)
		magnet_netfilter_detach();
	magnet_entry_detach(hooks, count);
	unregister_kretprobes(magnet_kretprobes, kretprobes);
	tracepoint_synchronize_unregister();
	synchronize_rcu();
	for (i = 0; i < count; i++)
		if (hooks[i].state == MAGNET_HOOK_ARMED)
			magnet_hook_detached(&hooks[i]);
}
