/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What every layout header needs: exact-width types and size/offset asserts, in C, BPF and C++ alike. */
#ifndef FIELDLINE_PROTO_CHECK_H
#define FIELDLINE_PROTO_CHECK_H

#ifndef FL_HAVE_KERNEL_TYPES /* a BPF source that includes vmlinux.h has them already */
#include <linux/types.h>
#endif

#ifdef __cplusplus
#define FL_ASSERT(cond) static_assert(cond, #cond)
#else
#define FL_ASSERT(cond) _Static_assert(cond, #cond)
#endif

#define FL_ASSERT_SIZE(type, size) FL_ASSERT(sizeof(type) == (size))
#define FL_ASSERT_OFFSET(type, member, offset) FL_ASSERT(__builtin_offsetof(type, member) == (offset))

#endif
