/* SPDX-License-Identifier: GPL-2.0 */
/* The cycle counter that stamps records, and what it says in other clocks. */
#ifndef MAGNET_CLOCK_H
#define MAGNET_CLOCK_H

#include <linux/ktime.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>
#include <linux/types.h>

#if defined(CONFIG_X86_64) || defined(CONFIG_ARM64)
#define MAGNET_CLOCK_IS_COUNTER 1
#endif

struct magnet_clock_pair {
	u64 cycles;
	u64 tai_ns;
	u64 realtime_ns;
	u32 error_ns;
};

static __always_inline u64 magnet_cycles(void)
{
#ifdef MAGNET_CLOCK_IS_COUNTER
	return get_cycles();
#else
	return ktime_get_mono_fast_ns();
#endif
}

int magnet_clock_init(void);
u32 magnet_clock_khz(void);
const char *magnet_clock_name(void);
bool magnet_clock_is_unstable(void);
void magnet_clock_read(struct magnet_clock_pair *pair);

#endif
