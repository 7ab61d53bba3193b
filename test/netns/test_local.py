#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline why --local`, in a network namespace of its own with nothing but loopback: sockets that come and go between two
looks are counted, and neither those that last nor who has none is told of them."""
import json
import re
import resource
import socket
import subprocess
import sys
import tempfile

from site_lab import build_folder, skip_unless_possible

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
MOST = min(20_000, FILES // 2 - 100)  # sockets that last, each with its other end here


class Watch:
    """`why --local`, its report in a file: a pipe that nobody reads would hold its end up."""

    def __init__(self, duration):
        self.out = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([build_folder() / "bin/fieldline", "why", "--local", "--json", "--for", duration],
                                        stdout=self.out, stderr=subprocess.DEVNULL)

    def is_on(self):
        return self.process.poll() is None

    def unseen(self):
        """How many sockets it says it missed, in how many lines."""
        self.process.wait(30)
        self.out.seek(0)
        doubts = json.load(self.out)["doubts"]
        found = [re.match(r"([\d,]+) sockets of this host", line) for line in doubts]
        return sum(int(match[1].replace(",", "")) for match in found if match), len(list(filter(None, found)))


def pair(listener):
    near = socket.create_connection(listener.getsockname())
    return near, listener.accept()[0]


def those_that_last(listener):
    """Opened without a pause from before the first look until after the last: all are there to be seen."""
    ends = [pair(listener) for _ in range(100)]
    watch = Watch("200ms")
    while watch.is_on() and len(ends) < MOST:
        ends.append(pair(listener))
    count = watch.unseen()
    print(f"{len(ends)} lasting sockets, {count[0]} said to be unseen", flush=True)
    assert count == (0, 0), (len(ends), count)
    for end in ends:
        for one in end:
            one.close()


def those_that_are_gone():
    watch, made = Watch("500ms"), 0
    while watch.is_on():
        # To a port where nobody listens: opened, refused, gone.
        with socket.socket() as short:
            assert short.connect_ex(("127.0.0.1", 9)) != 0
        made += 1
    count, lines = watch.unseen()
    print(f"{made} short sockets, {count} of them unseen", flush=True)
    assert lines == 1 and 20 <= count <= made, (count, made, lines)


def inside():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        assert Watch("500ms").unseen() == (0, 0)
        those_that_last(listener)
        lasting = pair(listener)
        those_that_are_gone()
        for one in lasting:
            one.close()
    return 0


def main():
    skip_unless_possible()
    if "--inside" in sys.argv:
        return inside()
    return subprocess.run(["unshare", "--net", sys.executable, __file__, "--inside"]).returncode


if __name__ == "__main__":
    sys.exit(main())
