// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include "record.h"

#include <linux/cpumask.h>
#include <linux/export.h>
#include <linux/vmalloc.h>
#include "clock.h"
#include "hooks.h"

DEFINE_PER_CPU(struct magnet_cpu, magnet_cpus);

static void magnet_record_wake(struct irq_work *work)
{
	struct magnet_cpu *of = container_of(work, struct magnet_cpu, wakeup);

	wake_up_interruptible_all(&of->readers);
}

/*
 * No wakeup from a probe: it may run under the run queue's lock. The irq_work does it. `waiting` goes back to zero
 * first, so that a reader that asks again in the meantime is heard.
 */
void magnet_record_call_reader(void)
{
	struct magnet_cpu *this = this_cpu_ptr(&magnet_cpus);

	WRITE_ONCE(this->ring.waiting, 0);
	irq_work_queue(&this->wakeup);
}

void magnet_record_put_check(void)
{
	if (magnet_ring_put_check(this_cpu_ptr(&magnet_cpus.ring)))
		magnet_record_call_reader();
}

/* A ring for each possible CPU: one that comes online later has its own from its first event on. */
int magnet_rings_create(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct magnet_cpu *of = per_cpu_ptr(&magnet_cpus, cpu);

		init_irq_work(&of->wakeup, magnet_record_wake);
		init_waitqueue_head(&of->readers);
		of->memory = vmalloc_user(magnet_param.ring_bytes);
		if (!of->memory) {
			pr_err("no memory for %u rings of %u KiB; a smaller ring_kb needs less\n",
			       num_possible_cpus(), magnet_param.ring_bytes / 1024);
			magnet_rings_destroy();
			return -ENOMEM;
		}
		magnet_ring_init(&of->ring, of->memory, magnet_param.ring_bytes, magnet_param.record_size);
	}
	return 0;
}

/* Nothing writes any more: hooks are disarmed, and who uses magnet_add() holds this module. */
void magnet_rings_destroy(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct magnet_cpu *of = per_cpu_ptr(&magnet_cpus, cpu);

		if (!of->memory)
			continue;
		irq_work_sync(&of->wakeup);
		vfree(of->memory);
		of->memory = NULL;
	}
}

/* Slot 0 belongs to no writer; the caller has the device to itself and nobody has it mapped. */
void magnet_record_sysinfo(int cpu)
{
	struct magnet_ring *ring = &per_cpu_ptr(&magnet_cpus, cpu)->ring;
	struct magnet_record *record = magnet_ring_slot(ring, 0);
	struct magnet_clock_pair pair;
	union magnet_ext *ext;

	magnet_clock_read(&pair);
	magnet_record_head(record, 0, MAGNET_SYSINFO, magnet_clock_khz());
	ext = magnet_record_ext(record);
	if (ext) {
		ext->sysinfo.cycles = pair.cycles;
		ext->sysinfo.tai_ns = pair.tai_ns;
		ext->sysinfo.realtime_ns = pair.realtime_ns;
		ext->sysinfo.error_ns = pair.error_ns;
		ext->sysinfo.cpu = cpu;
		ext->sysinfo.abi = MAGNET_ABI;
		ext->sysinfo.slots = magnet_ring_slots(ring);
		ext->sysinfo.record_size = magnet_param.record_size;
		ext->sysinfo.layers = magnet_param.layers;
	}
	smp_store_release(&record->timestamp, pair.cycles ? pair.cycles : 1);
}

u64 magnet_cookie_make(const struct sock *sk)
{
	u32 half[2];

	sock_diag_save_cookie((struct sock *)sk, half);
	return half[0] | (u64)half[1] << 32;
}

int magnet_add(__u64 sockid, __u32 event, __s32 size, const union magnet_ext *from)
{
	struct magnet_record *record;
	union magnet_ext *ext;
	u64 timestamp;

	if (event < MAGNET_EVENT_OTHERS || event > MAGNET_EVENT_MAX)
		return -EINVAL;
	if (!magnet_hooks_armed())
		return -ENODEV;
	record = magnet_record_begin(&timestamp);
	if (!record)
		return -ENOSPC;
	magnet_record_head(record, sockid, event, size);
	ext = magnet_record_ext(record);
	if (ext && from)
		memcpy(ext, from, sizeof(*ext));
	magnet_record_end(record, timestamp);
	return 0;
}
EXPORT_SYMBOL_GPL(magnet_add);
