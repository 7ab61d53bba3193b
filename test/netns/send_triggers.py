#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends each line of FILE, in hexadecimal, as one trigger: UDP to port 8620, or an ICMP or ICMPv6 echo request. No answer is
waited for."""
import argparse
import pathlib
import socket
import struct

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("address")
parser.add_argument("file", type=pathlib.Path)
parser.add_argument("--icmp", action="store_true")
parser.add_argument("--source")
options = parser.parse_args()


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(payload, sequence, version):
    """The kernel sums ICMPv6 itself."""
    kind, identifier = (8, 128)[version == 6], 0x464C
    if version == 6:
        return struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload
    whole = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload
    return whole[:2] + struct.pack("!H", checksum(whole)) + whole[4:]


version = 6 if ":" in options.address else 4
family = (socket.AF_INET, socket.AF_INET6)[version == 6]
if options.icmp:
    sender = socket.socket(family, socket.SOCK_RAW, (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)[version == 6])
else:
    sender = socket.socket(family, socket.SOCK_DGRAM)
if options.source:
    sender.bind((options.source, 0))
for number, line in enumerate(options.file.read_text().split(), 1):
    payload = bytes.fromhex(line)
    if options.icmp:
        sender.sendto(echo_request(payload, number, version), (options.address, 0))
    else:
        sender.sendto(payload, (options.address, 8620))
