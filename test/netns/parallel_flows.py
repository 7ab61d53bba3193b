# SPDX-License-Identifier: Apache-2.0
"""Parallel TCP streams, one of which is held back by its own writer.

  parallel_flows.py serve PORT COUNT             takes so many connections and reads each to its end
  parallel_flows.py send ADDRESS PORT COUNT --seconds S [--status N]

The sender opens every second stream in a child of its own, says "stream PORT" of each and "slow PORT" of the last, and
ends with the status.
"""
import argparse
import os
import socket
import sys
import threading
import time

SO_MAX_PACING_RATE = 47
PACE = 3_000_000  # bytes/s: the lab's path carries all of them


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="role", required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("port", type=int)
    serve.add_argument("count", type=int)
    send = commands.add_parser("send")
    send.add_argument("address")
    send.add_argument("port", type=int)
    send.add_argument("count", type=int)
    send.add_argument("--seconds", type=float, required=True)
    send.add_argument("--status", type=int, default=0)
    return parser.parse_args()


def read_all(connection):
    with connection:
        while connection.recv(1 << 18):
            pass


def serve(options):
    listener = socket.create_server(("", options.port))
    print("listening", flush=True)
    readers = []
    for _ in range(options.count):
        readers.append(threading.Thread(target=read_all, args=(listener.accept()[0],)))
        readers[-1].start()
    for reader in readers:
        reader.join()


def stream(options, slow):
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, PACE)
    connection.connect((options.address, options.port))
    os.write(1, f"{'slow' if slow else 'stream'} {connection.getsockname()[1]}\n".encode())  # in one piece
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        connection.sendall(bytes(4096 if slow else 1 << 15))
        if slow:
            time.sleep(0.02)
    connection.close()


def send(options):
    children, threads = [], []
    for index in range(options.count):
        slow = index == options.count - 1
        if index % 2 == 0:
            pid = os.fork()
            if pid == 0:
                stream(options, slow)
                os._exit(0)
            children.append(pid)
        else:
            threads.append(threading.Thread(target=stream, args=(options, slow)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pid in children:
        os.waitpid(pid, 0)
    return options.status


options = arguments()
sys.exit(serve(options) if options.role == "serve" else send(options))
