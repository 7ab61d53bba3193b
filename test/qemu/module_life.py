# SPDX-License-Identifier: Apache-2.0
"""Load and unload under traffic, with devices open, readers that come and are killed, threads that sleep in calls."""
import errno
import os
import random
import signal
import socket
import subprocess
import threading
import time
import unittest

import rings
from guest_net import TcpPair, netns, run
from rings import Proc, Ring, Rings, insmod, rmmod

CYCLES = int(os.environ.get("MAGNET_CYCLES", "50"))
SLEEPERS = 12
RINGS_KB = (4, 16, 256)
LAYERS = ("sock,tcp,udp,ip,dev", "sock", "ip,dev", "tcp", "sock,udp")


class Child:
    """A process of our own that runs `work` for ever; killed at the end."""

    def __init__(self, work):
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work()
            finally:
                os._exit(1)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def traffic():
    """TCP there and back between the namespaces, with room for others on a guest without acceleration."""
    pair = TcpPair("veth", 4)
    pair.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        pair.client.sendall(bytes(500))
        pair.server.recv(1000)
        pair.server.sendall(bytes(50))
        pair.client.recv(1000)
        time.sleep(0.002)


def knock():
    """Opens, maps, asks and closes whatever is there; in between no device is open for a moment."""
    while True:
        time.sleep(0.02)
        for cpu in range(os.cpu_count()):
            try:
                ring = Ring(cpu)
                ring.drain(10)
                ring.close()
            except OSError:
                pass


class Sleepers:
    """Threads in recv(): stir() has each return once and sleep again, under what is armed now."""

    def __init__(self):
        self.returned = threading.Semaphore(0)
        self.socks = []
        with netns("left"):
            self.waker = {f: socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)}
            for number in range(SLEEPERS):
                kind, address = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))[number % 2]
                sock = socket.socket(kind, socket.SOCK_DGRAM)
                sock.bind((address, 0))
                self.socks.append(sock)
                threading.Thread(target=self.sleep, args=(sock,), daemon=True).start()

    def sleep(self, sock):
        while sock.recv(10) != b"end":
            self.returned.release()
        self.returned.release()

    def stir(self, word=b"up"):
        for sock in self.socks:
            self.waker[sock.family].sendto(word, sock.getsockname()[:2])
        for _ in self.socks:
            assert self.returned.acquire(timeout=30), "a receiver did not wake up"


def rmmod_at_last():
    """Others open devices all the time: it goes when none is open."""
    limit = time.monotonic() + 180  # a guest whose CPUs others hold has been seen to stand still for a minute
    while True:
        try:
            return rmmod()
        except OSError as error:
            if error.errno != errno.EAGAIN or time.monotonic() > limit:
                raise AssertionError(f"it stays:\n{run('lsmod')}\n{Proc().text}") from error


def memory():
    """What a leak of ours would show in, in KiB."""
    with open("/proc/meminfo") as file:
        values = {line.split(":")[0]: int(line.split()[1]) for line in file}
    return {key: values[key] for key in ("VmallocUsed", "Percpu")}


class Life(unittest.TestCase):
    def cycle(self, number, choose, sleepers):
        insmod(f"ring_kb={choose.choice(RINGS_KB)} ext={number % 2} always={number % 3 == 0:d} "
               f"layers={choose.choice(LAYERS)}")
        if number % 5 == 0:
            sleepers.stir()
            return rmmod_at_last()
        held = []
        for cpu in range(os.cpu_count()):
            try:
                held.append(Ring(cpu))
            except OSError as error:
                self.assertEqual(error.errno, errno.EBUSY)
        sleepers.stir()
        if held:
            with self.assertRaises(OSError) as busy:
                rmmod()
            self.assertEqual(busy.exception.errno, errno.EAGAIN)
            self.assertEqual(Proc().values["armed"], "1")
        for ring in held:
            ring.drain(100)
            ring.close()
        if number % 4 == 1:
            reader = Child(knock)
            sleepers.stir()
            reader.kill()
        rmmod_at_last()

    def test_load_and_unload(self):
        choose = random.Random(1)
        sleepers = Sleepers()
        children = [Child(traffic), Child(knock)]
        try:
            self.cycle(0, choose, sleepers)
            before = memory()
            for number in range(1, CYCLES + 1):
                self.cycle(number, choose, sleepers)
                if number % 100 == 0:
                    print(f"  loaded and unloaded {number} times", flush=True)
            after = memory()
        finally:
            for child in children:
                child.kill()
            sleepers.stir(b"end")
        for key, value in before.items():
            self.assertLess(after[key] - value, 512, f"{key} grew from {value} KiB in {CYCLES} cycles")
        with open("/proc/modules") as file:
            self.assertNotIn("magnet ", file.read())
        self.assertFalse(os.path.exists("/dev/magnet0") or os.path.exists("/proc/net/magnet"))

    def test_namespaces_come_and_go_while_armed(self):
        insmod("")
        with Rings():
            for _ in range(5):
                run("ip", "netns", "add", "passing")
                with netns("passing"):
                    self.assertEqual(Proc().values["armed"], "1")
                run("ip", "netns", "del", "passing")
        rmmod()

    def test_a_namespace_with_full_chains_does_not_keep_others_from_recording(self):
        """Anybody may make such a namespace. Marked as armed without being so, the close of a device was a panic."""
        run("ip", "netns", "add", "full")
        with netns("full"):
            chains = "".join(f"chain c{i} {{ type filter hook output priority {i}; }}\n" for i in range(1024))
            filled = subprocess.run(["nft", "-f", "-"], input=f"table ip t {{ {chains} }}", text=True, capture_output=True)
        if filled.returncode:
            run("ip", "netns", "del", "full")
            self.skipTest(f"nft: {filled.stderr.strip()[-100:]}")
        insmod("layers=ip")
        for _ in range(2):
            with Rings() as rings_of_all:
                self.assertEqual(Proc().values["namespaces_without_ip"], "1")
                self.assertNotIn("failed", Proc().states().values())
                pair = TcpPair("lo", 4)
                pair.client.sendall(b"x")
                pair.server.recv(1)
                self.assertIn(rings.IP_SEND, {record.event for record in rings_of_all.drain()})
        with Rings():
            run("ip", "netns", "del", "full")
            deadline = time.monotonic() + 60
            while Proc().values["namespaces_without_ip"] != "0":  # the kernel takes a namespace away by and by
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
        rmmod()

    def test_functions_are_not_entered_while_ftrace_is_off(self):
        """Said, and tried again at the next open. Nor can it be switched off while they are in use."""
        def switch(on):
            with open("/proc/sys/kernel/ftrace_enabled", "w") as file:
                file.write(str(on))

        def states_by_ftrace():
            with Rings():
                return {hook["state"] for hook in Proc().hooks if hook["kind"] == "ftrace"} - {"spare"}

        insmod("")
        switch(0)
        try:
            self.assertEqual(states_by_ftrace(), {"failed"})
            self.assertRegex(run("dmesg"), r"magnet: __tcp_transmit_skb could not be hooked \(error 16\)")
        finally:
            switch(1)
        self.assertEqual(states_by_ftrace(), {"armed"})
        with Rings(), self.assertRaises(OSError) as busy:
            switch(0)
        self.assertEqual(busy.exception.errno, errno.EBUSY)
        rmmod()

    def test_hooks_are_absent_while_nobody_reads(self):
        insmod("")
        for _ in range(2):
            self.assertNotIn("armed", Proc().states().values())
            with Rings():
                self.assertNotIn("idle", Proc().states().values())
                self.assertNotIn("failed", Proc().states().values())
        rmmod()
        insmod("always=1")
        self.assertNotIn("idle", Proc().states().values())
        rmmod()
