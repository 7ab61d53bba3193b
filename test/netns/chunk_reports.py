# SPDX-License-Identifier: Apache-2.0
"""The reports of a pcapng file of Fieldline (docs/format/chunk.md), read by code that is not Fieldline's."""
import collections
import json
import struct

Report = collections.namedtuple("Report", "type encoding sequence run payload")
Period = collections.namedtuple("Period", "begin_ns length_ns ports")  # ports: {number: (packets, bytes)}

BLOCK, PEN, MAGIC = 0x80000BAD, 32473, 0x464C4431
PORT_TOTALS, ACTIVATION, FINAL_COUNTS, CLOCK_QUALITY, CONFIGURATION = 4, 5, 6, 7, 8


def read_reports(file):
    data, at, reports = open(file, "rb").read(), 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == BLOCK:
            pen, magic, type_, encoding, _, sequence = struct.unpack_from("<IIBBHQ", data, at + 8)
            assert (pen, magic) == (PEN, MAGIC), hex(at)
            run, size = data[at + 28:at + 44].hex(), struct.unpack_from("<I", data, at + 44)[0]
            reports.append(Report(type_, encoding, sequence, run, data[at + 52:at + 52 + size]))
        at += length
    assert at == len(data), f"{file}: {len(data) - at} bytes behind the last block"
    return reports


def documents(reports, type_):
    return [json.loads(report.payload) for report in reports if report.type == type_]


def port_totals(reports):
    """{session: [Period]} in the order in which they were sent (docs/format/frame.md)."""
    sessions = collections.defaultdict(list)
    for report in reports:
        if report.type != PORT_TOTALS:
            continue
        body = report.payload
        version, ports, periods = struct.unpack_from(">HHI", body)
        assert (report.encoding, report.run, version) == (0, "00" * 16, 1)
        numbers, at = struct.unpack_from(f">{ports}H", body, 24), 24 + (2 * ports + 7) // 8 * 8
        for _ in range(periods):
            begin, length = struct.unpack_from(">QQ", body, at)
            counts = struct.unpack_from(f">{2 * ports}Q", body, at + 16)
            sessions[body[8:24].hex()].append(
                Period(begin, length, dict(zip(numbers, zip(counts[::2], counts[1::2])))))
            at += 16 + 16 * ports
        assert at == len(body)
    return sessions
