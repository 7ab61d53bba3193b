#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TCP connections of a kind that traffic.py has none of, between two boxes of a lab.

  tcp_cases.py slow-server PORT GO        a small buffer, read when the file GO is there
  tcp_cases.py server PORT                reads one connection to its end
  tcp_cases.py filler ADDRESS PORT BYTES  writes, ends
  tcp_cases.py idler ADDRESS PORT GO      100 bytes, then keep-alives each second until GO is there
  tcp_cases.py resetter ADDRESS PORT      10,000 bytes, then a reset
  tcp_cases.py refused ADDRESS PORT       nobody listens there
Servers print "ready" first; each side gives up after 60 s.
"""
import os
import socket
import struct
import sys
import time


def wait_for(file):
    end = time.monotonic() + 60
    while not os.path.exists(file):
        if time.monotonic() > end:
            sys.exit(f"{file} did not appear")
        time.sleep(0.02)


def serve(port, go=None):
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if go:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listener.bind(("0.0.0.0", port))
    listener.listen(1)
    listener.settimeout(60)
    print("ready", flush=True)
    peer = listener.accept()[0]
    peer.settimeout(60)
    if go:
        wait_for(go)
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        pass


def fill(address, port, count):
    client = socket.create_connection((address, port), 60)
    client.sendall(bytes(count))
    client.shutdown(socket.SHUT_WR)
    client.recv(1)


def idle(address, port, go):
    client = socket.create_connection((address, port), 60)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 60)):
        client.setsockopt(socket.IPPROTO_TCP, option, value)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.sendall(bytes(100))
    wait_for(go)
    client.close()


def reset(address, port):
    client = socket.create_connection((address, port), 60)
    client.sendall(bytes(10_000))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def refused(address, port):
    try:
        socket.create_connection((address, port), 60)
    except ConnectionRefusedError:
        return
    sys.exit("somebody listens there")


if __name__ == "__main__":
    kinds = {"slow-server": serve, "server": serve, "filler": fill, "idler": idle, "resetter": reset,
             "refused": refused}
    if len(sys.argv) < 2 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    kinds[sys.argv[1]](*[int(a) if a.isdigit() else a for a in sys.argv[2:]])
