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
 * magnet_ring_take(): the slot is written to only after the reader has copied it.
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
#endif
#include "proto/magnet.h"

/* head is lap << 32 | slot, so that it never comes back to a former value (no ABA) and needs no division. */
#define MAGNET_RING_LAP (1UL << 32)

struct magnet_ring {
	local_t head;
	unsigned long floor; /* head when the outermost writer of now began: no writer comes round past it */
	u32 nest;	     /* writers between reserve and commit */
	u32 waiting;	     /* a reader asked for a wakeup */
	local_t pending;     /* lost since the last MAGNET_LOST */
	u32 slots;
	u32 record_size;
	char *memory;
	u32 sample_mask;
	u32 high_water; /* most slots that were seen unread, in steps of sample_mask + 1 */
	local_t lost;	/* all of them */
	local_t marks;	/* MAGNET_LOST records written */
	u64 first_lost;
} ____cacheline_aligned;

void magnet_ring_init(struct magnet_ring *ring, void *memory, u32 bytes, u32 record_size);
struct magnet_record *magnet_ring_reserve_after_loss(struct magnet_ring *ring, u64 *timestamp);
void magnet_ring_lose(struct magnet_ring *ring);
void magnet_ring_sample(struct magnet_ring *ring, unsigned long head);
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
	return (u32)local_read(&ring->head);
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
 *
 * A nested writer may find the slot of an outer one, whose timestamp is still zero, after a whole lap; floor stops it
 * there. floor may be older than the outermost reservation (it is stored before that), never newer.
 */
static __always_inline struct magnet_record *magnet_ring_take(struct magnet_ring *ring, u64 *timestamp)
{
	struct magnet_record *record;
	unsigned long head, next;
	u64 now;

	for (;;) {
		head = local_read(&ring->head);
		record = magnet_ring_slot(ring, (u32)head);
		if (unlikely(smp_load_acquire(&record->timestamp) != 0) ||
		    unlikely(head - READ_ONCE(ring->floor) >= MAGNET_RING_LAP)) {
			if ((unsigned long)local_read(&ring->head) != head)
				continue;
			return NULL;
		}
		now = magnet_cycles();
		next = head + 1;
		if (unlikely((u32)next == ring->slots))
			next = (head & ~(MAGNET_RING_LAP - 1)) + MAGNET_RING_LAP + 1;
		if (likely((unsigned long)local_cmpxchg(&ring->head, (long)head, (long)next) == head))
			break;
	}
	if (unlikely(((u32)head & ring->sample_mask) == 0))
		magnet_ring_sample(ring, head);
	*timestamp = now ? now : 1;
	return record;
}

/*
 * A slot to be filled: everything but its timestamp; NULL if the ring is full, which is counted. Each slot is to be
 * committed before the caller enables preemption.
 */
static __always_inline struct magnet_record *magnet_ring_reserve(struct magnet_ring *ring, u64 *timestamp)
{
	struct magnet_record *record;

	/* A nested writer between these lines puts nest back to what it was: plain accesses do. */
	if (READ_ONCE(ring->nest) == 0)
		WRITE_ONCE(ring->floor, (unsigned long)local_read(&ring->head));
	WRITE_ONCE(ring->nest, READ_ONCE(ring->nest) + 1);
	if (unlikely(local_read(&ring->pending) != 0))
		record = magnet_ring_reserve_after_loss(ring, timestamp);
	else
		record = magnet_ring_take(ring, timestamp);
	if (unlikely(!record))
		magnet_ring_lose(ring);
	return record;
}

/*
 * True: a reader sleeps and wants to be woken, from a context that may. No barrier stands between the timestamp and
 * `waiting`: who sets it then runs a function on this CPU before it looks for records, and that is the barrier.
 */
static __always_inline bool magnet_ring_commit(struct magnet_ring *ring, struct magnet_record *record, u64 timestamp)
{
	smp_store_release(&record->timestamp, timestamp);
	WRITE_ONCE(ring->nest, READ_ONCE(ring->nest) - 1);
	return unlikely(READ_ONCE(ring->waiting) != 0);
}

#endif
