# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of the guest, traffic that says what it sent, and the kernel's own counters.

    namespace left                namespace right
    veth0 10.77.0.1, fd77::1 ==== veth1 10.77.0.2, fd77::2        and loopback in each
"""
import contextlib
import ctypes
import functools
import os
import socket
import subprocess
import threading

from rings import libc

CLONE_NEWNET = 0x40000000
ADDRESS = {
    ("veth", 4): ("10.77.0.1", "10.77.0.2"),
    ("veth", 6): ("fd77::1", "fd77::2"),
    ("lo", 4): ("127.0.0.1", "127.0.0.1"),
    ("lo", 6): ("::1", "::1"),
}
SO_COOKIE = 57


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ip(*words):
    return run("ip", *words)


def mount_debugfs():
    if not os.path.ismount("/sys/kernel/debug"):
        run("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")


@functools.cache
def kernel_has(function):
    with open("/proc/kallsyms") as file:
        return any(line.endswith(f" {function}\n") for line in file)


@contextlib.contextmanager
def entries(function):
    """How often the kernel's function was entered so far, as a callable; 0 where there is none. By the kernel's own
    kprobe: nothing of ours.
    """
    if not kernel_has(function):
        yield lambda: 0
        return
    tracing = "/sys/kernel/tracing"
    if not os.path.ismount(tracing):
        run("mount", "-t", "tracefs", "tracefs", tracing)

    def write(file, text):
        fd = os.open(f"{tracing}/{file}", os.O_WRONLY)  # neither truncated, which removes all, nor sought in
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def count():
        with open(f"{tracing}/kprobe_profile") as file:
            return int(next(line.split()[1] for line in file if line.split()[0] == "entries"))

    write("kprobe_events", f"p:entries {function}\n")
    try:
        write("events/kprobes/entries/enable", "1")
        yield count
    finally:
        write("events/kprobes/entries/enable", "0")
        write("kprobe_events", "-:entries\n")


def make_namespaces():
    """Neighbours are known for good, so that no ARP and no neighbour discovery is among the traffic. What IPv6 says to
    join its multicast groups remains; the counters of ICMPv6 tell how much that was.
    """
    ends = (("left", "veth0", 1), ("right", "veth1", 2))
    for name, _, _ in ends:
        ip("netns", "add", name)
        with netns(name):
            ip("link", "set", "lo", "up")
    ip("link", "add", "veth0", "netns", "left", "type", "veth", "peer", "name", "veth1", "netns", "right")
    for name, device, last in ends:
        with netns(name):
            for key, value in (("accept_dad", 0), ("router_solicitations", 0), ("addr_gen_mode", 1)):
                with open(f"/proc/sys/net/ipv6/conf/{device}/{key}", "w") as file:
                    file.write(str(value))
            ip("link", "set", device, "address", f"02:00:00:00:00:0{last}", "up")
            for address in (f"10.77.0.{last}/24", f"fd77::{last}/64"):
                ip("address", "add", address, "dev", device)
            for address in (f"10.77.0.{3 - last}", f"fd77::{3 - last}"):
                ip("neighbour", "add", address, "lladdr", f"02:00:00:00:00:0{3 - last}", "dev", device)


@contextlib.contextmanager
def netns(name):
    """This thread, and what it starts, in that namespace."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        enter(there)
        yield
    finally:
        enter(before)
        os.close(there)
        os.close(before)


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def counters(*names):
    """The kernel's own, of these namespaces together: {"TcpOutSegs": n, "Ip6InReceives": n, "TcpExtTCPTimeouts": n}"""
    total = {}
    for name in names:
        with netns(name):
            for key, value in counters_here():
                total[key] = total.get(key, 0) + value
    return total


def counters_here():
    for file in ("snmp", "netstat"):
        with open(f"/proc/thread-self/net/{file}") as lines:
            for titles, values in zip(lines, lines):
                prefix, *titles = titles.split()
                yield from zip((prefix[:-1] + title for title in titles), map(int, values.split()[1:]))
    with open("/proc/thread-self/net/snmp6") as lines:
        for line in lines:
            key, value = line.split()
            yield key, int(value)
    with open("/proc/thread-self/net/dev") as lines:
        for line in list(lines)[2:]:
            name, values = line.split(":")
            values = list(map(int, values.split()))
            for key, value in (("rx_bytes", values[0]), ("rx_packets", values[1]), ("tx_bytes", values[8]),
                               ("tx_packets", values[9]), ("tx_dropped", values[11]), ("rx_dropped", values[3])):
                yield f"{name.strip()}.{key}", value


def difference(after, before):
    return {key: value - before.get(key, 0) for key, value in after.items()}


def cookie(sock):
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")


def family(version):
    return socket.AF_INET if version == 4 else socket.AF_INET6


class TcpPair:
    """A connection: client in left, server in right (veth), or both in left (lo)."""

    def __init__(self, medium, version):
        self.address = ADDRESS[medium, version][1]
        far = "left" if medium == "lo" else "right"
        with netns(far):
            self.listener = socket.socket(family(version), socket.SOCK_STREAM)
        self.listener.bind((self.address, 0))
        self.listener.listen(1)
        with netns("left"):
            self.client = socket.socket(family(version), socket.SOCK_STREAM)
        self.client.connect(self.listener.getsockname()[:2])
        self.server, _ = self.listener.accept()
        self.got = 0

    def serve(self, length, read=None):
        """A thread that reads `length` bytes at the server."""
        read = read or (lambda: len(self.server.recv(65536)))

        def loop():
            while self.got < length:
                more = read()
                if not more:
                    break
                self.got += more

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def end(self):
        """In order: each side hears the other's end before it closes, so that no socket is orphaned."""
        self.client.shutdown(socket.SHUT_WR)
        assert self.server.recv(1) == b""
        self.server.shutdown(socket.SHUT_WR)
        assert self.client.recv(1) == b""
        for sock in (self.client, self.server, self.listener):
            sock.close()


class UdpPair:
    def __init__(self, medium, version):
        with netns("left" if medium == "lo" else "right"):
            self.server = socket.socket(family(version), socket.SOCK_DGRAM)
        self.server.bind((ADDRESS[medium, version][1], 0))
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with netns("left"):
            self.client = socket.socket(family(version), socket.SOCK_DGRAM)
        self.to = self.server.getsockname()[:2]

    def close(self):
        self.client.close()
        self.server.close()
