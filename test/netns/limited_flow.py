# SPDX-License-Identifier: Apache-2.0
"""One TCP connection that something known holds back.

  limited_flow.py serve PORT [--rcvbuf N] [--read N --every MS]
  limited_flow.py send ADDRESS PORT --seconds S [--sndbuf N] [--pace BYTES_A_SECOND] [--write N --every MS] [--pause S]

`--every` is the time from one call to the next (none: at once); `--pause` a time in the middle without any.
"""
import argparse
import socket
import sys
import time

SO_MAX_PACING_RATE = 47


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="role", required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("port", type=int)
    serve.add_argument("--rcvbuf", type=int)
    serve.add_argument("--read", type=int, default=1 << 18)
    serve.add_argument("--every", type=float, default=0)
    send = commands.add_parser("send")
    send.add_argument("address")
    send.add_argument("port", type=int)
    send.add_argument("--seconds", type=float, required=True)
    send.add_argument("--sndbuf", type=int)
    send.add_argument("--pace", type=int)
    send.add_argument("--write", type=int, default=1 << 16)
    send.add_argument("--every", type=float, default=0)
    send.add_argument("--pause", type=float, default=0)
    return parser.parse_args()


def serve(options):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.rcvbuf:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.rcvbuf)
    listener.bind(("", options.port))
    listener.listen(1)
    print("listening", flush=True)
    connection = listener.accept()[0]
    total = 0
    while data := connection.recv(options.read):
        total += len(data)
        if options.every:
            time.sleep(options.every / 1000)
    print(f"received {total}", flush=True)


def send(options):
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    if options.sndbuf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.sndbuf)
    if options.pace:
        connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, options.pace)
    connection.connect((options.address, options.port))
    begin, total = time.monotonic(), 0
    paused = not options.pause
    while (now := time.monotonic() - begin) < options.seconds + (options.pause if paused else 0):
        connection.sendall(bytes(options.write))
        total += options.write
        if not paused and now > options.seconds / 2:
            time.sleep(options.pause)
            paused = True
        elif options.every:
            time.sleep(options.every / 1000)
    connection.close()
    print(f"sent {total}", flush=True)


options = arguments()
sys.exit(serve(options) if options.role == "serve" else send(options))
