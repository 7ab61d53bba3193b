/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One CPU's ring of records. Writers are whatever runs on that CPU: tasks with preemption off, and interrupts of
 * any kind that come in between (nested writers). The one reader is a process that has the slots mapped.
 *
 *   slot     0        1        2        3    ...   slots-1
 *        +---------+--------+--------+--------+---+--------+
 *        | SYSINFO | unread | being  |  free  |   | unread |
 *        |         |        | written|        |   |        |
 *        +---------+--------+--------+--------+---+--------+
 *   timestamp  != 0     != 0      0        0           != 0
 *                                          ^ head
 *
 * A record is reserved by moving head, written, and committed by the store-release of its timestamp; that pairs
 * with the reader's load-acquire. The reader's store-release of zero pairs with the load-acquire in
 * magnet_ring_take() and magnet_ring_put(): the slot is written to only after the reader has copied it.
 *
 * Nested writers are done before the one that they interrupt goes on. So head tells everything but one thing: a slot
 * whose timestamp is zero may be an outer writer's, not yet committed, after a whole lap of nested ones. floor tells
 * that. It stands at the outermost writer's slot, or at head while nobody writes: who commits the slot at floor is
 * the outermost, and moves floor up to head. No writer comes round past it.
 *
 * head, and everything else that decides where the kernel writes, stands in kernel memory. Of the mapped slots the
 * kernel believes only "the timestamp is zero", and only to choose between writing there and counting a loss: what
 * else user space writes costs user space its own records.
 *
 * The same source is built in user space by the ring's tests, behind test/support/kernel_ring.h.
 */
#ifndef MAGNET_RING_H
#define MAGNET_RING_H

#ifdef __KERNEL__
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/limits.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/local.h>
#include "clock.h"
#if BITS_PER_LONG != 64
#error "a ring's head is a lap and an offset in one word of 64 bits"
#endif
#endif
#include "proto/magnet.h"

/* head is lap << 32 | offset of the slot: it never comes back to a former value (no ABA), and nothing is divided. */
#define MAGNET_RING_LAP (1UL << 32)

struct magnet_ring {
	local_t head;
	unsigned long floor;
	char *memory;
	u32 record_size;
	u32 stop;    /* magnet_ring_put() works below this offset: up to the next sample or the last slot; 0: after a loss */
	u32 waiting; /* a reader asked for a wakeup */
	u32 slots;
	u32 last; /* offset of the last slot */
	u32 sample_mask;
	u32 high_water;	 /* most slots that were seen unread, in steps of sample_mask + 1 */
	local_t pending; /* lost since the last MAGNET_LOST */
	local_t lost;	 /* all of them */
	local_t marks;	 /* MAGNET_LOST records written */
	u64 first_lost;
} ____cacheline_aligned;

enum magnet_put {
	MAGNET_PUT_NOT,	  /* nothing is done: reserve and commit */
	MAGNET_PUT_DONE,
	MAGNET_PUT_CHECK, /* done; magnet_ring_put_check() has to follow */
};

void magnet_ring_init(struct magnet_ring *ring, void *memory, u32 bytes, u32 record_size);
struct magnet_record *magnet_ring_reserve_after_loss(struct magnet_ring *ring, u64 *timestamp);
void magnet_ring_lose(struct magnet_ring *ring);
void magnet_ring_look(struct magnet_ring *ring, unsigned long head);
bool magnet_ring_put_check(struct magnet_ring *ring);
bool magnet_ring_has_unread(const struct magnet_ring *ring);
u64 magnet_ring_recorded(const struct magnet_ring *ring);

static inline u64 magnet_ring_lost(const struct magnet_ring *ring)
{
	return local_read(&ring->lost);
}

static inline u32 magnet_ring_high_water(const struct magnet_ring *ring)
{
	return READ_ONCE(ring->high_water);
}

static inline u32 magnet_ring_next_slot(const struct magnet_ring *ring)
{
	return (u32)local_read(&ring->head) / ring->record_size;
}

static inline u32 magnet_ring_slots(const struct magnet_ring *ring)
{
	return ring->slots;
}

static inline struct magnet_record *magnet_ring_slot(const struct magnet_ring *ring, u32 slot)
{
	return (struct magnet_record *)(ring->memory + (size_t)slot * ring->record_size);
}

/*
 * Moves head past one free slot; NULL if there is none. The counter is read before head moves and again after each
 * failed attempt, so that timestamps rise with the order of the slots also when a nested writer came in between. A
 * slot that is taken means a full ring only if head is still there: else a nested writer has just filled it.
 */
static __always_inline struct magnet_record *magnet_ring_take(struct magnet_ring *ring, u64 *timestamp)
{
	struct magnet_record *record;
	unsigned long head, next;
	u64 now;

	for (;;) {
		head = local_read(&ring->head);
		record = (struct magnet_record *)(ring->memory + (u32)head);
		if (unlikely(smp_load_acquire(&record->timestamp) != 0) ||
		    unlikely(head - READ_ONCE(ring->floor) >= MAGNET_RING_LAP)) {
			if ((unsigned long)local_read(&ring->head) != head)
				continue;
			return NULL;
		}
		now = magnet_cycles();
		next = head + ring->record_size;
		if (unlikely((u32)head == ring->last))
			next = (head & ~(MAGNET_RING_LAP - 1)) + MAGNET_RING_LAP + ring->record_size;
		if (likely((unsigned long)local_cmpxchg(&ring->head, (long)head, (long)next) == head))
			break;
	}
	if (unlikely((u32)head >= READ_ONCE(ring->stop)))
		magnet_ring_look(ring, head);
	*timestamp = now + (now == 0);
	return record;
}

/*
 * A slot to be filled: everything but its timestamp; NULL if the ring is full, which is counted. Each slot is to be
 * committed before the caller enables preemption.
 */
static __always_inline struct magnet_record *magnet_ring_reserve(struct magnet_ring *ring, u64 *timestamp)
{
	struct magnet_record *record;

	if (unlikely(local_read(&ring->pending) != 0))
		record = magnet_ring_reserve_after_loss(ring, timestamp);
	else
		record = magnet_ring_take(ring, timestamp);
	if (unlikely(!record))
		magnet_ring_lose(ring);
	return record;
}

/*
 * A nested writer between the two lines leaves floor behind head, once more to be moved. From the moment on in which
 * they are equal it moves floor itself.
 */
static __always_inline void magnet_ring_settle(struct magnet_ring *ring)
{
	unsigned long head;

	do {
		head = local_read(&ring->head);
		WRITE_ONCE(ring->floor, head);
	} while (unlikely((unsigned long)local_read(&ring->head) != head));
}

/*
 * True: a reader sleeps and wants to be woken, from a context that may. No barrier stands between the timestamp and
 * `waiting`: who sets it then runs a function on this CPU before it looks for records, and that is the barrier.
 */
static __always_inline bool magnet_ring_commit(struct magnet_ring *ring, struct magnet_record *record, u64 timestamp)
{
	smp_store_release(&record->timestamp, timestamp);
	if (likely((char *)record == ring->memory + (u32)READ_ONCE(ring->floor)))
		magnet_ring_settle(ring);
	return unlikely(READ_ONCE(ring->waiting) != 0);
}

/*
 * The whole of it for a record without an extension, where nothing is out of the ordinary; in few instructions, no
 * call among them. Anything else is left to the others, before anything is done. The slot is looked at before `stop`:
 * if it was free then, whoever lost a record since has moved head as well, and else `stop` tells. `stop` and floor are
 * loaded plainly, so that they are compared in place: nested writers alone change them, between two instructions.
 */
static __always_inline enum magnet_put magnet_ring_put(struct magnet_ring *ring, u64 sockid, u32 event, s32 size)
{
	const unsigned long head = local_read(&ring->head), next = head + ring->record_size;
	struct magnet_record *record = (struct magnet_record *)(ring->memory + (u32)head);
	u64 now;

	if (unlikely(smp_load_acquire(&record->timestamp) != 0) || unlikely((u32)head >= ring->stop) ||
	    unlikely(head != ring->floor))
		return MAGNET_PUT_NOT;
	now = magnet_cycles();
	if (unlikely((unsigned long)local_cmpxchg(&ring->head, (long)head, (long)next) != head))
		return MAGNET_PUT_NOT;
	record->sockid = sockid;
	record->event = event;
	record->size = size;
	smp_store_release(&record->timestamp, now + (now == 0));
	WRITE_ONCE(ring->floor, next);
	if (unlikely((unsigned long)local_read(&ring->head) != next) || unlikely(READ_ONCE(ring->waiting) != 0))
		return MAGNET_PUT_CHECK;
	return MAGNET_PUT_DONE;
}

#endif
