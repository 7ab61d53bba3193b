/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hooks on the entry of a function. ftrace calls ours straight from the function's own call site, where the kernel and
 * the function have one; a kprobe takes its place otherwise, which costs twice as much, and misses what runs while
 * another kprobe's handler does.
 */
#ifndef MAGNET_ENTRY_H
#define MAGNET_ENTRY_H

#include "hooks.h"

/* From IDLE to ABSENT where there is no such function. Needs no lock: nobody else knows the table yet. */
void magnet_entry_find(struct magnet_hook *hooks, u32 count);
/* Of those that are idle. Those by ftrace share one registration: all are armed or none. */
void magnet_entry_attach(struct magnet_hook *hooks, u32 count);
/* No handler of ours runs behind this. */
void magnet_entry_detach(struct magnet_hook *hooks, u32 count);

#endif
