#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline owd` on captures of real packets, one of which was made with a clock that is 3 s ahead and drifts by 50 ppm:
both are found within the stated error, and so are the delays, whose truth the captures with one clock have."""
import json
import pathlib
import struct
import subprocess
import sys

from capture import Capture
from packets import read_pcap
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

SECOND = 10**9
OFFSET, DRIFT = 3 * SECOND, 50e-6
SECONDS, RATE = 12, 250
DELAY_MS = 10


def owd(*files, status):
    done = subprocess.run([build_folder() / "bin/fieldline", "owd", *map(str, files), "--json"], capture_output=True,
                          text=True, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    assert done.returncode == status, (files, done.returncode, done.stderr)
    return json.loads(done.stdout)


def with_clock(file, ahead_of, to):
    """The same capture by another clock: ahead_of(ns) says by how much."""
    data = bytearray(pathlib.Path(file).read_bytes())
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[struct.unpack("<I", data[:4])[0]]
    at = 24
    while at + 16 <= len(data):
        seconds, part, kept = struct.unpack("<III", data[at:at + 12])
        now = seconds * SECOND + part * scale
        now += round(ahead_of(now))
        data[at:at + 8] = struct.pack("<II", now // SECOND, now % SECOND // scale)
        at += 16 + kept
    to.parent.mkdir()
    to.write_bytes(data)
    return to


def true_delays(up, down):
    """Of the packets that were seen once at both."""
    def times(file):
        seen = {}
        for packet in read_pcap(file):
            if packet.protocol == 6:
                seen.setdefault((packet.source, *packet.identity(), packet.headers()[-12:]), []).append(
                    packet.timestamp_ns)
        return {key: at[0] for key, at in seen.items() if len(at) == 1}
    before, after = times(up), times(down)
    return {key: after[key] - before[key] for key in before.keys() & after.keys()}


def percentile(values, percent):
    values = sorted(values)
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def check_delays(report, files):
    """Against what the captures say before a clock was put wrong."""
    truth = true_delays(files["a"], files["b"])
    for section in report["sections"]:
        to_b = section["to"] == "b"
        sign = 1 if to_b else -1
        values = [sign * delay for key, delay in truth.items() if (sign * delay > 0)]
        for name, value in (("min_ns", min(values)), ("p50_ns", percentile(values, 50)), ("p99_ns", percentile(values, 99))):
            got = section["delay"][name]
            assert abs(got - value) <= section["error_ns"], (section, name, value)
        assert section["delay"]["samples"] > SECONDS * RATE / 4, section


def main():
    skip_unless_possible()
    site = Site("owd", "--sensors", "2", "--delay", f"l1:{DELAY_MS}", "--drop", "l1:97")
    try:
        captures = {"a": Capture(site, "a", site.device_of("a")), "b": Capture(site, "b", site.device_of("b"))}
        count = SECONDS * RATE
        assert Transfer.tcp_paced(site, site.env["ADDR_b"], count, RATE).finish() > 0
        files = {name: capture.stop() for name, capture in captures.items()}
        begin = min(p.timestamp_ns for p in read_pcap(files["b"]))

        def ahead(now):
            return OFFSET + DRIFT * (now - begin)
        wrong = with_clock(files["b"], ahead, site.folder / "shifted" / "b.pcap")
        report = owd(files["a"], wrong, status=0)
        assert report["schema"] == "fieldline.owd/1" and report["whole"]
        clocks, = report["clocks"]
        stretch, = clocks["stretches"]
        assert not clocks["steps"] and stretch["known"] and clocks["recorded_error_ns"] is None
        sign = 1 if clocks["b"] == "b" else -1
        from_ns = stretch["from_ns"] if (clocks["clock"] == "a") == (clocks["a"] == "a") else stretch["from_ns"] - OFFSET
        off = sign * stretch["offset_ns"] - ahead(from_ns)
        assert abs(off) <= stretch["error_ns"], (off, stretch)
        drift_off = sign * stretch["drift_ppm"] - DRIFT * 1e6
        assert abs(drift_off) <= stretch["drift_error_ppm"], (drift_off, stretch)
        low, high = sorted(sign * bound for bound in stretch["drift_bounds_ppm"])
        assert low <= DRIFT * 1e6 <= high, stretch
        # Of use: half of the round trip and what a busy machine adds.
        assert stretch["round_trip_ns"] >= 2 * DELAY_MS * 10**6, stretch
        assert stretch["error_ns"] <= stretch["round_trip_ns"] / 2 + 5 * 10**6, stretch
        check_delays(report, files)
        print(f"3 s and 50 ppm: off by {off / 1e6:.3f} ms of {stretch['error_ns'] / 1e6:.3f}, "
              f"{drift_off:.3f} ppm of {stretch['drift_error_ppm']:.3f}", flush=True)

        middle = begin + SECONDS * SECOND // 2

        def stepped(now):
            return ahead(now) + (SECOND // 2 if now >= middle else 0)
        report = owd(files["a"], with_clock(files["b"], stepped, site.folder / "stepped" / "b.pcap"), status=5)
        step, = report["clocks"][0]["steps"]
        sign = 1 if report["clocks"][0]["b"] == "b" else -1
        assert step["certain"] and abs(sign * step["by_ns"] - SECOND // 2) <= step["error_ns"], step
        check_delays(report, files)
        print(f"a step of 0.5 s: found as {step['by_ns'] / 1e9:.6f} s", flush=True)
    finally:
        site.close()
    return 0


sys.exit(main())
