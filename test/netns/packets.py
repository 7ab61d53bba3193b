# SPDX-License-Identifier: Apache-2.0
"""Reads captures without Fieldline's code: Ethernet frames, classic pcap, pcapng."""
import ipaddress
import json
import pathlib
import struct

TRIGGER_MAGIC = b"\xf1LDLINE\n"


class Packet:
    """What one captured Ethernet frame says, as far as the tests compare it."""

    def __init__(self, data, wire_len, timestamp_ns):
        self.data, self.wire_len, self.timestamp_ns, self.id, self.segments = data, wire_len, timestamp_ns, None, 1
        self.protocol = self.source = self.target = self.sport = self.dport = self.sequence = self.ip_id = None
        self.payload, at = 0, 14
        kind = struct.unpack("!H", data[12:14])[0]
        if kind == 0x0800:
            head = (data[14] & 15) * 4
            total, self.ip_id = struct.unpack("!HH", data[16:20])
            self.protocol = data[23]
            self.source, self.target = ipaddress.ip_address(data[26:30]), ipaddress.ip_address(data[30:34])
            at, length = 14 + head, total - head
        elif kind == 0x86DD:
            length, self.protocol = struct.unpack("!H", data[18:20])[0], data[20]
            self.source, self.target = ipaddress.ip_address(data[22:38]), ipaddress.ip_address(data[38:54])
            at = 54
        else:
            length = 0
        self.transport_end, self.is_trigger = at, False
        if self.protocol == 6 and len(data) >= at + 20:
            self.sport, self.dport, self.sequence = struct.unpack("!HHI", data[at:at + 8])
            self.transport_end = at + (data[at + 12] >> 4) * 4
        elif self.protocol == 17 and len(data) >= at + 8:
            self.sport, self.dport = struct.unpack("!HH", data[at:at + 4])
            self.transport_end = at + 8
            self.is_trigger = data[at + 8:at + 16] == TRIGGER_MAGIC
        elif self.protocol in (1, 58):
            self.transport_end = at + 8
            self.is_trigger = data[at + 8:at + 16] == TRIGGER_MAGIC
        if self.protocol:
            self.payload = length - (self.transport_end - at)

    def headers(self):
        return self.data[:self.transport_end]

    def identity(self):
        return (self.protocol, self.sport, self.dport, self.ip_id, self.sequence, self.payload)


def read_pcap(file):
    """Classic pcap, micro- or nanoseconds, as tcpdump and the lab's wire write it."""
    data = pathlib.Path(file).read_bytes()
    magic = struct.unpack("<I", data[:4])[0]
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[magic]
    at, packets = 24, []
    while at + 16 <= len(data):
        seconds, part, kept, wire = struct.unpack("<IIII", data[at:at + 16])
        if at + 16 + kept > len(data):
            break
        packets.append(Packet(data[at + 16:at + 16 + kept], wire, seconds * 10**9 + part * scale))
        at += 16 + kept
    return packets


def pcapng_options(body, at):
    while at + 4 <= len(body):
        code, size = struct.unpack("<HH", body[at:at + 4])
        if code == 0:
            return
        yield code, body[at + 4:at + 4 + size]
        at += 4 + (size + 3) // 4 * 4


def read_pcapng(file):
    """[(interface comment as dict, Packet)] of a pcapng that `fieldline query` wrote; id is its epb_packetid,
    segments how many packets it was on the wire."""
    data, at, interfaces, packets = pathlib.Path(file).read_bytes(), 0, [], []
    while at + 12 <= len(data):
        kind, length = struct.unpack("<II", data[at:at + 8])
        body = data[at + 8:at + length - 4]
        if kind == 1:
            interfaces.append(next((json.loads(value) for code, value in pcapng_options(body, 8) if code == 1), {}))
        elif kind == 6:
            number, high, low, kept, wire = struct.unpack("<IIIII", body[:20])
            packet = Packet(body[20:20 + kept], wire, high << 32 | low)
            options = dict(pcapng_options(body, 20 + (kept + 3) // 4 * 4))
            packet.id = struct.unpack("<Q", options[5])[0] if 5 in options else None
            # proto/chunk.h, behind the enterprise number: a super-packet's record says how many it is on the wire.
            packet.segments = max(1, struct.unpack("<IIHHQHH", options[2989][:24])[6]) if 2989 in options else 1
            packets.append((interfaces[number], packet))
        at += length
    return packets


def read_items(file):
    """(session, number) of every item of a pcapng that `fieldline query` wrote: its packets and its reports."""
    data, at, items, interfaces = pathlib.Path(file).read_bytes(), 0, [], []
    while at + 12 <= len(data):
        kind, length = struct.unpack("<II", data[at:at + 8])
        body = data[at + 8:at + length - 4]
        if kind == 1:
            interfaces.append(next((json.loads(value) for code, value in pcapng_options(body, 8) if code == 1), {}))
        elif kind == 6:
            number, kept = struct.unpack("<I8xI", body[:16])
            options = dict(pcapng_options(body, 20 + (kept + 3) // 4 * 4))
            items.append((interfaces[number]["session"], struct.unpack("<Q", options[5])[0]))
        elif kind == 0x80000BAD:
            number, size = struct.unpack("<Q16xI", body[12:40])
            report = json.loads(body[44:44 + size])
            if "session" in report:
                items.append((report["session"], number))
        at += length
    return items
