/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What module/ring.h and ring.c take from the kernel, for user space: the ring's tests and bench/
 * build the very source of the module. "This CPU" is one thread with its signal handlers, so that
 * local_t needs to be atomic against those alone; the compiler's atomics are used, which the
 * sanitizers understand.
 */
#ifndef FIELDLINE_TEST_KERNEL_SHIM_H
#define FIELDLINE_TEST_KERNEL_SHIM_H

#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define ____cacheline_aligned __attribute__((__aligned__(64)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define smp_store_release(p, value) __atomic_store_n((p), (value), __ATOMIC_RELEASE)

typedef struct {
  long value;
} local_t;

static inline long local_read(const local_t* l) {
  return __atomic_load_n(&l->value, __ATOMIC_RELAXED);
}

static inline void local_set(local_t* l, long value) {
  __atomic_store_n(&l->value, value, __ATOMIC_RELAXED);
}

static inline void local_add(long n, local_t* l) {
  __atomic_fetch_add(&l->value, n, __ATOMIC_RELAXED);
}

static inline void local_inc(local_t* l) {
  local_add(1, l);
}

static inline long local_inc_return(local_t* l) {
  return __atomic_add_fetch(&l->value, 1, __ATOMIC_RELAXED);
}

static inline long local_xchg(local_t* l, long value) {
  return __atomic_exchange_n(&l->value, value, __ATOMIC_RELAXED);
}

static inline long local_cmpxchg(local_t* l, long old, long value) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  /* As in the kernel: atomic against this CPU's interrupts (here: this thread's signals), no bus
   * lock. */
  long found = old;

  __asm__ __volatile__("cmpxchgq %2, %1" : "+a"(found), "+m"(l->value) : "r"(value) : "memory");
  return found;
#else
  __atomic_compare_exchange_n(&l->value, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return old;
#endif
}

#if defined(__x86_64__)
static inline u64 magnet_cycles(void) {
  return __builtin_ia32_rdtsc();
}
#else
static inline u64 magnet_cycles(void) {
  u64 cycles;

  __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(cycles));
  return cycles;
}
#endif

#endif
