# SPDX-License-Identifier: Apache-2.0
"""recorded + lost + missed = events, exactly: whoever reads, or nobody."""
import os
import signal
import unittest

import rings
from guest_net import UdpPair
from rings import Proc, Ring, Rings, loaded

# One datagram over loopback from send to receive: socket, UDP, IP, device, and the same way up.
EVENTS_OF_A_DATAGRAM = 8
ROUNDS = 400


def datagrams(count):
    pair = UdpPair("lo", 4)
    for _ in range(count):
        pair.client.sendto(bytes(200), pair.to)
        pair.server.recv(300)
    pair.close()
    return count * EVENTS_OF_A_DATAGRAM


class Exact(unittest.TestCase):
    def check(self, expected, before):
        """`before` is the state at the start; the guest is silent but for us."""
        now = Proc()
        self.assertEqual(now.events - before.events, expected,
                         f"recorded {now.recorded} lost {now.lost} missed {now.missed}\n{now.text}")
        return now

    def test_with_a_reader(self):
        for ring_kb in (4, 256):
            with self.subTest(ring_kb=ring_kb), loaded(f"ring_kb={ring_kb}"), Rings() as taken:
                before, read = Proc(), 0
                for _ in range(ROUNDS // 20):
                    expected = datagrams(20)
                    read += len(taken.drain())
                now = self.check(expected * (ROUNDS // 20), before)
                self.assertEqual(read, now.recorded - before.recorded)
                self.assertEqual(taken.lost, now.lost, "each loss stands in a MAGNET_LOST that was read")

    def test_without_a_reader(self):
        with loaded("ring_kb=4 always=1"):
            before = Proc()
            now = self.check(datagrams(ROUNDS), before)
            self.assertGreater(now.lost, 0)
            for cpu in now.cpus.values():
                self.assertLessEqual(cpu["recorded"], 4096 // 24 - 1)
            # Then one comes: what was kept, and from the next event on how much was lost.
            with Rings_keeping_what_was_there() as taken:
                kept = taken.drain()
                self.assertEqual(len(kept), now.recorded)
                self.assertEqual(taken.lost, 0, "the mark needs a slot that is free")
                more = datagrams(20)
                read = taken.drain()
                last = self.check(ROUNDS * EVENTS_OF_A_DATAGRAM + more, before)
                self.assertEqual(len(kept) + len(read), last.recorded)
                self.assertLessEqual(taken.lost, last.lost, "a CPU without a new event has no mark yet")
                quiet = {r.cpu for r in kept} - {r.cpu for r in read}
                pending = sum(last.cpus[cpu]["lost"] for cpu in quiet)
                self.assertEqual(taken.lost + pending, last.lost)

    def test_a_reader_that_is_killed(self):
        """Another one goes on where it was killed: nothing is lost beside what is counted, nothing stands twice but
        the record that it was about to give back.
        """
        with loaded("ring_kb=4 always=1 ext=1"):
            before, expected = Proc(), 0
            for turn in range(6):
                ready, child = os.pipe(), os.fork()
                if child == 0:
                    try:
                        mine = [Ring(cpu) for cpu in range(os.cpu_count())]
                        os.write(ready[1], b"r")
                        while True:
                            for ring in mine:
                                ring.drain(3)
                    finally:
                        os._exit(1)
                os.read(ready[0], 1)
                expected += datagrams(30)
                os.kill(child, signal.SIGKILL)
                expected += datagrams(30)
                os.waitpid(child, 0)
                for end in ready:
                    os.close(end)
                self.check(expected, before)
            with Rings_keeping_what_was_there() as taken:
                stamps = {}
                for record in taken.drain():
                    self.assertGreater(record.timestamp, stamps.get(record.cpu, 0))
                    stamps[record.cpu] = record.timestamp

    def test_garbage_in_the_mapping(self):
        """What user space writes costs user space its own records, and nothing else."""
        with loaded("ring_kb=4 always=1"), Rings() as taken:
            before = Proc()
            expected = datagrams(20)
            for fill in (b"\xff", b"\x00", b"\x5a"):
                for ring in taken.rings:
                    ring.map[:] = fill * len(ring.map)
                expected += datagrams(20)
            for ring in taken.rings:
                ring.map[:] = os.urandom(len(ring.map))
            expected += datagrams(20)
            now = self.check(expected, before)
            self.assertGreater(now.lost, 0)
            for ring in taken.rings:
                self.assertLess(ring.info()["next_slot"], ring.slots)

    def test_events_of_other_modules(self):
        def add(sockid, event, size):
            with open("/proc/magnet_sample", "wb", buffering=0) as file:
                file.write(f"{sockid} {event:#x} {size}".encode())

        with loaded("ext=1 ring_kb=4"), loaded(name="sample"):
            with self.assertRaises(OSError) as refused:
                add(1, 0x8000, 1)
            self.assertEqual(refused.exception.errno, 19, "ENODEV: nobody has a device open")
            with Rings() as taken:
                before = Proc()
                for event in (0x8000, 0xFFFF):
                    add(4711, event, -5)
                for event in (0, 1, 2, 0x104, 0x7FFF, 0x10000, 0xFFFFFFFF):
                    with self.assertRaises(OSError) as refused:
                        add(4711, event, 1)
                    self.assertEqual(refused.exception.errno, 22, hex(event))
                self.check(2, before)
                records = taken.drain()
                self.assertEqual([(r.sockid, r.size) for r in records], [(4711, -5)] * 2)
                self.assertEqual({r.event for r in records}, {0x8000, 0xFFFF})
                self.assertTrue(all(r.raw[24:] == bytes(range(1, 41)) for r in records))
                os.sched_setaffinity(0, {0})
                full = 0
                for _ in range(100):
                    try:
                        add(1, 0x8001, 0)
                    except OSError as error:
                        self.assertEqual(error.errno, 28)
                        full += 1
                os.sched_setaffinity(0, range(os.cpu_count()))
                self.assertEqual(full, 100 - (4096 // 64 - 1))
                self.assertEqual(Proc().lost, full)
            with self.assertRaises(OSError) as busy:
                rings.rmmod()
            self.assertEqual(busy.exception.errno, 11, "the sample uses it")


class Rings_keeping_what_was_there(Rings):
    def __enter__(self):
        self.rings = [Ring(cpu) for cpu in range(os.cpu_count())]
        return self
