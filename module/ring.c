// SPDX-License-Identifier: GPL-2.0
/* The ring beside its fast path: loss, its mark in the ring, and what /proc and poll ask. */
#include "ring.h"

#define SAMPLE_LOOKS 4

/* memory: `bytes` of zeros, of which as many records as fit are used. */
void magnet_ring_init(struct magnet_ring *ring, void *memory, u32 bytes, u32 record_size)
{
	memset(ring, 0, sizeof(*ring));
	ring->memory = (char *)memory;
	ring->record_size = record_size;
	ring->slots = bytes / record_size;
	ring->last = (ring->slots - 1) * record_size;
	ring->sample_mask = ring->slots > 1024 ? 63 : 7;
	local_set(&ring->head, record_size);
	ring->floor = record_size;
}

void magnet_ring_lose(struct magnet_ring *ring)
{
	if (local_inc_return(&ring->pending) == 1)
		WRITE_ONCE(ring->first_lost, magnet_cycles());
	local_inc(&ring->lost);
	WRITE_ONCE(ring->high_water, ring->slots - 1);
	WRITE_ONCE(ring->stop, 0);
}

/*
 * Room again: MAGNET_LOST goes first. Its slot is taken before the count, so that the mark stands in front of every
 * record that is written from now on. A nested writer may have marked the loss in the meantime: then the slot is as
 * good for the record itself.
 */
struct magnet_record *magnet_ring_reserve_after_loss(struct magnet_ring *ring, u64 *timestamp)
{
	u64 when, first = READ_ONCE(ring->first_lost);
	struct magnet_record *mark;
	long count;

	mark = magnet_ring_take(ring, &when);
	if (!mark)
		return NULL;
	count = local_xchg(&ring->pending, 0);
	if (!count) {
		*timestamp = when;
		return mark;
	}
	if (unlikely(count > INT_MAX)) {
		local_add(count - INT_MAX, &ring->pending);
		count = INT_MAX;
	}
	mark->sockid = 0;
	mark->event = MAGNET_LOST;
	mark->size = (s32)count;
	if (ring->record_size == sizeof(struct magnet_record_ext)) {
		struct magnet_ext_lost *ext = &((struct magnet_record_ext *)mark)->ext.lost;

		memset(ext, 0, sizeof(*ext));
		ext->first = first;
	}
	local_inc(&ring->marks);
	(void)magnet_ring_commit(ring, mark, when);
	return magnet_ring_take(ring, timestamp);
}

/*
 * Unread slots are the ones just behind head. Looks at the one that would make a new maximum, and goes on while there
 * is one. What user space writes there makes the figure wrong, and no more than that; a maximum rises by a few steps
 * at a time, or a probe would walk through a whole ring.
 */
static void magnet_ring_sample(struct magnet_ring *ring, u32 slot)
{
	const u32 ring_slots = ring->slots - 1, step = ring->sample_mask + 1;
	u32 high = READ_ONCE(ring->high_water);
	u32 looks = SAMPLE_LOOKS;

	while (high + step <= ring_slots && looks--) {
		const u32 before = slot - 1; /* slots of this lap behind head */
		const u32 back = high + step;
		const u32 at = back <= before ? slot - back : slot + ring_slots - back;

		if (READ_ONCE(magnet_ring_slot(ring, at)->timestamp) == 0)
			break;
		high = back;
	}
	if (high > READ_ONCE(ring->high_water))
		WRITE_ONCE(ring->high_water, high);
}

/*
 * What magnet_ring_put() leaves out: a sample each sample_mask + 1 records, and the last slot, behind which head wraps.
 * `stop` is never above the last slot; too low, or too high for a sample, costs nothing but time or that sample. A
 * nested writer's loss must not be forgotten: hence the second look at it.
 */
void magnet_ring_look(struct magnet_ring *ring, unsigned long head)
{
	const u32 slot = (u32)head / ring->record_size, last = ring->slots - 1;
	const u32 next = slot == last ? ring->sample_mask + 1 : (slot | ring->sample_mask) + 1;

	magnet_ring_sample(ring, slot);
	WRITE_ONCE(ring->stop, (next < last ? next : last) * ring->record_size);
	if (local_read(&ring->pending) != 0)
		WRITE_ONCE(ring->stop, 0);
}

/* Behind a put: nested writers may have left floor behind head. Returns as magnet_ring_commit(). */
bool magnet_ring_put_check(struct magnet_ring *ring)
{
	magnet_ring_settle(ring);
	return READ_ONCE(ring->waiting) != 0;
}

/* The reader empties in order: if the newest record was read, all were. */
bool magnet_ring_has_unread(const struct magnet_ring *ring)
{
	const u32 head = magnet_ring_next_slot(ring);
	const u32 newest = head == 1 ? ring->slots - 1 : head - 1;

	return smp_load_acquire(&magnet_ring_slot(ring, newest)->timestamp) != 0;
}

/* Events, not MAGNET_LOST; those between reserve and commit count as well. */
u64 magnet_ring_recorded(const struct magnet_ring *ring)
{
	const unsigned long marks = local_read(&ring->marks);
	const unsigned long head = local_read(&ring->head);

	return (head >> 32) * (u64)(ring->slots - 1) + (u32)head / ring->record_size - 1 - marks;
}
