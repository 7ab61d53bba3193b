#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bounded traffic between two boxes of a lab, and nowhere else.

  traffic.py tcp-server PORT CONNECTIONS           accepts that many, reads each to its end, prints "bytes N"
  traffic.py tcp-client ADDRESS PORT BYTES [FROM_PORT [BYTES_PER_SECOND]]
                                                   prints "retransmitted N" and "segments OUT IN" when both sides
                                                   have closed
  traffic.py tcp-clients ADDRESS PORT FIRST_FROM_PORT COUNT BYTES
                                                   COUNT connections at once, from ports that follow one another
  traffic.py tcp-paced ADDRESS PORT COUNT PER_SECOND SIZE
                                                   one connection, COUNT writes; SIGTERM ends it early
  traffic.py udp-server FIRST_PORT PORTS COUNT SECONDS
                                                   prints "packets N" after COUNT datagrams or SECONDS of silence
  traffic.py udp-client ADDRESS FIRST_PORT PORTS COUNT PER_SECOND [SIZE]
                                                   from the same port numbers, round robin; SIGTERM ends it early
Servers print "ready" first.
"""
import os
import select
import signal
import socket
import struct
import sys
import time


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def stay_on_one_cpu():
    """A veth hands on by the CPU that sends: an end that moves on lets its packets overtake each other, by dozens on a busy
    machine, where no injector did. test/support/impair.cpp stays on the same one."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def tcp_server(port, connections):
    stay_on_one_cpu()
    listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
    print("ready", flush=True)
    poller, open_ones, total, left = select.epoll(), {}, 0, connections
    poller.register(listener, select.EPOLLIN)
    while left or open_ones:
        for fd, _ in poller.poll(30) or sys.exit("nothing came for 30 s"):
            if fd == listener.fileno():
                peer = listener.accept()[0]
                open_ones[peer.fileno()] = peer
                poller.register(peer, select.EPOLLIN)
                left -= 1
                continue
            data = open_ones[fd].recv(1 << 16)
            total += len(data)
            if not data:
                poller.unregister(fd)
                open_ones.pop(fd).close()
    print("bytes", total, flush=True)


SO_MAX_PACING_RATE, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 47, 32, 33  # asm-generic/socket.h
# A veth hands packets to the receiving CPU's backlog, which drops what comes beyond net.core.netdev_max_backlog (1000).
# A window of this many bytes (the kernel takes it twice) is some 350 segments, and stays below that on a busy machine too.
SEND_BUFFER = 256 << 10


def tcp_client(address, port, count, from_port=0, bytes_per_second=0):
    stay_on_one_cpu()
    client = socket.socket(family_of(address), socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER)
    if bytes_per_second:
        client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, bytes_per_second)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if from_port:
        client.bind(("::" if ":" in address else "0.0.0.0", from_port))
    client.connect((address, port))
    block = bytes(range(256)) * 256
    while count > 0:
        count -= client.send(block[:min(count, len(block))])
    client.shutdown(socket.SHUT_WR)
    client.recv(1)
    # tcpi_total_retrans, tcpi_segs_out, tcpi_segs_in: what TCP itself counts, of super-packets each segment.
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)
    print("retransmitted", *struct.unpack("<I", info[100:104]))
    print("segments", *struct.unpack("<II", info[136:]), flush=True)


def tcp_clients(address, port, first, count, size):
    clients = []
    for from_port in range(first, first + count):
        client = socket.socket(family_of(address), socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("::" if ":" in address else "0.0.0.0", from_port))
        client.connect((address, port))
        clients.append(client)
    for client in clients:
        client.sendall(bytes(size))
        client.shutdown(socket.SHUT_WR)
    for client in clients:
        client.recv(1)


def paced(count, per_second):
    """Numbers at their time, until SIGTERM."""
    ending = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    begin = time.monotonic()
    for number in range(count):
        due = begin + number / per_second
        while time.monotonic() < due and not ending:
            time.sleep(min(0.002, max(0, due - time.monotonic())))
        if ending:
            return
        yield number


def tcp_paced(address, port, count, per_second, size):
    client = socket.create_connection((address, port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in paced(count, per_second):
        client.sendall(bytes(size))
    client.shutdown(socket.SHUT_WR)
    client.recv(1)


def udp_server(first, ports, count, seconds):
    poller, sockets, got = select.epoll(), {}, 0
    for port in range(first, first + ports):
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # What it has by default is full in 30 ms of a busy machine, and what a test misses then the path did not lose.
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        receiver.bind(("::", port))
        sockets[receiver.fileno()] = receiver
        poller.register(receiver, select.EPOLLIN)
    print("ready", flush=True)
    while got < count:
        ready = poller.poll(seconds)
        if not ready:
            break
        for fd, _ in ready:
            sockets[fd].recv(65536)
            got += 1
    print("packets", got, flush=True)


def udp_client(address, first, ports, count, per_second, size=200):
    senders = []
    for port in range(first, first + ports):
        sender = socket.socket(family_of(address), socket.SOCK_DGRAM)
        sender.bind(("::" if ":" in address else "0.0.0.0", port))
        sender.connect((address, port))
        senders.append(sender)
    for number in paced(count, per_second):
        try:
            senders[number % ports].send(number.to_bytes(8, "big") + bytes(size - 8))
        except ConnectionRefusedError:
            pass


if __name__ == "__main__":
    kinds = {"tcp-server": tcp_server, "tcp-client": tcp_client, "tcp-clients": tcp_clients,
             "tcp-paced": tcp_paced, "udp-server": udp_server, "udp-client": udp_client}
    if len(sys.argv) < 2 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    kinds[sys.argv[1]](*[int(a) if a.isdigit() else a for a in sys.argv[2:]])
