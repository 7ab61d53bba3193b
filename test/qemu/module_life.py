# SPDX-License-Identifier: Apache-2.0
"""Load and unload under traffic, with devices open, readers that come and are killed, threads that sleep in calls, and
memory that runs out.
"""
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
SYS_INIT_MODULE = 175
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


def mount_debugfs():
    if not os.path.ismount("/sys/kernel/debug"):
        run("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")


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


class Faults(unittest.TestCase):
    """On a kernel with fault injection: the n-th allocation of a load, or of an open, fails."""

    def test_memory_runs_out_at_load_and_open(self):
        mount_debugfs()
        if not os.path.exists("/proc/thread-self/fail-nth"):
            self.skipTest("this kernel has no fault injection")
        # By default an allocation that may sleep never fails, and of pages none but the large.
        for knob, value in (("failslab/ignore-gfp-wait", "N"), ("failslab/verbose", "0"),
                            ("fail_page_alloc/ignore-gfp-wait", "N"), ("fail_page_alloc/verbose", "0"),
                            ("fail_page_alloc/min-order", "0")):
            with open(f"/sys/kernel/debug/{knob}", "w") as file:
                file.write(value)
        # The kernel says at length, as a warning, what it could not allocate: that is no complaint.
        run("dmesg", "-n", "4")
        self.addCleanup(run, "dmesg", "-n", "5")
        with open(f"{rings.MODULES}/magnet.ko", "rb") as file:
            image = file.read()

        def load():
            return rings.libc.syscall(SYS_INIT_MODULE, image, len(image), b"ring_kb=8")

        def unload(_):
            rmmod()

        errors = self.each_fault(load, unload)
        self.assertLessEqual(set(errors), {errno.ENOMEM, errno.EINVAL, errno.ENOENT, errno.ENOEXEC})
        self.assertGreater(errors.count(errno.ENOMEM), 50)
        insmod("ring_kb=8")
        # An open succeeds with what could be hooked; what could not is tried again at the next.
        errors = self.each_fault(lambda: rings.libc.open(b"/dev/magnet0", os.O_RDWR), os.close)
        self.assertLessEqual(set(errors), {errno.ENOMEM, errno.ENFILE, errno.EMFILE})
        with Rings():
            self.assertNotIn("failed", Proc().states().values())
        rmmod()
        self.assertNotRegex(run("dmesg"), r"BUG:|WARNING:|KASAN:|UBSAN:|Oops")

    def each_fault(self, call, undo):
        """The errors of `call` with a fault at each of its last 300 allocations, and at some of those before (a load's
        are the kernel's own until init runs).
        """
        many, errors = 1_000_000, []
        _, left = self.with_fault(many, call, undo)
        total = many - left
        for number in [*range(1, total - 300, 41), *range(max(1, total - 300), total + 1)]:
            error, _ = self.with_fault(number, call, undo)
            if error:
                errors.append(error)
        print(f"  {total} allocations, {len(errors)} of the faults told", flush=True)
        return errors

    def with_fault(self, number, call, undo):
        """The call's errno or 0, and how many allocations were left to go."""
        nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        os.write(nth, str(number).encode())
        result = call()
        error = rings.ctypes.get_errno() if result < 0 else 0
        left = int(os.pread(nth, 20, 0))
        os.write(nth, b"0")
        os.close(nth)
        if result >= 0:
            undo(result)
        return error, left

    def test_nothing_leaked(self):
        """Last of all: what the kernel's leak detector found in everything before."""
        leaks = "/sys/kernel/debug/kmemleak"
        mount_debugfs()
        if not os.path.exists(leaks):
            self.skipTest("this kernel has no leak detector")
        for _ in range(2):  # what is younger than 5 s at the first scan is seen at the second
            with open(leaks, "w") as file:
                file.write("scan")
        with open(leaks) as file:
            text = file.read()
        self.assertNotIn("magnet", text)
