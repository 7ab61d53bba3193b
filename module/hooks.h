/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one table that says which event comes from which hook. Hooks are armed while somebody holds a reference (an
 * open device, or always=1) and absent otherwise.
 */
#ifndef MAGNET_HOOKS_H
#define MAGNET_HOOKS_H

#include <linux/compiler.h>
#include <linux/kprobes.h>
#include <linux/types.h>

struct seq_file;
struct tracepoint;

#define MAGNET_HOOKS_MAX 32

enum magnet_hook_kind {
	MAGNET_HOOK_TRACEPOINT,
	MAGNET_HOOK_NETFILTER,
	MAGNET_HOOK_FTRACE, /* found in the place of a kprobe */
	MAGNET_HOOK_KPROBE,
	MAGNET_HOOK_KRETPROBE,
};

enum magnet_hook_state {
	MAGNET_HOOK_IDLE,   /* there, and not armed */
	MAGNET_HOOK_ARMED,
	MAGNET_HOOK_ABSENT, /* the kernel has no such symbol, or it cannot be hooked */
	MAGNET_HOOK_SPARE,  /* takes the place of another, which is there; or of no use without one that is not */
	MAGNET_HOOK_OFF,    /* by the parameters layers or without */
	MAGNET_HOOK_FAILED, /* could not be armed; tried again next time */
};

/* Given the first five arguments of the function that is entered. Runs in whatever context that does. */
#define MAGNET_ENTERED(name) \
	void name(unsigned long first, unsigned long second, unsigned long third, unsigned long fourth, \
		  unsigned long fifth)
typedef MAGNET_ENTERED((*magnet_entered_t));

struct magnet_hook {
	const char *events; /* as in docs, several with commas */
	const char *symbol;
	u8 layer;
	u8 kind;
	const char *instead_of;	   /* symbol of the tracepoint that makes this one spare */
	const char *together_with; /* without that one it is spare */
	void *callback;		   /* tracepoint, netfilter */
	u8 family, point;	   /* netfilter */
	magnet_entered_t entered;
	kretprobe_handler_t call, returned;
	u16 call_data;
	u16 blocked; /* kretprobe: so many calls may be under way at a time */

	/* Under the table's mutex; state and missed are changed by magnet_hook_attached() and _detached() alone. */
	u8 state;
	unsigned long missed; /* of former times */
	struct tracepoint *tracepoint;
	unsigned long ip; /* ftrace */
	union {
		struct kprobe kprobe;
		struct kretprobe kretprobe;
	};
};

extern bool magnet_hooks_are_armed;

static inline bool magnet_hooks_armed(void)
{
	return READ_ONCE(magnet_hooks_are_armed);
}

/* From IDLE to ARMED, or to FAILED with a line in the log: one that fails does not keep the others from working. */
void magnet_hook_attached(struct magnet_hook *hook, int err);
/* Back to IDLE, with what it missed. */
void magnet_hook_detached(struct magnet_hook *hook);

int magnet_hooks_init(void);
void magnet_hooks_exit(void);
int magnet_hooks_get(void);
void magnet_hooks_put(void);
void magnet_hooks_show(struct seq_file *file);

#endif
