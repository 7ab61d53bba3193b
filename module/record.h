/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One event becomes one record: begin (preemption off, a slot reserved), the layer's fields, end (committed).
 * Between the two nothing sleeps, allocates or logs. The slot is mapped by user space: it is written, never read.
 *
 * Hooks that every packet meets try magnet_record_plain() and its like first, and leave the rest to a function of its
 * own: without calls they need no stack, and cost half.
 */
#ifndef MAGNET_RECORD_H
#define MAGNET_RECORD_H

#include <linux/irq_work.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/skbuff.h>
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
/* Of this CPU, preemption off. */
void magnet_record_call_reader(void);
void magnet_record_put_check(void);

/* The cookie as SO_COOKIE shows it, made on first use. Request and time-wait sockets have one as well. */
static __always_inline u64 magnet_cookie(const struct sock *sk)
{
	const u64 cookie = atomic64_read(&sk->sk_cookie);

	return likely(cookie) ? cookie : magnet_cookie_make(sk);
}

/*
 * The record without an extension, if nothing is out of the ordinary. False: nothing is done yet. No static key: it
 * would save one instruction, and let a load patch code.
 */
static __always_inline bool magnet_record_plain(u64 sockid, u32 event, u32 size)
{
	struct magnet_ring *ring;
	enum magnet_put put;

	if (unlikely(magnet_param.ext))
		return false;
	preempt_disable_notrace();
	ring = this_cpu_ptr(&magnet_cpus.ring);
	/* One register each: the compiler would keep what they are made of, and save others on the stack for it. */
	OPTIMIZER_HIDE_VAR(ring);
	OPTIMIZER_HIDE_VAR(size);
	put = magnet_ring_put(ring, sockid, event, (s32)size);
	if (unlikely(put == MAGNET_PUT_CHECK))
		magnet_record_put_check();
	preempt_enable_notrace();
	return put != MAGNET_PUT_NOT;
}

/* The same for a socket's event; a cookie is made elsewhere. */
static __always_inline bool magnet_record_plain_of(const struct sock *sk, u32 event, u32 size)
{
	const u64 cookie = atomic64_read(&sk->sk_cookie);

	return likely(cookie) && magnet_record_plain(cookie, event, size);
}

/* The same for a packet's, with a socket or without. */
static __always_inline bool magnet_record_plain_packet(const struct sk_buff *skb, u32 event, u32 size)
{
	u64 cookie = 0;

	if (skb->sk) {
		cookie = atomic64_read(&skb->sk->sk_cookie);
		if (unlikely(!cookie))
			return false;
	}
	return magnet_record_plain(cookie, event, size);
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

static __always_inline void magnet_record_end(struct magnet_record *record, u64 timestamp)
{
	if (unlikely(magnet_ring_commit(this_cpu_ptr(&magnet_cpus.ring), record, timestamp)))
		magnet_record_call_reader();
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
