/* SPDX-License-Identifier: GPL-2.0 */
/* UDP datagrams as they are handed to UDP, and as they reach a socket's queue. */
#ifndef MAGNET_UDP_H
#define MAGNET_UDP_H

void magnet_udp_send4(const unsigned long *arguments);
void magnet_udp_send6(const unsigned long *arguments);
void magnet_udp_receive(const unsigned long *arguments);

#endif
