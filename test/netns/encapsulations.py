# SPDX-License-Identifier: Apache-2.0
"""Frames in every encapsulation that a sensor opens, for kernels that lack the devices.

As a script: `encapsulations.py DEVICE FILE` puts the frames of FILE (hexadecimal, a line each) on a device.
"""
import pathlib
import socket
import struct
import sys

ETHERNET = bytes.fromhex("020000000002020000000001")


def ethernet(kind, body):
    return ETHERNET + struct.pack("!H", kind) + body


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(source, target, protocol, body, number=0, ttl=60):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), number, 0x4000, ttl, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(target))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def ipv6(source, target, protocol, body):
    return struct.pack("!IHBB16s16s", 6 << 28, len(body), protocol, 64, socket.inet_pton(socket.AF_INET6, source),
                       socket.inet_pton(socket.AF_INET6, target)) + body


def udp(sport, dport, body):
    return struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body


def outer(protocol, body):
    return ethernet(0x0800, ipv4("172.16.0.1", "172.16.0.2", protocol, body))


def labels(body):
    return struct.pack("!II", 100 << 12 | 64, 101 << 12 | 0x100 | 64) + body


def gre(kind, body, flags=0):
    words = b"".join(struct.pack("!I", 7) for flag in (0x8000, 0x2000, 0x1000) if flags & flag)
    return struct.pack("!HH", flags, kind) + words + body


# Name -> what puts an IPv4 packet into it, as a whole frame.
ENCAPSULATIONS = {
    "vlan": lambda p: ethernet(0x8100, struct.pack("!HH", 5, 0x0800) + p),
    "qinq": lambda p: ethernet(0x88A8, struct.pack("!HHHH", 7, 0x8100, 5, 0x0800) + p),
    "mpls": lambda p: ethernet(0x8847, labels(p)),
    "ipip": lambda p: outer(4, p),
    "ip4in6": lambda p: ethernet(0x86DD, ipv6("fd00::1", "fd00::2", 4, p)),
    "gre": lambda p: outer(47, gre(0x0800, p, 0xB000)),
    "gre-mpls": lambda p: outer(47, gre(0x8847, labels(p))),
    "nvgre": lambda p: outer(47, gre(0x6558, ethernet(0x0800, p), 0x2000)),
    "erspan2": lambda p: outer(47, gre(0x88BE, struct.pack("!II", 1 << 28 | 1, 3) + ethernet(0x0800, p), 0x1000)),
    "erspan3": lambda p: outer(47, gre(0x22EB, struct.pack("!III", 2 << 28 | 1, 3, 0) + ethernet(0x0800, p), 0x1000)),
    "vxlan": lambda p: outer(17, udp(50000, 4789, struct.pack("!II", 8 << 24, 7 << 8) + ethernet(0x0800, p))),
    "geneve": lambda p: outer(17, udp(50000, 6081, struct.pack("!BBHII", 1, 0, 0x6558, 7 << 8, 0) + ethernet(0x0800, p))),
    "vxlan-in-erspan": lambda p: outer(47, gre(0x88BE, struct.pack("!II", 1 << 28 | 1, 3)
                                               + ENCAPSULATIONS["vxlan"](p), 0x1000)),
}


def datagram(source, target, port, number, ttl):
    """The packet inside; its headers are the first 28 bytes."""
    return ipv4(source, target, 17, udp(40000, port, number.to_bytes(8, "big") * 8), number, ttl)


def main(device, file):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((device, 0))
        for line in pathlib.Path(file).read_text().split():
            raw.send(bytes.fromhex(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
