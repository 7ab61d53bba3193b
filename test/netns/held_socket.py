# SPDX-License-Identifier: Apache-2.0
"""One TCP connection whose every byte a test knows.

  held_socket.py serve PORT              accepts one connection and reads it to its end
  held_socket.py send ADDRESS PORT N GO  connects, says its cookie, and sends N bytes in calls of 1,000 each time that
                                         the file GO appears (it is then removed); ends when GO says "end"
"""
import os
import socket
import sys
import time

SO_COOKIE = 57


def serve(port):
    listener = socket.create_server(("", port))
    print("listening", flush=True)
    connection = listener.accept()[0]
    total = 0
    while data := connection.recv(65536):
        total += len(data)
    print(f"received {total}", flush=True)


def send(address, port, count, go):
    connection = socket.create_connection((address, port))
    cookie = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)
    print(f"cookie {cookie}", flush=True)
    rounds = 0
    while True:
        while not os.path.exists(go):
            time.sleep(0.02)
        with open(go, encoding="ascii") as file:
            word = file.read()
        os.unlink(go)
        if word == "end":
            return
        for at in range(0, count, 1000):
            connection.sendall(bytes(min(1000, count - at)))
        rounds += 1
        print(f"sent {rounds}", flush=True)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
