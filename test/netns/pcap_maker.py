# SPDX-License-Identifier: Apache-2.0
"""Captures of TCP connections that a kernel cannot be made to show: written packet by packet."""
import ipaddress
import struct

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SECOND = 10**9


class PcapMaker:
    """Classic pcap in microseconds, Ethernet; time goes on with each packet."""

    def __init__(self, file):
        self.file, self.now, self.ids = open(file, "wb"), 1_700_000_000 * SECOND, {}
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))

    def close(self):
        self.file.close()

    def wait(self, milliseconds):
        self.now += int(milliseconds * 10**6)

    def write(self, frame, after_ms=0.1):
        self.wait(after_ms)
        self.file.write(struct.pack("<IIII", self.now // SECOND, self.now % SECOND // 1000, len(frame), len(frame)))
        self.file.write(frame)
        return frame

    def frame(self, source, target, sport, dport, sequence, acknowledged, flags, payload, window, options=b""):
        """IPv4, with an IP id of its own; no checksums (0: nobody here looks)."""
        self.ids[source] = self.ids.get(source, 0) + 1
        options += b"\1" * (-len(options) % 4)
        head = struct.pack("!HHIIBBHHH", sport, dport, sequence % 2**32, acknowledged % 2**32,
                           (20 + len(options)) // 4 << 4, flags, window, 0, 0) + options
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head) + payload, self.ids[source] & 0xFFFF, 0x4000, 64, 6,
                         0, ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed)
        return bytes(12) + b"\x08\x00" + ip + head + bytes(payload)


class Connection:
    """Two ends; sent() and others write what end 0 or 1 puts on the wire, with what it has acknowledged so far."""

    MSS = struct.pack("!BBH", 2, 4, 1460)

    def __init__(self, maker, port, sequences=(1000, 500_000), hosts=("192.0.2.1", "192.0.2.2")):
        self.maker, self.hosts, self.ports = maker, hosts, (port, 5201)
        self.next, self.acknowledged, self.window = list(sequences), [0, 0], [60_000, 60_000]

    def make(self, end, sequence, flags, payload=0, options=b""):
        other = 1 - end
        return self.maker.frame(self.hosts[end], self.hosts[other], self.ports[end], self.ports[other], sequence,
                                self.acknowledged[end] if flags & ACK else 0, flags, payload, self.window[end], options)

    def put(self, end, flags=ACK, payload=0, after_ms=0.1, options=b""):
        """The next of the stream."""
        sequence = self.next[end]
        self.next[end] += payload + bool(flags & SYN) + bool(flags & FIN)
        return self.maker.write(self.make(end, sequence, flags, payload, options), after_ms)

    def again(self, end, back, payload, after_ms=0.1, flags=ACK):
        """What begins `back` bytes before the next."""
        return self.maker.write(self.make(end, self.next[end] - back, flags, payload), after_ms)

    def acknowledge(self, end, after_ms=10.0, less=0):
        self.acknowledged[end] = self.next[1 - end] - less
        return self.put(end, after_ms=after_ms)

    def open(self):
        self.put(0, SYN, options=self.MSS)
        self.acknowledged[1] = self.next[0]
        self.put(1, SYN | ACK, after_ms=20, options=self.MSS)
        self.acknowledge(0, 0.1)

    def end(self):
        self.put(0, FIN | ACK)
        self.acknowledged[1] = self.next[0]
        self.put(1, FIN | ACK, after_ms=20)
        self.acknowledge(0, 0.1)
