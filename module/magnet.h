/* SPDX-License-Identifier: GPL-2.0 */
/* What other modules may use: records of their own in MAGNeT's rings. */
#ifndef MAGNET_H
#define MAGNET_H

#include "proto/magnet.h"

/*
 * One record in the ring of the CPU that this runs on. event: MAGNET_EVENT_OTHERS .. MAGNET_EVENT_MAX. ext may be
 * NULL; it is ignored when the module was loaded with ext=0. Any context, NMI included.
 * 0; -EINVAL: not a code for others; -ENODEV: nobody has a device open; -ENOSPC: no room, counted as lost.
 */
int magnet_add(__u64 sockid, __u32 event, __s32 size, const union magnet_ext *ext);

#endif
