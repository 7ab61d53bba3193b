/* SPDX-License-Identifier: GPL-2.0 */
/* TCP segments of sockets, as TCP hands them down and takes them in. */
#ifndef MAGNET_TCP_H
#define MAGNET_TCP_H

#include "compat.h"

void magnet_tcp_transmit(const unsigned long *arguments);
void magnet_tcp_receive4(const unsigned long *arguments);
void magnet_tcp_receive6(const unsigned long *arguments);
void magnet_tcp_receive_child(const unsigned long *arguments);
void magnet_tcp_retransmit(const unsigned long *arguments);

#ifdef MAGNET_RETRANSMIT_ARGS
void magnet_tcp_retransmitted(void *unused, MAGNET_RETRANSMIT_ARGS);
#define MAGNET_TCP_RETRANSMITTED magnet_tcp_retransmitted
#else
#define MAGNET_TCP_RETRANSMITTED NULL
#endif

#endif
