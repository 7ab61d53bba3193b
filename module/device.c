// SPDX-License-Identifier: GPL-2.0
#include "device.h"

#include <linux/bitmap.h>
#include <linux/cdev.h>
#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "clock.h"
#include "hooks.h"
#include "param.h"
#include "record.h"

static struct class magnet_class = { .name = "magnet" };
static struct cdev magnet_cdev; /* all minors: CPU N is minor N */
static dev_t magnet_first;
static DECLARE_BITMAP(magnet_open_cpus, NR_CPUS);

bool magnet_device_is_open(int cpu)
{
	return test_bit(cpu, magnet_open_cpus);
}

static int magnet_device_open(struct inode *inode, struct file *file)
{
	const int cpu = iminor(inode) - MINOR(magnet_first);
	int err;

	if (cpu < 0 || cpu >= nr_cpu_ids || !cpu_possible(cpu))
		return -ENXIO;
	if (test_and_set_bit_lock(cpu, magnet_open_cpus))
		return -EBUSY;
	file->private_data = (void *)(long)cpu;
	magnet_record_sysinfo(cpu);
	err = magnet_hooks_get();
	if (err)
		clear_bit_unlock(cpu, magnet_open_cpus);
	return err;
}

/* A mapping holds the file: when this runs, nobody has the ring mapped. */
static int magnet_device_release(struct inode *inode, struct file *file)
{
	const int cpu = (long)file->private_data;

	magnet_hooks_put();
	WRITE_ONCE(per_cpu_ptr(&magnet_cpus, cpu)->ring.waiting, 0);
	clear_bit_unlock(cpu, magnet_open_cpus);
	return 0;
}

static int magnet_device_mmap(struct file *file, struct vm_area_struct *vma)
{
	const int cpu = (long)file->private_data;

	/* Shared, and the file open for writing: without VM_SHARED a reader could not give slots back. */
	if (vma->vm_pgoff != 0 || !(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC) ||
	    vma->vm_end - vma->vm_start > magnet_param.ring_bytes)
		return -EINVAL;
	return remap_vmalloc_range(vma, per_cpu_ptr(&magnet_cpus, cpu)->memory, 0);
}

static void magnet_device_barrier(void *unused)
{
}

/*
 * A writer stores the timestamp and then looks at `waiting`, without a barrier between the two. The interrupt on the
 * writer's CPU is that barrier: either the writer had its timestamp stored before the interrupt, and it is seen below,
 * or it looks at `waiting` after it. An offline CPU has no writer, and passes a barrier before it has one.
 */
static __poll_t magnet_device_poll(struct file *file, struct poll_table_struct *wait)
{
	const int cpu = (long)file->private_data;
	struct magnet_cpu *of = per_cpu_ptr(&magnet_cpus, cpu);

	poll_wait(file, &of->readers, wait);
	if (!magnet_ring_has_unread(&of->ring)) {
		WRITE_ONCE(of->ring.waiting, 1);
		smp_call_function_single(cpu, magnet_device_barrier, NULL, 1);
		if (!magnet_ring_has_unread(&of->ring))
			return 0;
	}
	return EPOLLIN | EPOLLRDNORM;
}

static long magnet_device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	const int cpu = (long)file->private_data;
	const struct magnet_ring *ring = &per_cpu_ptr(&magnet_cpus, cpu)->ring;
	struct magnet_clock_pair pair;
	struct magnet_info info = {
		.abi = MAGNET_ABI,
		.record_size = magnet_param.record_size,
		.slots = magnet_ring_slots(ring),
		.cpu = cpu,
		.bytes = magnet_param.ring_bytes,
		.next_slot = magnet_ring_next_slot(ring),
		.cycles_khz = magnet_clock_khz(),
		.layers = magnet_param.layers,
		.recorded = magnet_ring_recorded(ring),
		.lost = magnet_ring_lost(ring),
	};

	if (command != MAGNET_IOC_INFO)
		return -ENOTTY;
	magnet_clock_read(&pair);
	info.cycles = pair.cycles;
	info.tai_ns = pair.tai_ns;
	info.realtime_ns = pair.realtime_ns;
	info.error_ns = pair.error_ns;
	return copy_to_user((void __user *)argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static const struct file_operations magnet_device_ops = {
	.owner = THIS_MODULE,
	.open = magnet_device_open,
	.release = magnet_device_release,
	.mmap = magnet_device_mmap,
	.poll = magnet_device_poll,
	.unlocked_ioctl = magnet_device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static void magnet_device_nodes_destroy(int below)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (cpu < below)
			device_destroy(&magnet_class, magnet_first + cpu);
}

static int magnet_device_nodes_create(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct device *node = device_create(&magnet_class, NULL, magnet_first + cpu, NULL, "magnet%d", cpu);

		if (IS_ERR(node)) {
			magnet_device_nodes_destroy(cpu);
			return PTR_ERR(node);
		}
	}
	return 0;
}

int magnet_devices_create(void)
{
	int err;

	err = alloc_chrdev_region(&magnet_first, 0, nr_cpu_ids, "magnet");
	if (err)
		return err;
	err = class_register(&magnet_class);
	if (err)
		goto err_region;
	err = magnet_device_nodes_create();
	if (err)
		goto err_class;
	/* Last: from here on they can be opened. Until then a node says ENXIO. */
	cdev_init(&magnet_cdev, &magnet_device_ops);
	magnet_cdev.owner = THIS_MODULE;
	err = cdev_add(&magnet_cdev, magnet_first, nr_cpu_ids);
	if (err)
		goto err_nodes;
	return 0;

err_nodes:
	magnet_device_nodes_destroy(nr_cpu_ids);
err_class:
	class_unregister(&magnet_class);
err_region:
	unregister_chrdev_region(magnet_first, nr_cpu_ids);
	return err;
}

void magnet_devices_destroy(void)
{
	cdev_del(&magnet_cdev);
	magnet_device_nodes_destroy(nr_cpu_ids);
	class_unregister(&magnet_class);
	unregister_chrdev_region(magnet_first, nr_cpu_ids);
}
