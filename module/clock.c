// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include "clock.h"

#include <linux/irqflags.h>
#include <linux/math64.h>
#include <linux/printk.h>
#include <asm/barrier.h>
#ifdef CONFIG_X86_64
#include <asm/tsc.h>
#endif
#ifdef CONFIG_ARM64
#include <asm/arch_timer.h>
#endif

#define MAGNET_CLOCK_TRIES 8

u32 magnet_clock_khz(void)
{
#if defined(CONFIG_X86_64)
	return tsc_khz;
#elif defined(CONFIG_ARM64)
	return arch_timer_get_cntfrq() / 1000;
#else
	return 1000000;
#endif
}

const char *magnet_clock_name(void)
{
#if defined(CONFIG_X86_64)
	return "tsc";
#elif defined(CONFIG_ARM64)
	return "cntvct";
#else
	return "monotonic";
#endif
}

int magnet_clock_init(void)
{
	if (magnet_clock_khz())
		return 0;
	pr_err("this machine's cycle counter has no known rate\n");
	return -ENODEV;
}

/*
 * The counter is read on both sides of the clock, with interrupts off; the narrowest of a few tries counts. TAI and
 * UTC are made from one monotonic reading, so that they differ by whole seconds; a clock that is set between the two
 * conversions is an accepted race.
 */
void magnet_clock_read(struct magnet_clock_pair *pair)
{
	u64 narrowest = U64_MAX;
	ktime_t monotonic = 0;
	int i;

	for (i = 0; i < MAGNET_CLOCK_TRIES; i++) {
		u64 before, after;
		unsigned long flags;
		ktime_t now;

		local_irq_save(flags);
		before = magnet_cycles();
		rmb(); /* both counters stay outside of the clock's reads */
		now = ktime_get();
		rmb();
		after = magnet_cycles();
		local_irq_restore(flags);
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		pair->cycles = before + narrowest / 2;
		monotonic = now;
	}
	pair->tai_ns = ktime_to_ns(ktime_mono_to_any(monotonic, TK_OFFS_TAI));
	pair->realtime_ns = ktime_to_ns(ktime_mono_to_any(monotonic, TK_OFFS_REAL));
	pair->error_ns = min_t(u64, div_u64(narrowest * 500000, magnet_clock_khz()) + 1, U32_MAX);
}
