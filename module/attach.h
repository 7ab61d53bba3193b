/* SPDX-License-Identifier: GPL-2.0 */
/* How each kind of hook is found, attached and detached. All under the table's mutex. */
#ifndef MAGNET_ATTACH_H
#define MAGNET_ATTACH_H

#include "hooks.h"

void magnet_attach_find(struct magnet_hook *hooks, u32 count);
void magnet_attach(struct magnet_hook *hooks, u32 count);
void magnet_detach(struct magnet_hook *hooks, u32 count);
unsigned long magnet_attach_missed(const struct magnet_hook *hook);
u32 magnet_attach_namespaces_without_ip(void);

#endif
