#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline path` and `retrans` on tcpdump's own files, with no sensor and no archive: also where offloads make
packets of many segments at both ends, the segments lost are the injector's, and each retransmission that the sender's
kernel counted has its cause."""
import collections
import json
import subprocess
import sys

from capture import Capture, kernel_retransmits
from packets import read_pcap
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

BYTES = 24 << 20


def fieldline(*arguments, status=0):
    done = subprocess.run([build_folder() / "bin/fieldline", *map(str, arguments)], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    assert done.returncode == status, (arguments, done.returncode, done.stderr)
    return done


def segments(packet, size):
    return [(packet.sequence + at) % 2**32 for at in range(0, packet.payload, size)]


def transfer_captured(*lab_options, drop):
    site = Site("captures", "--sensors", "2", "--drop", drop, "--delay", "l1:4", *lab_options)
    try:
        captures = [Capture(site, "a", site.device_of("a")), Capture(site, "r1", "l0"),
                    Capture(site, "b", site.device_of("b"))]
        before = kernel_retransmits(site)
        assert Transfer.tcp(site, site.env["ADDR_b"], BYTES).finish() == BYTES
        again = kernel_retransmits(site) - before
        files = [capture.stop() for capture in captures]
        lost = [p for p in read_pcap(site.env["INJECTED_l1_fwd"]) if p.protocol == 6]
        assert lost, "the injector dropped nothing"
        size = 1448
        truth = collections.Counter(s for p in lost for s in segments(p, size))
        check(files, truth, again)
        return files, site
    except BaseException:
        site.close()
        raise


def check(files, truth, again):
    report = json.loads(fieldline("path", *files, "--json").stdout)
    assert report["schema"] == "fieldline.path/1" and report["captures"] == ["a", "r1", "b"], report["captures"]
    points = [p["name"] for p in report["forward"]["points"]]
    assert points == ["a", "r1", "b"], points
    sections = report["forward"]["sections"]
    got = collections.Counter(p["sequence"] for p in sections[2]["lost_packets"])
    assert got == truth, (len(got), len(truth), list((truth - got))[:5], list((got - truth))[:5])
    assert sections[1]["lost"] == 0 and sections[0]["lost"] == 0 and sections[3]["lost"] == 0, [
        s["lost"] for s in sections]
    assert all(not s["appeared"] and not s["duplicated"] for s in sections)
    assert 3_500_000 < sections[2]["delay"]["min_ns"] < 50_000_000, sections[2]["delay"]
    verdicts = json.loads(fieldline("retrans", *files, "--json").stdout)
    assert verdicts["schema"] == "fieldline.retrans/1" and verdicts["tcp"]
    forward = [v for v in verdicts["retransmissions"] if v["direction"] == "forward"]
    assert len(forward) == again, (len(forward), "the kernel counted", again)
    for verdict in forward:
        assert verdict["cause"] in ("lost", "spurious"), verdict
        if verdict["cause"] == "lost":
            assert verdict["section"] == {"from": "r1", "to": "b"}, verdict
    assert sum(v["cause"] == "lost" for v in forward) >= len(truth), (verdicts["totals"], len(truth))
    print(f"{sum(truth.values())} segments lost, {again} sent again: {verdicts['totals']}", flush=True)


def damaged_and_strange(files, folder):
    whole = files[2].read_bytes()
    torn = folder / "torn.pcap"
    torn.write_bytes(whole[:len(whole) // 2 + 7])
    done = fieldline("path", files[0], torn)
    assert "going on with what stands before it" in done.stderr, done.stderr
    text = folder / "notes.pcap"
    text.write_text("no capture at all\n")
    assert "no capture" in fieldline("path", text, status=1).stderr
    assert "no packet between" in fieldline("path", files[0], "--hosts", "192.0.2.1,192.0.2.2", status=1).stderr
    assert "--hosts" in fieldline("path", files[0], "--hosts", "nobody", status=2).stderr
    alone = json.loads(fieldline("path", files[0], "--json").stdout)
    assert [p["name"] for p in alone["forward"]["points"]] == ["a"]
    packets = folder / "ng.pcapng"
    subprocess.run(["tshark", "-r", files[1], "-w", packets, "-F", "pcapng"], check=True, capture_output=True)
    mixed = json.loads(fieldline("path", files[0], packets, files[2], "--json").stdout)
    plain = json.loads(fieldline("path", *files, "--json").stdout)
    assert [s["lost"] for s in mixed["forward"]["sections"]] == [s["lost"] for s in plain["forward"]["sections"]]
    twice = fieldline("path", files[0], folder / "." / files[0].name, "--json")
    assert "given twice" in twice.stderr and json.loads(twice.stdout)["forward"] == alone["forward"]
    assert "no regular file" in fieldline("path", files[0], folder, status=1).stderr
    assert "does not exist" in fieldline("retrans", folder / "not-there.pcap", status=1).stderr
    for hours in (1, -3):  # a clock of another time
        shifted = folder / f"shifted{hours}.pcap"
        subprocess.run(["editcap", "-F", "pcap", "-t", str(3600 * hours), files[2], shifted], check=True,
                       capture_output=True)
        other = json.loads(fieldline("path", files[0], files[1], shifted, "--json").stdout)
        assert [s["lost"] for s in other["forward"]["sections"]] == [s["lost"] for s in plain["forward"]["sections"]]
    print("torn, strange, shifted and pcapng files", flush=True)


def without_handshake(files, folder):
    """Offloads' packets, and nothing says how long a segment is: what is called lost was lost."""
    late = [folder / f"late-{file.name}" for file in (files[0], files[2])]
    for file, whole in zip(late, (files[0], files[2])):
        subprocess.run(["editcap", "-F", "pcap", "-r", whole, file, "40-1000000"], check=True, capture_output=True)
    truth = {s for p in read_pcap(folder / "lab" / "injected-l1-fwd.pcap") if p.protocol == 6 for s in segments(p, 1448)}
    report = json.loads(fieldline("path", *late, "--json").stdout)
    named = {p["sequence"] for p in report["forward"]["sections"][1]["lost_packets"]}
    assert named <= truth, sorted(named - truth)[:5]
    verdicts = json.loads(fieldline("retrans", *late, "--json").stdout)["retransmissions"]
    wrong = [v for v in verdicts if v["cause"] == "spurious" and v["sequence"] in truth and v["before_ns"] and
             v["sequence"] not in named]
    assert not wrong, wrong[:3]
    print(f"without the handshake: {len(named)} of {len(truth)} named", flush=True)


def main():
    skip_unless_possible()
    files, site = transfer_captured(drop="l1:900")
    try:
        damaged_and_strange(files, site.folder)
    finally:
        site.close()
    files, site = transfer_captured("--offload", drop="l1:70")
    try:
        without_handshake(files, site.folder)
    finally:
        site.close()
    return 0


sys.exit(main())
