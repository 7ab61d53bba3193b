/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One event becomes one record: begin (preemption off, a slot reserved), the layer's fields, end (committed).
 * Between the two nothing sleeps, allocates or logs. The slot is mapped by user space: it is written, never read.
 */
#ifndef MAGNET_RECORD_H
#define MAGNET_RECORD_H

#include <linux/irq_work.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sock_diag.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <net/sock.h>
#include "magnet.h"
#include "param.h"
#include "ring.h"

struct magnet_cpu {
	struct magnet_ring ring;
	struct irq_work wakeup;
	wait_queue_head_t readers;
	void *memory; /* vmalloc_user, magnet_param.ring_bytes */
};

DECLARE_PER_CPU(struct magnet_cpu, magnet_cpus);

int magnet_rings_create(void);
void magnet_rings_destroy(void);
void magnet_record_sysinfo(int cpu);

u64 magnet_cookie_make(const struct sock *sk);

/* The cookie as SO_COOKIE shows it, made on first use. Request and time-wait sockets have one as well. */
static __always_inline u64 magnet_cookie(const struct sock *sk)
{
	const u64 cookie = atomic64_read(&sk->sk_cookie);

	return likely(cookie) ? cookie : magnet_cookie_make(sk);
}

static __always_inline struct magnet_record *magnet_record_begin(u64 *timestamp)
{
	struct magnet_record *record;

	preempt_disable_notrace();
	record = magnet_ring_reserve(this_cpu_ptr(&magnet_cpus.ring), timestamp);
	if (unlikely(!record))
		preempt_enable_notrace();
	return record;
}

/*
 * No wakeup from a probe: it may run under the run queue's lock. The irq_work does it. `waiting` goes back to zero
 * first, so that a reader that asks again in the meantime is heard.
 */
static __always_inline void magnet_record_end(struct magnet_record *record, u64 timestamp)
{
	struct magnet_cpu *this = this_cpu_ptr(&magnet_cpus);

	if (unlikely(magnet_ring_commit(&this->ring, record, timestamp))) {
		WRITE_ONCE(this->ring.waiting, 0);
		irq_work_queue(&this->wakeup);
	}
	preempt_enable_notrace();
}

/* The extension, zeroed; NULL with ext=0. */
static __always_inline union magnet_ext *magnet_record_ext(struct magnet_record *record)
{
	union magnet_ext *ext;

	if (!magnet_param.ext)
		return NULL;
	ext = &((struct magnet_record_ext *)record)->ext;
	memset(ext, 0, sizeof(*ext));
	return ext;
}

static __always_inline void magnet_record_head(struct magnet_record *record, u64 sockid, u32 event, u32 size)
{
	record->sockid = sockid;
	record->event = event;
	record->size = (s32)size;
}

#endif
