// SPDX-License-Identifier: GPL-2.0
#include "entry.h"

#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/string.h>
#include "compat.h"

/* For the batches of (un)registration, which take one grace period each; under the table's mutex. */
static struct kprobe *magnet_entry_kprobes[MAGNET_HOOKS_MAX];

static int magnet_entry_probed(struct kprobe *probe, struct pt_regs *regs)
{
	const struct magnet_hook *hook = container_of(probe, struct magnet_hook, kprobe);

	hook->entered(regs_get_kernel_argument(regs, 0), regs_get_kernel_argument(regs, 1),
		      regs_get_kernel_argument(regs, 2), regs_get_kernel_argument(regs, 3),
		      regs_get_kernel_argument(regs, 4));
	return 0;
}

#ifdef MAGNET_FTRACE_REGS
/* Written while the ops are not registered. One registration for all: taking one away waits for every task. */
static struct magnet_entry {
	unsigned long ip; /* 0 behind the last */
	magnet_entered_t entered;
} magnet_entries[MAGNET_HOOKS_MAX + 1];
static u32 magnet_entry_count;

/*
 * No guard against recursion: nothing that a handler calls is hooked, and what interrupts one is an event of its own.
 */
static void notrace magnet_entry_called(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
					MAGNET_FTRACE_REGS *regs)
{
	const struct magnet_entry *entry;

	for (entry = magnet_entries; entry->ip != ip; entry++)
		if (!entry->ip)
			return;
	entry->entered(magnet_ftrace_argument(regs, 0), magnet_ftrace_argument(regs, 1),
		       magnet_ftrace_argument(regs, 2), magnet_ftrace_argument(regs, 3),
		       magnet_ftrace_argument(regs, 4));
}

/* Permanent: the sysctl ftrace_enabled cannot switch it off behind our back. */
static struct ftrace_ops magnet_entry_ops = {
	.func = magnet_entry_called,
	.flags = FTRACE_OPS_FL_PERMANENT | MAGNET_FTRACE_FLAGS,
};

static void magnet_entry_clear(void)
{
	while (magnet_entry_count) {
		struct magnet_entry *entry = &magnet_entries[--magnet_entry_count];

		ftrace_set_filter_ip(&magnet_entry_ops, entry->ip, 1, 0);
		entry->ip = 0;
	}
}

static int magnet_entry_register(struct magnet_hook *hooks, u32 count)
{
	int err;
	u32 i;

	for (i = 0; i < count; i++) {
		if (hooks[i].kind != MAGNET_HOOK_FTRACE || hooks[i].state != MAGNET_HOOK_IDLE)
			continue;
		err = ftrace_set_filter_ip(&magnet_entry_ops, hooks[i].ip, 0, 0);
		if (err)
			goto err_clear;
		magnet_entries[magnet_entry_count].ip = hooks[i].ip;
		magnet_entries[magnet_entry_count++].entered = hooks[i].entered;
	}
	/* An empty filter would mean every function of the kernel. */
	if (!magnet_entry_count)
		return 0;
	err = register_ftrace_function(&magnet_entry_ops);
	if (!err)
		return 0;
err_clear:
	magnet_entry_clear();
	return err;
}

static void magnet_entry_unregister(void)
{
	if (!magnet_entry_count)
		return;
	unregister_ftrace_function(&magnet_entry_ops);
	magnet_entry_clear();
}
#else
static int magnet_entry_register(struct magnet_hook *hooks, u32 count)
{
	return -EOPNOTSUPP;
}

static void magnet_entry_unregister(void)
{
}
#endif

/* A probe that is registered as disabled finds its symbol, and how it may be hooked, without ever firing. */
void magnet_entry_find(struct magnet_hook *hooks, u32 count)
{
	u32 i, n = 0;

	for (i = 0; i < count; i++) {
		struct magnet_hook *hook = &hooks[i];

		if (hook->state != MAGNET_HOOK_IDLE ||
		    (hook->kind != MAGNET_HOOK_KPROBE && hook->kind != MAGNET_HOOK_KRETPROBE))
			continue;
		memset(&hook->kretprobe, 0, sizeof(hook->kretprobe));
		hook->kprobe.symbol_name = hook->symbol;
		hook->kprobe.flags = KPROBE_FLAG_DISABLED;
		if (register_kprobe(&hook->kprobe)) {
			hook->state = MAGNET_HOOK_ABSENT;
			continue;
		}
		magnet_entry_kprobes[n++] = &hook->kprobe;
#ifdef MAGNET_FTRACE_REGS
		if (hook->kind == MAGNET_HOOK_KPROBE && kprobe_ftrace(&hook->kprobe)) {
			hook->ip = (unsigned long)hook->kprobe.addr;
			hook->kind = MAGNET_HOOK_FTRACE;
		}
#endif
	}
	unregister_kprobes(magnet_entry_kprobes, n);
}

void magnet_entry_attach(struct magnet_hook *hooks, u32 count)
{
	int err;
	u32 i;

	err = magnet_entry_register(hooks, count);
	for (i = 0; i < count; i++) {
		struct magnet_hook *hook = &hooks[i];

		if (hook->state != MAGNET_HOOK_IDLE)
			continue;
		if (hook->kind == MAGNET_HOOK_FTRACE) {
			magnet_hook_attached(hook, err);
		} else if (hook->kind == MAGNET_HOOK_KPROBE) {
			memset(&hook->kprobe, 0, sizeof(hook->kprobe));
			hook->kprobe.symbol_name = hook->symbol;
			hook->kprobe.pre_handler = magnet_entry_probed;
			magnet_hook_attached(hook, register_kprobe(&hook->kprobe));
		}
	}
}

void magnet_entry_detach(struct magnet_hook *hooks, u32 count)
{
	u32 i, n = 0;

	for (i = 0; i < count; i++)
		if (hooks[i].kind == MAGNET_HOOK_KPROBE && hooks[i].state == MAGNET_HOOK_ARMED)
			magnet_entry_kprobes[n++] = &hooks[i].kprobe;
	unregister_kprobes(magnet_entry_kprobes, n);
	magnet_entry_unregister();
}
