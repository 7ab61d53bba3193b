// SPDX-License-Identifier: GPL-2.0
#include "proc.h"

#include <linux/cpumask.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>
#include "clock.h"
#include "device.h"
#include "hooks.h"
#include "param.h"
#include "record.h"

/* Lines of "key value ...": docs/magnet-module.md. Columns are added at a line's end only. */
static int magnet_proc_show(struct seq_file *file, void *unused)
{
	char layers[32];
	u32 i;
	int cpu;

	magnet_param_layer_names(layers, sizeof(layers));
	seq_printf(file, "version %s\nabi %d\n", MAGNET_VERSION, MAGNET_ABI);
	seq_printf(file, "clock %s %u kHz%s\n", magnet_clock_name(), magnet_clock_khz(),
		   magnet_clock_is_unstable() ? " unstable" : "");
	seq_printf(file, "ring_kb %u\n", magnet_param.ring_bytes / 1024);
	seq_printf(file, "ext %d\nrecord_size %u\n", magnet_param.ext, magnet_param.record_size);
	seq_printf(file, "slots %u\n", magnet_param.ring_bytes / magnet_param.record_size);
	seq_printf(file, "layers %s\ndev %s", layers, magnet_param.dev_count ? magnet_param.dev[0] : "all");
	for (i = 1; i < magnet_param.dev_count; i++)
		seq_printf(file, ",%s", magnet_param.dev[i]);
	seq_printf(file, "\nalways %d\n", magnet_param.always);
	magnet_hooks_show(file);
	for_each_possible_cpu(cpu) {
		const struct magnet_ring *ring = &per_cpu_ptr(&magnet_cpus, cpu)->ring;

		seq_printf(file, "cpu %d recorded %llu lost %llu high_water %u open %d\n", cpu,
			   magnet_ring_recorded(ring), magnet_ring_lost(ring), magnet_ring_high_water(ring),
			   magnet_device_is_open(cpu));
	}
	return 0;
}

static int __net_init magnet_proc_net_init(struct net *net)
{
	return proc_create_single("magnet", 0444, net->proc_net, magnet_proc_show) ? 0 : -ENOMEM;
}

static void __net_exit magnet_proc_net_exit(struct net *net)
{
	remove_proc_entry("magnet", net->proc_net);
}

static struct pernet_operations magnet_proc_net_ops = {
	.init = magnet_proc_net_init,
	.exit = magnet_proc_net_exit,
};

int magnet_proc_create(void)
{
	return register_pernet_subsys(&magnet_proc_net_ops);
}

void magnet_proc_destroy(void)
{
	unregister_pernet_subsys(&magnet_proc_net_ops);
}
