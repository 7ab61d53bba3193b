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
        self.tags, self.tunnels = 0, 0
        self.read(0)

    def read(self, start):
        """From an Ethernet header on; a VXLAN's payload, if it is there, is read in place of what carries it."""
        data, self.payload, self.later = self.data, 0, False
        self.protocol = self.source = self.target = self.sport = self.dport = self.sequence = self.ip_id = None
        at, kind = start + 14, struct.unpack("!H", self.data[start + 12:start + 14])[0]
        while kind in (0x8100, 0x88A8):
            kind = struct.unpack("!H", data[at + 2:at + 4])[0]
            at, self.tags = at + 4, self.tags + 1
        if kind == 0x0800:
            head = (data[at] & 15) * 4
            total, self.ip_id, fragment = struct.unpack("!HHH", data[at + 2:at + 8])
            self.protocol, self.later = data[at + 9], fragment & 0x1FFF != 0
            self.source, self.target = (ipaddress.ip_address(data[at + o:at + o + 4]) for o in (12, 16))
            at, length = at + head, total - head
        elif kind == 0x86DD:
            length, self.protocol = struct.unpack("!H", data[at + 4:at + 6])[0], data[at + 6]
            self.source, self.target = (ipaddress.ip_address(data[at + o:at + o + 16]) for o in (8, 24))
            at += 40
        else:
            length = 0
        self.transport_end, self.is_trigger = at, False
        if self.later:
            pass
        elif self.protocol == 6 and len(data) >= at + 20:
            self.sport, self.dport, self.sequence = struct.unpack("!HHI", data[at:at + 8])
            self.transport_end = at + (data[at + 12] >> 4) * 4
        elif self.protocol == 17 and len(data) >= at + 8:
            self.sport, self.dport = struct.unpack("!HH", data[at:at + 4])
            self.transport_end = at + 8
            self.is_trigger = data[at + 8:at + 16] == TRIGGER_MAGIC
            if self.dport == 4789 and len(data) >= at + 16 + 14:
                self.tunnels += 1
                return self.read(at + 16)
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
            encoding, number, size = struct.unpack("<B2xQ16xI", body[9:40])
            payload = body[44:44 + size]
            # Port totals are binary: the session stands behind version and counts.
            session = json.loads(payload).get("session") if encoding else payload[8:24].hex()
            if session:
                items.append((session, number))
        at += length
    return items
