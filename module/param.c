// SPDX-License-Identifier: GPL-2.0
/*
 * All parameters are text for the kernel and are checked here, so that a wrong one gives one line with the allowed
 * range instead of the kernel's own, which names none.
 */
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include "param.h"

#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/string.h>
#include "proto/magnet.h"

#define RING_KB_MIN 4
#define RING_KB_MAX 65536

/* A name without a value (`insmod magnet.ko ext`) is kept as what no parameter takes. */
static int magnet_param_set(const char *value, const struct kernel_param *param)
{
	return param_set_charp(value ? value : " ", param);
}

static const struct kernel_param_ops magnet_param_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = magnet_param_set,
	.get = param_get_charp,
	.free = param_free_charp,
};

#define MAGNET_PARAM(name) \
	module_param_cb(name, &magnet_param_ops, &name, 0444); \
	__MODULE_PARM_TYPE(name, "charp")

static char *ring_kb = "256";
MAGNET_PARAM(ring_kb);
MODULE_PARM_DESC(ring_kb, "KiB of each CPU's ring, whole pages: 4 to 65536 (default 256)");

static char *ext = "0";
MAGNET_PARAM(ext);
MODULE_PARM_DESC(ext, "0: records of 24 bytes (default), 1: of 64 bytes with what joins them to packets");

static char *layers = "sock,tcp,udp,ip,dev";
MAGNET_PARAM(layers);
MODULE_PARM_DESC(layers, "which layers record: a list of sock, tcp, udp, ip, dev (default: all)");

static char *dev = "";
MAGNET_PARAM(dev);
MODULE_PARM_DESC(dev, "the device layer records these interfaces only: up to 16 names (default: all interfaces)");

static char *always = "0";
MAGNET_PARAM(always);
MODULE_PARM_DESC(always, "0: hooks are armed while a device is open (default), 1: from load on");

static char *without = "";
MAGNET_PARAM(without);
MODULE_PARM_DESC(without, "symbols that are not to be hooked, as in /proc/net/magnet (default: none)");

struct magnet_param magnet_param __ro_after_init;

static const char *const layer_names[] = {
	[MAGNET_LAYER_SOCK] = "sock", [MAGNET_LAYER_TCP] = "tcp", [MAGNET_LAYER_UDP] = "udp",
	[MAGNET_LAYER_IP] = "ip",     [MAGNET_LAYER_DEV] = "dev",
};

/* The next of a list "a,b,c": its length, and where the rest begins; NULL at the end. An empty name is one as well. */
static const char *next_name(const char **rest, size_t *length)
{
	const char *name = *rest;

	if (!name)
		return NULL;
	*length = strcspn(name, ",");
	*rest = name[*length] ? name + *length + 1 : NULL;
	return name;
}

/* Where "" means no name at all. */
static const char *list_or_none(const char *list)
{
	return *list ? list : NULL;
}

static int __init parse_bool(const char *name, const char *text, bool *value)
{
	if ((text[0] != '0' && text[0] != '1') || text[1]) {
		pr_err("%s=%s: must be 0 or 1\n", name, text);
		return -EINVAL;
	}
	*value = text[0] == '1';
	return 0;
}

static int __init parse_ring_kb(void)
{
	unsigned int kb;

	if (kstrtouint(ring_kb, 10, &kb) || kb < RING_KB_MIN || kb > RING_KB_MAX || kb * 1024UL % PAGE_SIZE) {
		pr_err("ring_kb=%s: must be %d to %d, a multiple of %lu\n", ring_kb, RING_KB_MIN, RING_KB_MAX,
		       PAGE_SIZE / 1024);
		return -EINVAL;
	}
	magnet_param.ring_bytes = kb * 1024;
	return 0;
}

static int __init parse_layers(void)
{
	const char *name, *rest = layers;
	size_t length;
	u32 i, mask = 0;

	while ((name = next_name(&rest, &length))) {
		for (i = 1; i < ARRAY_SIZE(layer_names); i++)
			if (strlen(layer_names[i]) == length && !strncmp(name, layer_names[i], length))
				break;
		if (i == ARRAY_SIZE(layer_names)) {
			mask = 0;
			break;
		}
		mask |= 1U << (i - 1);
	}
	if (!mask) {
		pr_err("layers=%s: must be a list of sock,tcp,udp,ip,dev\n", layers);
		return -EINVAL;
	}
	magnet_param.layers = mask;
	return 0;
}

static int __init parse_dev(void)
{
	const char *name, *rest = list_or_none(dev);
	size_t length;

	while ((name = next_name(&rest, &length))) {
		char *copy = magnet_param.dev[magnet_param.dev_count];

		if (magnet_param.dev_count == MAGNET_DEV_NAMES || length >= IFNAMSIZ)
			goto wrong;
		memcpy(copy, name, length);
		copy[length] = '\0';
		if (!dev_valid_name(copy))
			goto wrong;
		magnet_param.dev_count++;
	}
	return 0;
wrong:
	pr_err("dev=%s: must be a list of at most %d interface names of 1 to %d characters\n", dev, MAGNET_DEV_NAMES,
	       IFNAMSIZ - 1);
	return -EINVAL;
}

int __init magnet_param_init(void)
{
	int err;

	err = parse_ring_kb();
	if (!err)
		err = parse_bool("ext", ext, &magnet_param.ext);
	if (!err)
		err = parse_layers();
	if (!err)
		err = parse_dev();
	if (!err)
		err = parse_bool("always", always, &magnet_param.always);
	magnet_param.record_size =
		magnet_param.ext ? sizeof(struct magnet_record_ext) : sizeof(struct magnet_record);
	return err;
}

bool magnet_param_without(const char *symbol)
{
	const char *name, *rest = list_or_none(without);
	size_t length;

	while ((name = next_name(&rest, &length)))
		if (strlen(symbol) == length && !strncmp(name, symbol, length))
			return true;
	return false;
}

/* A symbol that is misspelt would be hooked. */
int magnet_param_check_without(bool (*known)(const char *name, size_t length))
{
	const char *name, *rest = list_or_none(without);
	size_t length;

	while ((name = next_name(&rest, &length)))
		if (!known(name, length)) {
			pr_err("without=%s: must be a list of symbols as in /proc/net/magnet\n", without);
			return -EINVAL;
		}
	return 0;
}

void magnet_param_layer_names(char *text, size_t size)
{
	size_t used = 0;
	u32 i;

	text[0] = '\0';
	for (i = 1; i < ARRAY_SIZE(layer_names); i++)
		if (magnet_param.layers & (1U << (i - 1)))
			used += scnprintf(text + used, size - used, "%s%s", used ? "," : "", layer_names[i]);
}
