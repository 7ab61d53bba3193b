#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Traces written by the format's page alone, without our writer, through the installed tools; their exports through
readers that are not ours: babeltrace2 for CTF, Python's json for Chrome's trace format and for --json."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

BIN = os.path.join(os.environ["FIELDLINE_BUILD"], "bin")
UTC = 1_763_766_697_000_000_000
KHZ = 2_000_000  # two cycles a nanosecond
LEAP = 37_000_000_000

SYSINFO, LOST, OPEN, CLOSE, SEND = 1, 2, 0x101, 0x102, 0x103
TCP_SEND, IP_SEND, DEV_RECV, OTHERS = 0x201, 0x401, 0x502, 0x8001


def header(record_size, host=b"host-a", boot=bytes(range(16))):
    head = struct.pack("<8sIHHHHIIIQQQ16s64s52x", b"\x8aMAGNET\n", 0x1A2B3C4D, 1, 4096, record_size, 1, KHZ, 31, 2,
                       UTC, UTC, 0, boot, host)
    return (head + struct.pack("<I", zlib.crc32(head))).ljust(4096, b"\0")


def record(sockid, cycles, event, size, ext=None):
    return struct.pack("<QQIi", sockid, cycles, event, size) + (b"" if ext is None else ext.ljust(40, b"\0"))


def batch(sequence, cpu, round_, cycles, records):
    ns = cycles // 2
    head = struct.pack("<QHHIQQQIIQ", sequence, cpu, len(records[0]), len(records), cycles, UTC + LEAP + ns, UTC + ns,
                       100, round_, 0)
    return struct.pack("<II", 0x54424D46, zlib.crc32(b"".join([head, *records]))) + head + b"".join(records)


def v4(text):
    return bytes(10) + b"\xff\xff" + bytes(int(part) for part in text.split("."))


def extended():
    opened = v4("10.0.0.1") + v4("10.0.3.2") + struct.pack("<HHBBB", 43122, 5201, 2, 6, 0)
    sock = struct.pack("<IIIIIIIHHBB", 77, 1000, 5001, 5000, 0, 87380, 131072, 43122, 5201, 2, 6)
    tcp = struct.pack("<HHIIIIIIIIBBH", 43122, 5201, 0xFFFFFFF0, 9, 10, 0x7FFFFFFF, 20100, 65536, 1448, 3552, 24, 0, 0)
    packet = struct.pack("<HHIIIIHHHHBBB", 43122, 5201, 0xFFFFFFF0, 9, 1448, 2, 0x4242, 0x4000, 0, 0, 2, 6, 24)
    return (header(64)
            + batch(1, 0, 1, 2000, [record(0, 2000, SYSINFO, KHZ, struct.pack("<QQQ", 2000, UTC, UTC))])
            + batch(2, 1, 1, 2100, [record(0, 2100, SYSINFO, KHZ, b"")])
            + batch(3, 0, 2, 60_000, [record(4711, 10_000, OPEN, 0, opened), record(4711, 20_000, SEND, 5000, sock),
                                      record(4711, 20_400, TCP_SEND, 1448, tcp),
                                      record(4711, 20_500, IP_SEND, 1500, packet)])
            + batch(4, 1, 2, 60_100, [record(0, 30_000, DEV_RECV, 66, packet), record(8, 31_000, OTHERS, 1, b"\xab\xcd"),
                                      record(4711, 50_000, CLOSE, 0, sock)])
            + batch(5, 1, 3, 90_000, [record(0, 80_000, LOST, 12, struct.pack("<Q", 70_000))])
            + bytes(65536))


def call(name, *args, code=0):
    done = subprocess.run([os.path.join(BIN, name), *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (name, args, done.returncode, done.stderr)
    return done


NAMES = ["SYSINFO", "SYSINFO", "SOCK_OPEN", "SOCK_SEND", "TCP_SEND", "IP_SEND", "DEV_RECV", "0x8001", "SOCK_CLOSE",
         "LOST"]
CYCLES = [2000, 2100, 10_000, 20_000, 20_400, 20_500, 30_000, 31_000, 50_000, 80_000]


def check_json(path):
    lines = [json.loads(line) for line in call("magnet-parse", "--json", path).stdout.splitlines()]
    assert lines[0]["schema"] == "fieldline.magnet-parse/1" and lines[0]["traces"][0]["host"] == "host-a"
    events = lines[1:]
    assert [event["event"] for event in events] == NAMES
    assert [event["cycles"] for event in events] == CYCLES
    assert [event["utc_ns"] for event in events] == [UTC + cycles // 2 for cycles in CYCLES]
    by_name = {event["event"]: event for event in events}
    assert by_name["SOCK_OPEN"]["ext"]["peer"] == "10.0.3.2" and by_name["SOCK_OPEN"]["ext"]["peer_port"] == 5201
    assert by_name["TCP_SEND"]["ext"]["seq"] == 0xFFFFFFF0 and by_name["TCP_SEND"]["ext"]["srtt_us"] == 20100
    assert by_name["SOCK_SEND"]["ext"]["pid"] == 77 and by_name["DEV_RECV"]["ext"]["ip_id"] == 0x4242
    assert by_name["0x8001"]["ext"]["bytes"] == "abcd"
    assert by_name["LOST"]["size"] == 12 and by_name["LOST"]["ext"]["first"] == 70_000


def check_chrome(path, folder):
    out = os.path.join(folder, "chrome.json")
    call("magnet-parse", "--chrome", out, path)
    with open(out, encoding="ascii") as file:
        document = json.load(file)
    # A recording named twice is not written over by what is made of it.
    before = open(path, "rb").read()
    assert "is there already" in call("magnet-parse", "--chrome", path, path, code=1).stderr
    assert open(path, "rb").read() == before
    events = document["traceEvents"]
    assert document["displayTimeUnit"] == "ns" and document["otherData"]["start_ns"] == UTC + 1000
    instants = [event for event in events if event["ph"] == "i"]
    assert [event["name"] for event in instants] == NAMES
    assert [round(event["ts"] * 1000) for event in instants] == [(cycles - 2000) // 2 for cycles in CYCLES]
    assert all(isinstance(event["pid"], int) for event in events)
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    tcp = next(event for event in instants if event["name"] == "TCP_SEND")
    assert names[tcp["tid"]] == "socket 4711: 10.0.0.1:43122 - 10.0.3.2:5201", names
    slices = [event["ph"] for event in events if event["name"] == "open"]
    assert slices == ["B", "E"], slices
    assert next(event for event in events if event["ph"] == "C")["args"] == {"segments": 10}


def babeltrace(folder):
    done = subprocess.run(["babeltrace2", "--clock-gmt", "--clock-date", "--names=all", folder], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def check_ctf(path, folder):
    if not shutil.which("babeltrace2"):
        return "no babeltrace2 here (package babeltrace2)"
    out = os.path.join(folder, "ctf")
    call("magnet-parse", "--ctf", out, path)
    lines, said = babeltrace(out)
    assert len(lines) == len(NAMES), lines
    for line, name, cycles in zip(lines, NAMES, CYCLES):
        shown = "OTHER" if name.startswith("0x") else name
        assert re.search(r"\b" + shown + r"\b", line), (shown, line)
        assert f"2025-11-21 23:11:37.{cycles // 2:09}" in line, line
    assert 'peer = "10.0.3.2"' in lines[2] and "peer_port = 5201" in lines[2], lines[2]
    assert "seq = 4294967280" in lines[4] and "srtt_us = 20100" in lines[4], lines[4]
    assert "code = 32769" in lines[7], lines[7]
    assert "host-a" in lines[0] and "cpu_id = 1" in lines[1], lines[:2]
    assert "Tracer discarded 12 events" in said, said  # LOST, as CTF has it
    return None


def check_big(folder):
    """More than one CTF packet a stream, and records of 24 bytes."""
    path, out = os.path.join(folder, "plain"), os.path.join(folder, "ctf-plain")
    with open(path, "wb") as file:
        file.write(header(24))
        for i in range(40):
            first = 10_000 * (i + 1)
            file.write(batch(i + 1, 0, i + 1, first + 10_000,
                             [record(5, first + n, TCP_SEND, n) for n in range(1000)]))
    table = call("magnet-parse", path).stdout.splitlines()
    assert len([line for line in table if not line.startswith("#")]) == 40_000
    if shutil.which("babeltrace2"):
        call("magnet-parse", "--ctf", out, path)
        assert os.path.getsize(os.path.join(out, "cpu_0")) > 3 * 256 * 1024
        assert len(babeltrace(out)[0]) == 40_000


def check_tools(folder):
    """The programs themselves: help, wrong use, no module."""
    for name in ("mkmagnet", "magnet-read", "magnet-parse"):
        assert "Exit codes" in call(name, "--help").stdout
        call(name, "--nonsense", code=2)
    trace = os.path.join(folder, "made")
    said = json.loads(call("mkmagnet", "--json", trace, "64K").stdout)
    assert said == {"schema": "fieldline.mkmagnet/1", "file": trace, "bytes": 65536}
    assert "--force" in call("mkmagnet", trace, "64K", code=1).stderr
    call("mkmagnet", "--force", trace, "1M")
    call("mkmagnet", os.path.join(folder, "x"), "12 parsecs", code=2)
    assert call("magnet-parse", trace).stdout.count("\n") == 3
    nothing = call("magnet-read", "--devices", folder, trace, code=1)
    assert nothing.stderr.count("\n") == 1 and "modprobe magnet" in nothing.stderr, nothing.stderr
    assert "mkmagnet" in call("magnet-read", os.path.join(folder, "none"), code=1).stderr
    for wrong in ("x", "-1", "61000"):
        call("magnet-read", "--delay=" + wrong, trace, code=2)
    call("magnet-parse", "--event", "TCP_SNED", trace, code=2)
    with open(os.path.join(folder, "magnet0"), "wb"):
        pass
    said = call("magnet-read", "--devices", folder, trace, code=1).stderr
    assert "not a device of the module magnet" in said, said


def main():
    folder = tempfile.mkdtemp(prefix="magnet-readers-")
    try:
        path = os.path.join(folder, "extended")
        with open(path, "wb") as file:
            file.write(extended())
        check_json(path)
        check_chrome(path, folder)
        missing = check_ctf(path, folder)
        check_big(folder)
        check_tools(folder)
    finally:
        shutil.rmtree(folder)
    if missing:
        print("SKIP:", missing)
        return 77
    return 0


sys.exit(main())
