/* SPDX-License-Identifier: GPL-2.0 */
/* /proc/net/magnet in every network namespace: state, never traffic. */
#ifndef MAGNET_PROC_H
#define MAGNET_PROC_H

#define MAGNET_VERSION "0.1.0"

int magnet_proc_create(void);
void magnet_proc_destroy(void);

#endif
