/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/magnetN: the ring of CPU N. */
#ifndef MAGNET_DEVICE_H
#define MAGNET_DEVICE_H

#include <linux/types.h>

int magnet_devices_create(void);
void magnet_devices_destroy(void);
bool magnet_device_is_open(int cpu);

#endif
