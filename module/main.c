// SPDX-License-Identifier: GPL-2.0
/*
 * magnet.ko: records of what sockets asked for and what the stack made of it, in a ring per CPU that a reader maps.
 *
 *   probe -> record in this CPU's ring -> /dev/magnetN, mapped -> reader
 *
 * Hooks are armed while a device is open (hooks.c). Devices come last, since what is open must not be taken back by an
 * init that fails. Leaving mirrors init: devices go first, so that nobody opens any more; open ones hold the module.
 * Then the hooks, after which no probe runs, then the rings.
 */
#define pr_fmt(text) KBUILD_MODNAME ": " text

#include <linux/init.h>
#include <linux/module.h>
#include "clock.h"
#include "device.h"
#include "hooks.h"
#include "param.h"
#include "proc.h"
#include "record.h"

static int __init magnet_init(void)
{
	char layers[32];
	int err;

	err = magnet_param_init();
	if (err)
		return err;
	err = magnet_clock_init();
	if (err)
		return err;
	err = magnet_rings_create();
	if (err)
		return err;
	err = magnet_hooks_init();
	if (err)
		goto err_rings;
	err = magnet_proc_create();
	if (err)
		goto err_hooks;
	err = magnet_devices_create();
	if (err)
		goto err_proc;

	magnet_param_layer_names(layers, sizeof(layers));
	pr_info("%s: %u rings of %u KiB, records of %u bytes, layers %s\n", MAGNET_VERSION, num_possible_cpus(),
		magnet_param.ring_bytes / 1024, magnet_param.record_size, layers);
	if (magnet_clock_is_unstable())
		pr_warn("the kernel holds this machine's cycle counters for unstable: do not compare times of two CPUs\n");
	return 0;

err_proc:
	magnet_proc_destroy();
err_hooks:
	magnet_hooks_exit();
err_rings:
	magnet_rings_destroy();
	return err;
}

static void __exit magnet_exit(void)
{
	magnet_devices_destroy();
	magnet_proc_destroy();
	magnet_hooks_exit();
	magnet_rings_destroy();
}

module_init(magnet_init);
module_exit(magnet_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("MAGNeT: event records of sockets, TCP, UDP, IP and devices in mapped rings");
MODULE_VERSION(MAGNET_VERSION);
