// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include "clock.h"

#include <linux/delay.h>
#include <linux/init.h>
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
#define MAGNET_CLOCK_MEASURE_MS 50

static u32 magnet_khz __ro_after_init;

u32 magnet_clock_khz(void)
{
	return magnet_khz;
}

static u32 magnet_clock_known_khz(void)
{
#if defined(CONFIG_X86_64)
	return tsc_khz;
#elif defined(CONFIG_ARM64)
	return arch_timer_get_cntfrq() / 1000;
#else
	return 1000000;
#endif
}

/* Counters of CPUs that do not run together, or stop while a CPU sleeps, are no clock; the kernel finds out as it runs. */
bool magnet_clock_is_unstable(void)
{
#if defined(CONFIG_X86_64)
	return check_tsc_unstable();
#else
	return false;
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

/*
 * The counter is read on both sides of the clock, with interrupts off; the narrowest of a few tries counts, and its
 * width is returned.
 */
static u64 magnet_clock_bracket(u64 *cycles, ktime_t *monotonic)
{
	u64 narrowest = U64_MAX;
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
		*cycles = before + narrowest / 2;
		*monotonic = now;
	}
	return narrowest;
}

/* TAI and UTC come from one reading; a clock that is set between the two conversions is an accepted race. */
void magnet_clock_read(struct magnet_clock_pair *pair)
{
	ktime_t monotonic;
	u64 narrowest = magnet_clock_bracket(&pair->cycles, &monotonic);

	pair->tai_ns = ktime_to_ns(ktime_mono_to_any(monotonic, TK_OFFS_TAI));
	pair->realtime_ns = ktime_to_ns(ktime_mono_to_any(monotonic, TK_OFFS_REAL));
	pair->error_ns = min_t(u64, div_u64(narrowest * 500000, magnet_khz) + 1, U32_MAX);
}

/* The kernel does not know the rate where it could not calibrate the counter: measured against its clock then. */
int __init magnet_clock_init(void)
{
	u64 from_cycles, to_cycles;
	ktime_t from, to;

	magnet_khz = magnet_clock_known_khz();
	if (magnet_khz)
		return 0;
	magnet_clock_bracket(&from_cycles, &from);
	msleep(MAGNET_CLOCK_MEASURE_MS);
	magnet_clock_bracket(&to_cycles, &to);
	magnet_khz = div64_u64((to_cycles - from_cycles) * 1000000, ktime_to_ns(ktime_sub(to, from)));
	if (!magnet_khz) {
		pr_err("this machine has no cycle counter that runs\n");
		return -ENODEV;
	}
	pr_info("the kernel has no rate of the cycle counter; measured: %u kHz\n", magnet_khz);
	return 0;
}
