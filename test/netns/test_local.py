#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline why --local`, in a network namespace of its own with nothing but loopback: sockets that come and go between two
looks are counted, and who has none is told nothing of them."""
import json
import re
import socket
import subprocess
import sys
import threading

from site_lab import build_folder, skip_unless_possible

MOST = 3000  # connections


def watch(*options):
    return subprocess.Popen([build_folder() / "bin/fieldline", "why", "--local", "--json", *options], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def take_all(listener):
    """Each connection is read to its end and closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the listener was closed
            return
        with connection:
            connection.recv(16)


def unseen(process):
    out, err = process.communicate(timeout=30)
    report = json.loads(out)
    found = [re.match(r"([\d,]+) sockets of this host", line) for line in report["doubts"]]
    found = [int(match[1].replace(",", "")) for match in found if match]
    return sum(found), len(found), report, err


def ended_within(process, seconds):
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def inside():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    taker = threading.Thread(target=take_all, args=(listener,))
    taker.start()
    quiet = unseen(watch("--for", "500ms"))
    assert quiet[:2] == (0, 0), quiet

    lasting = socket.create_connection(listener.getsockname())  # its other end waits in recv()
    process, made = watch("--for", "2s"), 0
    while not ended_within(process, 0.002) and made < MOST:
        # To a port where nobody listens: opened, refused, gone.
        with socket.socket() as short:
            assert short.connect_ex(("127.0.0.1", 9)) != 0
        made += 1
    count, lines, report, err = unseen(process)
    print(f"{made} short sockets, {count} of them unseen", flush=True)
    assert lines == 1 and 20 <= count <= made, (count, made, report["doubts"], err)
    lasting.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    taker.join()
    return 0


def main():
    skip_unless_possible()
    if "--inside" in sys.argv:
        return inside()
    return subprocess.run(["unshare", "--net", sys.executable, __file__, "--inside"]).returncode


if __name__ == "__main__":
    sys.exit(main())
