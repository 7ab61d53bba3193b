// SPDX-License-Identifier: GPL-2.0
/* ftrace that saves all registers or none, and guards against recursion unless told not to. */
#include <linux/ftrace.h>

static void probe(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	(void)regs_get_kernel_argument(regs, 4);
}

struct ftrace_ops probe_ops = {
	.func = probe,
	.flags = FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_RECURSION_SAFE,
};
