// SPDX-License-Identifier: GPL-2.0
/* ftrace with arguments, whatever holds them. */
#include <linux/ftrace.h>

static void probe(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct ftrace_regs *regs)
{
	(void)ftrace_regs_get_argument(regs, 4);
}

struct ftrace_ops probe_ops = { .func = probe, .flags = FTRACE_OPS_FL_PERMANENT };
