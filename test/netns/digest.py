# SPDX-License-Identifier: Apache-2.0
"""The digest of a captured frame and the sample that it is of, by docs/format/lift.md and trigger.md alone."""
import struct

MASK = 2**64 - 1


def rotate(value, bits):
    return (value << bits | value >> 64 - bits) & MASK


def siphash13(data, key0, key1):
    v0, v1 = key0 ^ 0x736F6D6570736575, key1 ^ 0x646F72616E646F6D
    v2, v3 = key0 ^ 0x6C7967656E657261, key1 ^ 0x7465646279746573
    words = list(struct.unpack(f"<{len(data) // 8}Q", data)) + [(len(data) & 0xFF) << 56]

    def mix(v0, v1, v2, v3):
        v0 = (v0 + v1) & MASK
        v1 = rotate(v1, 13) ^ v0
        v0 = rotate(v0, 32)
        v2 = (v2 + v3) & MASK
        v3 = rotate(v3, 16) ^ v2
        v0 = (v0 + v3) & MASK
        v3 = rotate(v3, 21) ^ v0
        v2 = (v2 + v1) & MASK
        v1 = rotate(v1, 17) ^ v2
        return v0, v1, rotate(v2, 32), v3

    for word in words:
        v0, v1, v2, v3 = mix(v0, v1, v2, v3 ^ word)
        v0 ^= word
    v2 ^= 0xFF
    for _ in range(3):
        v0, v1, v2, v3 = mix(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def digest(packet):
    """Of a packet over IPv4 that is no fragment; the capture must have its first 32 payload bytes."""
    data = packet.data
    head = (data[14] & 15) * 4
    total, ip_id, fragment = struct.unpack("!HHH", data[16:22])
    transport = bytearray(data[14 + head:packet.transport_end])
    checksum = {6: 16, 17: 6}[packet.protocol]
    transport[checksum:checksum + 2] = b"\0\0"
    payload = data[packet.transport_end:14 + total][:32]
    mapped = b"\0" * 10 + b"\xff\xff"
    wire = mapped + data[26:30] + mapped + data[30:34] + struct.pack("!IIH", total, ip_id, fragment & 0x7FFF)
    wire += bytes([packet.protocol, len(transport), len(payload), 0, 0, 0])
    wire += bytes(transport).ljust(64, b"\0") + payload.ljust(32, b"\0")
    return siphash13(wire, 0x66696C646C696E65, 0x6469676573740001)


def is_sampled(packet, n):
    return digest(packet) * n < 2**64
