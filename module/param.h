/* SPDX-License-Identifier: GPL-2.0 */
/* The module's parameters, checked. */
#ifndef MAGNET_PARAM_H
#define MAGNET_PARAM_H

#include <linux/cache.h>
#include <linux/if.h>
#include <linux/types.h>

#define MAGNET_DEV_NAMES 16

struct magnet_param {
	u32 ring_bytes;
	u32 record_size;
	bool ext;
	bool always;
	u32 layers; /* bit (1 << (layer - 1)) */
	u32 dev_count; /* 0: every interface */
	char dev[MAGNET_DEV_NAMES][IFNAMSIZ];
};

extern struct magnet_param magnet_param; /* written by magnet_param_init() alone */

int magnet_param_init(void);
bool magnet_param_without(const char *symbol);
int magnet_param_check_without(bool (*known)(const char *name, size_t length));
void magnet_param_layer_names(char *text, size_t size);

#endif
