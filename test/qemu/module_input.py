# SPDX-License-Identifier: Apache-2.0
"""Bad input: parameters, and what user space does to the devices; who may see what."""
import ctypes
import errno
import fcntl
import mmap
import os
import select
import threading
import unittest

import rings
from guest_net import UdpPair, netns, run
from rings import IOC_INFO, Proc, Ring, Rings, loaded

PAGE = 4096


def kernel_log():
    """Our lines."""
    return [line for line in run("dmesg", "-t").splitlines() if line.startswith("magnet: ")]


class Parameters(unittest.TestCase):
    def refused(self, parameters, name, hint):
        before = len(kernel_log())
        with self.assertRaises(OSError, msg=parameters) as error:
            rings.insmod(parameters)
        self.assertEqual(error.exception.errno, errno.EINVAL, parameters)
        new = kernel_log()[before:]
        self.assertEqual(len(new), 1, f"one line for {parameters}: {new}")
        self.assertTrue(new[0].startswith(f"magnet: {name}="), new)  # the kernel's own says "magnet: `VALUE' invalid"
        self.assertIn(hint, new[0])

    def test_wrong_ones_are_refused_with_the_range(self):
        for value in ("0", "3", "5", "65540", "-4", "99999999999", "4k", "x", "", "4.0", "0x10"):
            self.refused(f"ring_kb={value}", "ring_kb", "4 to 65536, a multiple of 4")
        for name in ("ext", "always"):
            for value in ("2", "-1", "yes", "", "00"):
                self.refused(f"{name}={value}", name, "0 or 1")
        for value in ("", "socks", "tcp,ip4", ",", "tcp,,udp", "tcp,", "TCP"):
            self.refused(f"layers={value}", "layers", "sock,tcp,udp,ip,dev")
        for value in ("a/b", "sixteencharacter", "lo,..", "lo,,lo", "lo,", ",".join(f"d{i}" for i in range(17))):
            self.refused(f"dev={value}", "dev", "at most 16 interface names of 1 to 15 characters")

        for value in ("tcp_sendmsg", "tcp_probe,"):
            self.refused(f"without={value}", "without", "symbols as in /proc/net/magnet")
        for name, hint in (("ring_kb", "4 to 65536"), ("ext", "0 or 1"), ("layers", "sock,tcp,udp,ip,dev"),
                           ("dev", "at most 16"), ("always", "0 or 1"), ("without", "symbols as in")):
            self.refused(name, name, hint)

    def test_right_ones_stand_in_proc(self):
        for kb, ext in ((4, 0), (12, 1), (2048, 1)):
            with loaded(f"ring_kb={kb} ext={ext} dev=lo layers=dev,sock"):
                values = Proc().values
                size = (24, 64)[ext]
                self.assertEqual((values["ring_kb"], values["ext"], values["record_size"], values["slots"]),
                                 (str(kb), str(ext), str(size), str(kb * 1024 // size)))
                self.assertEqual((values["layers"], values["dev"], values["armed"]), ("sock,dev", "lo", "0"))

    def test_modinfo_describes_each(self):
        text = run("modinfo", f"{rings.MODULES}/magnet.ko")
        for name in ("ring_kb", "ext", "layers", "dev", "always", "without"):
            self.assertRegex(text, rf"parm: +{name}:.*default")


class Device(unittest.TestCase):
    def setUp(self):
        rings.insmod("ring_kb=64")
        self.addCleanup(rings.rmmod)

    def open(self, flags=os.O_RDWR):
        fd = os.open("/dev/magnet0", flags)
        self.addCleanup(os.close, fd)
        return fd

    def fails(self, number, call, *args):
        with self.assertRaises(OSError) as error:
            call(*args)
        self.assertEqual(error.exception.errno, number, args)

    def test_a_second_open_is_busy(self):
        ring = Ring(0)
        self.fails(errno.EBUSY, os.open, "/dev/magnet0", os.O_RDWR)
        self.fails(errno.EBUSY, os.open, "/dev/magnet0", os.O_RDONLY)
        Ring(1).close()
        # The mapping alone keeps it.
        os.close(ring.fd)
        self.fails(errno.EBUSY, os.open, "/dev/magnet0", os.O_RDWR)
        self.assertEqual(Proc().cpus[0]["open"], 1)
        ring.map.close()
        Ring(0).close()
        self.assertEqual(Proc().cpus[0]["open"], 0)

    def test_a_minor_without_a_cpu(self):
        device = os.stat("/dev/magnet0").st_rdev
        node = f"{os.environ.get('TMPDIR', '/tmp')}/nosuch"
        os.mknod(node, 0o600 | 0o020000, os.makedev(os.major(device), os.cpu_count()))
        self.fails(errno.ENXIO, os.open, node, os.O_RDWR)
        os.unlink(node)

    def test_mappings(self):
        fd = self.open()
        shared, both = mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        for length, flags, prot, offset in (
            (64 * 1024 + 1, shared, both, 0), (128 * 1024, shared, both, 0), (1 << 40, shared, both, 0),
            (PAGE, shared, both, PAGE), (64 * 1024, shared, both, PAGE), (PAGE, shared, both, 1 << 40),
            (PAGE, mmap.MAP_PRIVATE, both, 0), (64 * 1024, mmap.MAP_PRIVATE, mmap.PROT_READ, 0),
            (PAGE, shared, both | mmap.PROT_EXEC, 0),
        ):
            self.fails(errno.EINVAL, lambda: mmap.mmap(fd, length, flags, prot, offset=offset))
        for length in (1, PAGE, 64 * 1024):
            mmap.mmap(fd, length).close()
        whole = mmap.mmap(fd, 64 * 1024)
        size, address = ctypes.c_size_t, ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(whole)))
        rings.libc.mremap.restype = ctypes.c_void_p
        grown = rings.libc.mremap(address, size(64 * 1024), size(128 * 1024), 1)
        self.assertEqual((grown, ctypes.get_errno()), (ctypes.c_void_p(-1).value, errno.EFAULT))

    def test_a_mapping_needs_the_right_to_write(self):
        fd = self.open(os.O_RDONLY)
        self.fails(errno.EINVAL, lambda: mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ))

    def test_calls_that_it_does_not_have(self):
        fd = self.open()
        for command in (0, IOC_INFO + 1, IOC_INFO & ~0xFF, 0x80544D01, 0x5401):
            self.fails(errno.ENOTTY, fcntl.ioctl, fd, command, bytearray(80))
        for address in (0, 1, 0xFFFF_8000_0000_0000):
            self.assertEqual(rings.libc.ioctl(fd, ctypes.c_ulong(IOC_INFO), ctypes.c_void_p(address)), -1)
            self.assertEqual(ctypes.get_errno(), errno.EFAULT)
        self.fails(errno.EINVAL, os.read, fd, 10)
        self.fails(errno.EINVAL, os.write, fd, b"x")
        self.assertEqual(os.lseek(fd, 100, os.SEEK_SET), 0)

    def test_poll_wakes(self):
        """Nothing unread: it sleeps. An event on that CPU: it wakes. Unread: it does not sleep."""
        with Rings() as taken:
            poller = select.poll()
            for ring in taken.rings:
                poller.register(ring.fd, select.POLLIN)
            self.assertEqual(poller.poll(0), [])
            pair = UdpPair("lo", 4)
            for _ in range(50):
                found = []
                waiting = threading.Thread(target=lambda: found.extend(poller.poll(20_000)))
                waiting.start()
                pair.client.sendto(b"x", pair.to)
                waiting.join()
                self.assertTrue(found)
                self.assertTrue(poller.poll(0))
                pair.server.recv(1)
                while taken.drain():
                    pass
            pair.close()
            taken.drain()
            self.assertEqual(poller.poll(0), [])

    def test_state_is_for_all_and_traffic_for_none(self):
        """Any user, in any namespace, sees the same state; nobody else opens a device."""
        for name in ("left", "right"):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    with netns(name):
                        os.setgroups([])
                        os.setgid(65534)
                        os.setuid(65534)
                        text = Proc("/proc/self/net/magnet").text
                        denied = ""
                        try:
                            os.open("/dev/magnet0", os.O_RDWR)
                        except PermissionError:
                            denied = "denied"
                        os.write(writer, (denied + text).encode())
                finally:
                    os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as answer:
                text = answer.read()
            os.waitpid(child, 0)
            self.assertTrue(text.startswith("deniedversion "), text)
            self.assertEqual(text[6:].replace("\n", " ").split(), Proc().text.split())
