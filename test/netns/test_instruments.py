#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packets, bytes, retransmissions and round trips per flow are those of instruments that are not ours."""
import pathlib
import struct
import subprocess
import sys

import generated
from capture import Capture, kernel_retransmits
from instruments import fieldline, tcptrace, tshark
from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

CASES = pathlib.Path(__file__).with_name("tcp_cases.py")
BYTES = 1_500_000
PROGRAM = build_folder() / "bin/fieldline"
# Of both ends, for one transfer: (port, sysctls, IPv6)
TRANSFERS = {
    "plain": (5301, {}, False),
    "no-sack": (5302, {"tcp_sack": 0}, False),
    "no-scaling": (5303, {"tcp_window_scaling": 0}, False),
    "no-timestamps": (5304, {"tcp_timestamps": 0}, False),
    "bare": (5305, {"tcp_sack": 0, "tcp_window_scaling": 0, "tcp_timestamps": 0}, False),
    "ipv6": (5306, {}, True),
}


def transfer(site, port, settings, ipv6):
    before = {box: {name: site.run(box, "sysctl", "-n", f"net.ipv4.{name}").stdout.strip() for name in settings}
              for box in "ab"}
    try:
        for box in "ab":
            for name, value in settings.items():
                site.run(box, "sysctl", "-qw", f"net.ipv4.{name}={value}")
        address = site.env["ADDR6_b" if ipv6 else "ADDR_b"]
        assert Transfer.tcp(site, address, BYTES, port=port, label=f"t{port}").finish() == BYTES
    finally:
        for box, values in before.items():
            for name, value in values.items():
                site.run(box, "sysctl", "-qw", f"net.ipv4.{name}={value}")


class Case:
    """A connection of tcp_cases.py from a to b."""

    def __init__(self, site, port, server, *client):
        self.site, self.server = site, None
        if server:
            self.server = site.spawn("b", sys.executable, CASES, *server, log=f"case-{port}-server.log")
            wait_until("the server listens", lambda: "ready" in self.server.text())
        self.client = site.spawn("a", sys.executable, CASES, *client, log=f"case-{port}-client.log")

    def finish(self):
        for process in filter(None, (self.client, self.server)):
            wait_until("the connection has ended", lambda p=process: not p.running(), 60)
            assert process.stop() == 0, process.text()


def seen(capture, condition):
    """Whether a packet that fits a display filter is in the capture."""
    def look():
        done = subprocess.run(["tshark", "-n", "-r", str(capture.file), "-Y", condition], capture_output=True,
                              text=True)
        return len(done.stdout.splitlines())
    return look


def connections_of_every_kind(site, capture):
    address = site.env["ADDR_b"]
    slow, idle = site.folder / "read-now", site.folder / "close-now"
    for port, settings, ipv6 in TRANSFERS.values():
        transfer(site, port, settings, ipv6)
    cases = [Case(site, 5401, ("slow-server", 5401, slow), "filler", address, 5401, 200_000),
             Case(site, 5402, ("server", 5402), "idler", address, 5402, idle),
             Case(site, 5403, ("server", 5403), "resetter", address, 5403),
             Case(site, 5404, None, "refused", address, 5404)]
    probes = seen(capture, "tcp.dstport == 5401 && tcp.analysis.keep_alive")
    wait_until("two window probes", lambda: probes() >= 2, 40)
    slow.touch()
    alive = seen(capture, "tcp.dstport == 5402 && tcp.analysis.keep_alive")
    wait_until("two keep-alives", lambda: alive() >= 2, 40)
    idle.touch()
    for case in cases:
        case.finish()


def as_tcptrace(ours, tsharks):
    """What tcptrace says where it is right about the rest (T1, T2, T7)."""
    ours["again_bytes"] += max(0, ours["syns"] - 1) + max(0, ours["fins"] - 1) - tsharks["closed_bytes"]
    ours["again"] -= tsharks["closed"]
    ours["window_probes"] += tsharks["closed"]
    if ours["rtt_samples"] < 3:
        ours["rtt_stdev"] = 0
    return ours


def as_tshark(ours, theirs):
    """S1: which of the two it was, tshark guesses by the time between. S3."""
    theirs["again + late"] = theirs.pop("again") + theirs.pop("late")
    ours["again + late"] = ours["again"] + ours["late"]
    ours["duplicate_acks"] += theirs["idle_duplicates"]
    return ours


def is_same(what, theirs, ours):
    """tcptrace prints round trips in tenths of a millisecond."""
    if what.startswith("rtt_") and what != "rtt_samples":
        return abs(theirs - ours) <= max(0.01 * theirs, 0.0501)
    return theirs == ours


def compare(file, hosts, exceptions=None):
    """Every number of every flow and direction that an instrument and we both have. An exception, (instrument, source
    port, target port, name): number to be added to ours, is written down in docs/instruments.md and must be met."""
    left, wrong, ours = dict(exceptions or {}), [], {}
    for pair in hosts:
        ours |= fieldline(PROGRAM, file, "--hosts", pair)[0]
    tsharks = tshark(file)
    for instrument, flows in (("tcptrace", tcptrace(file)), ("tshark", tsharks)):
        assert set(flows) == set(ours), (instrument, set(flows) ^ set(ours))
        for direction, theirs in flows.items():
            own = dict(ours[direction])
            own = as_tcptrace(own, tsharks[direction]) if instrument == "tcptrace" else as_tshark(own, theirs)
            for what in sorted(set(own) & set(theirs)):
                expected = own[what] + left.pop((instrument, direction[1], direction[3], what), 0)
                if theirs[what] is not None and not is_same(what, theirs[what], expected):
                    wrong.append((instrument, [str(part) for part in direction], what, theirs[what], "ours", expected))
    assert not wrong, (file, wrong)
    assert not left, ("exceptions that are none", left)
    print(f"{file.name}: {len(ours)} directions, {sum(flow['again'] for flow in ours.values())} sent again, "
          f"{sum(flow['rtt_samples'] for flow in ours.values())} round trips", flush=True)
    return ours


def probe_exceptions(ours):
    """T3, S2: of probes of Linux, which carry nothing, tcptrace knows nothing and tshark says keep-alive."""
    (direction,) = (one for one in ours if one[3] == 5401)
    probes = ours[direction]["window_probes"]
    assert probes >= 2, probes
    ports = direction[1], direction[3]
    return {("tcptrace", *ports, "window_probes"): -probes, ("tshark", *ports, "window_probes"): -probes,
            ("tshark", *ports, "keep_alives"): probes}


def tagged(file, target):
    """The same with an 802.1Q tag in each frame."""
    data = file.read_bytes()
    out, at = [data[:24]], 24
    while at < len(data):
        seconds, part, kept, wire = struct.unpack("<IIII", data[at:at + 16])
        frame = data[at + 16:at + 16 + kept]
        frame = frame[:12] + b"\x81\x00\x00\x07" + frame[12:]
        out.append(struct.pack("<IIII", seconds, part, kept + 4, wire + 4) + frame)
        at += 16 + kept
    target.write_bytes(b"".join(out))
    return target


def compare_recorded(site, files, again):
    hosts = [f"{site.env[f'ADDR{six}_a']},{site.env[f'ADDR{six}_b']}" for six in ("", "6")]
    at_sender = {}
    for file in files:
        first = {}
        for pair in hosts:
            first |= fieldline(PROGRAM, file, "--hosts", pair)[0]
        ours = compare(file, hosts, probe_exceptions(first))
        at_sender = at_sender or ours
        assert compare(tagged(file, file.with_name(f"tagged-{file.name}")), hosts, probe_exceptions(first)) == ours
    senders = {pair.split(",")[0] for pair in hosts}
    sent = [flow for direction, flow in at_sender.items() if str(direction[0]) in senders]
    assert sum(flow["again"] for flow in sent) == again > 0, (sent, "the kernel counted", again)
    assert not any(flow["late"] or flow["copies"] for flow in sent), sent
    idle = next(flow for direction, flow in at_sender.items() if direction[3] == 5402)
    # The relay's n-th packet may be its one write of 100 bytes, or its SYN or FIN, which carry none; a keep-alive is
    # never a byte sent again.
    bare = idle["syns"] - 1 + max(idle["fins"] - 1, 0)
    assert idle["keep_alives"] >= 2 and idle["again_bytes"] == 100 * (idle["again"] - bare), idle
    assert sum(flow["resets"] for direction, flow in at_sender.items() if direction[3] == 5403) > 0
    lossy = [flow for flow in sent if flow["bytes"] >= BYTES]
    assert len(lossy) == len(TRANSFERS) and all(flow["again"] and flow["rtt_samples"] > 50 for flow in lossy), lossy


def compare_written(folder):
    file = generated.write_all(folder / "written.pcap")
    ours = compare(file, ["192.0.2.1,192.0.2.2"], {
        # T6: no round trip of what ends with a quarter of the sequence space
        ("tcptrace", 5201, generated.WRAP, "rtt_samples"): -1,
        # T5, S4: the network's copies
        ("tcptrace", generated.COPIES, 5201, "again"): 10, ("tcptrace", generated.COPIES, 5201, "again_bytes"): 10_000,
        ("tshark", generated.COPIES, 5201, "again + late"): 10,
        # T4: keep-alives with a byte
        ("tcptrace", generated.PROBED, 5201, "again"): 4, ("tcptrace", generated.PROBED, 5201, "again_bytes"): 4,
        # O1: packets of several segments
        ("tcptrace", generated.OFFLOADED, 5201, "packets"): -30, ("tshark", generated.OFFLOADED, 5201, "packets"): -30})
    flows = {direction[1]: flow for direction, flow in ours.items() if direction[3] == 5201}
    assert flows[generated.WRAP]["again"] == 2 and flows[generated.WRAP]["bytes"] == 102_000
    assert flows[generated.SIMULTANEOUS]["syns"] == 2 and flows[generated.SIMULTANEOUS]["again"] == 1
    assert flows[generated.COPIES]["copies"] == 10 and flows[generated.COPIES]["again"] == 1
    assert flows[generated.OVERTAKEN]["late"] == 6 and flows[generated.OVERTAKEN]["again"] == 0
    assert (flows[generated.PROBED]["window_probes"], flows[generated.PROBED]["keep_alives"]) == (3, 4)
    assert flows[generated.MIDSTREAM]["again"] == 1
    assert (flows[generated.CLOSED]["again"], flows[generated.CLOSED]["window_probes"]) == (1, 0)


def main():
    skip_unless_possible()
    site = Site("instruments", "--sensors", "2", "--ipv6", "--delay", "l1:10", "--drop", "l1:90", "--drop", "l1:40:rev")
    try:
        captures = [Capture(site, "a", site.device_of("a")), Capture(site, "b", site.device_of("b"))]
        before = kernel_retransmits(site)
        connections_of_every_kind(site, captures[0])
        again = kernel_retransmits(site) - before
        compare_recorded(site, [capture.stop() for capture in captures], again)
        compare_written(site.folder)
    finally:
        site.close()
    return 0


sys.exit(main())
