// SPDX-License-Identifier: GPL-2.0
/*
 * Another module's events in MAGNeT's rings. Writing "sockid event size" into /proc/magnet_sample adds one record and
 * gives back what magnet_add() returned; the extension is the bytes 1 to 40. leak=N: so many allocations are forgotten,
 * for who tests a leak detector.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "magnet.h"

static unsigned int leak;
module_param(leak, uint, 0444);
MODULE_PARM_DESC(leak, "so many allocations of 64 bytes are forgotten (default 0)");

static ssize_t sample_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	char line[64];
	union magnet_ext ext;
	unsigned long long sockid;
	unsigned int event, i;
	int size, err;

	if (length >= sizeof(line))
		return -EMSGSIZE;
	if (copy_from_user(line, from, length))
		return -EFAULT;
	line[length] = '\0';
	if (sscanf(line, "%llu %i %d", &sockid, (int *)&event, &size) != 3)
		return -EBADMSG;
	for (i = 0; i < sizeof(ext.bytes); i++)
		ext.bytes[i] = i + 1;
	err = magnet_add(sockid, event, size, &ext);
	return err ? err : length;
}

static int sample_show(struct seq_file *file, void *unused)
{
	return 0;
}

static int sample_open(struct inode *inode, struct file *file)
{
	return single_open(file, sample_show, NULL);
}

static const struct proc_ops sample_ops = {
	.proc_open = sample_open,
	.proc_write = sample_write,
	.proc_release = single_release,
};

static int __init sample_init(void)
{
	unsigned int i;

	for (i = 0; i < leak; i++) {
		void *forgotten = kmalloc(64, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(forgotten); /* an allocation without a use may be left out */
	}
	return proc_create("magnet_sample", 0600, NULL, &sample_ops) ? 0 : -ENOMEM;
}

static void __exit sample_exit(void)
{
	remove_proc_entry("magnet_sample", NULL);
}

module_init(sample_init);
module_exit(sample_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test: another module's events by magnet_add()");
