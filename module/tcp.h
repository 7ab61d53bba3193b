/* SPDX-License-Identifier: GPL-2.0 */
/* TCP segments of sockets, as TCP hands them down and takes them in. */
#ifndef MAGNET_TCP_H
#define MAGNET_TCP_H

#include "compat.h"
#include "hooks.h"

MAGNET_ENTERED(magnet_tcp_transmit);
MAGNET_ENTERED(magnet_tcp_receive);
MAGNET_ENTERED(magnet_tcp_receive6);
MAGNET_ENTERED(magnet_tcp_receive_child);
MAGNET_ENTERED(magnet_tcp_retransmit);

#ifdef MAGNET_TCP_PROBE_ARGS
void magnet_tcp_established(void *unused, MAGNET_TCP_PROBE_ARGS);
#define MAGNET_TCP_ESTABLISHED magnet_tcp_established
#else
#define MAGNET_TCP_ESTABLISHED NULL
#endif

#ifdef MAGNET_RETRANSMIT_ARGS
void magnet_tcp_retransmitted(void *unused, MAGNET_RETRANSMIT_ARGS);
#define MAGNET_TCP_RETRANSMITTED magnet_tcp_retransmitted
#else
#define MAGNET_TCP_RETRANSMITTED NULL
#endif

#endif
