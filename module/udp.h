/* SPDX-License-Identifier: GPL-2.0 */
/* UDP datagrams as they are handed to UDP, and as they reach a socket's queue. */
#ifndef MAGNET_UDP_H
#define MAGNET_UDP_H

#include "hooks.h"

MAGNET_ENTERED(magnet_udp_send4);
MAGNET_ENTERED(magnet_udp_send6);
MAGNET_ENTERED(magnet_udp_receive);

#endif
