#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""20 runs of four principals on the same packets, each with flows, bytes and a sample of its own: every run has exactly
its packets at every sensor, once, and its counts add up. Then the same of samples and counters that the kernel cuts."""
import collections
import sys

from digest import digest
from packets import read_pcapng
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

POLICY = """hosts = ["10.0.0.0/8"]
max_snaplen = 96
min_prefix_v4 = 8

[[sensor.allow]]
name = "noc"
principals = ["noc@site-a"]
hosts = ["10.0.0.0/8"]
max_snaplen = 512
min_prefix_v4 = 8

[[sensor.allow]]
name = "net"
principals = ["net@site-b"]
hosts = ["10.0.0.0/8"]
min_sample = 8

[[sensor.allow]]
name = "guest"
principals = ["guest@site-c"]
hosts = ["10.0.0.0/8"]
verbs = ["count"]
"""
SENSORS = ("s1", "s2")
Asked = collections.namedtuple("Asked", "who options matches snaplen sample", defaults=(0, 1))


def sample_at(asked, sensor):
    """0: counted alone. What s1 forces on `net` is not what s2 does."""
    if "--count" in asked.options:
        return 0
    forced = {"s1": 2, "s2": 8}[sensor] if asked.who == "net" else 1
    return max(asked.sample, forced)


def flow(protocol, *ports, both=False):
    """One of the ports at the far end of the flow, at both if `both`; none named: any."""
    def matches(packet):
        return packet.protocol == protocol and (not ports or any(
            (packet.sport == port and packet.dport == port) if both else port in (packet.sport, packet.dport)
            for port in ports))
    return matches


def twenty(a, b):
    def udp(port):
        return f"udp:{a}:{port}-{b}:{port}"
    return [
        Asked("noc", ["--flow", "udp:20000"], flow(17, 20000)),
        Asked("noc", ["--flow", udp(20000), "--snaplen", "128"], flow(17, 20000, both=True), 128),
        Asked("noc", ["--flow", "udp", "--snaplen", "300"], flow(17), 300),
        Asked("noc", ["--flow", f"udp:10.0.0.0/24-{b}", "--snaplen", "64"], flow(17), 64),
        Asked("noc", ["--flow", "udp:10.0.0.0/8-10.0.0.0/8"], flow(17)),
        Asked("noc", ["--flow", "tcp", "--snaplen", "100"], flow(6), 100),
        Asked("noc", ["--flow", "tcp:5201"], flow(6, 5201)),
        Asked("ops", ["--flow", "udp:20001"], flow(17, 20001)),
        Asked("ops", ["--flow", udp(20001), "--snaplen", "200"], flow(17, 20001, both=True), 96),  # clamped
        Asked("ops", ["--flow", "udp", "--sample", "8"], flow(17), 0, 8),
        Asked("ops", ["--flow", "udp:10.0.0.0/8:20001-10.0.0.0/8:20001"], flow(17, 20001, both=True)),
        Asked("ops", ["--flow", "tcp:10.0.0.0/8-10.0.0.0/8", "--snaplen", "80"], flow(6), 80),
        Asked("ops", ["--flow", "udp:20000", "--flow", "udp:20002"], flow(17, 20000, 20002)),
        Asked("net", ["--flow", "udp"], flow(17)),
        Asked("net", ["--flow", "udp:20002", "--sample", "16"], flow(17, 20002), 0, 16),
        Asked("net", ["--flow", udp(20003)], flow(17, 20003, both=True)),
        Asked("net", ["--flow", "tcp:5201"], flow(6, 5201)),
        Asked("guest", ["--flow", "udp", "--count"], flow(17)),
        Asked("guest", ["--flow", udp(20002), "--count"], flow(17, 20002, both=True)),
        Asked("guest", ["--flow", "tcp", "--count"], flow(6)),
    ]


class Truth:
    """What tcpdump saw on a sensor's taps; digests are made once."""

    def __init__(self, capture):
        self.ways, self.digests = capture.stop(), {}

    def sampled(self, packet, n):
        if id(packet) not in self.digests:
            self.digests[id(packet)] = digest(packet)
        return n > 0 and self.digests[id(packet)] * n < 2**64

    def of(self, asked, n, ways=("fwd", "rev")):
        return [p for way in ways for p in self.ways[way] if asked.matches(p) and (n == 1 or self.sampled(p, n))]

    def count(self, asked, way):
        return sum(asked.matches(p) for p in self.ways[way])


class Rights:
    def __init__(self):
        self.site = Site("rights", "--sensors", "2", "--drop", "l1:41")
        site = self.site
        self.keys = {"ops": site.key, "noc": site.add_principal("noc@site-a"),
                     "net": site.add_principal("net@site-b"), "guest": site.add_principal("guest@site-c")}
        site.write_configs(allow=POLICY)
        config = site.folder / "s1.toml"
        config.write_text(config.read_text().replace("min_sample = 8", "min_sample = 2"))
        for box in ("arc", *SENSORS):
            site.start_daemon(box)
        wait_until("sensors reach the archive", lambda: len(site.status()["sensors"]) == len(SENSORS))
        self.a, self.b = site.env["ADDR_a"], site.env["ADDR_b"]

    def ping(self, asked, seconds=100):
        return self.site.ping(self.b, *asked.options, "--for", f"{seconds}s", wait=False, key=self.keys[asked.who])

    def record(self, all_asked, traffic):
        """All runs on, then the captures, then the traffic: each run sees all of it. [(asked, run)], {sensor: Truth}."""
        pings = [self.ping(asked) for asked in all_asked]
        for ping in pings:
            ping.wait_activated(len(SENSORS))
        captures = {sensor: self.site.tap_capture(sensor) for sensor in SENSORS}
        for transfer in [start() for start in traffic]:
            transfer.finish()
        truths = {sensor: Truth(capture) for sensor, capture in captures.items()}
        for ping in pings:
            ping.process.popen.send_signal(2)
        for ping in pings:
            assert ping.wait(30) == 0, ping.process.text()
        return [(asked, ping.run()) for asked, ping in zip(all_asked, pings)], truths

    def records_of(self, asked, run):
        file = self.site.folder / f"{run}.pcapng"
        self.site.fieldline("query", run, "-o", file, key=self.keys[asked.who])
        return read_pcapng(file)

    def check_records(self, asked, run, truths):
        records = self.records_of(asked, run)
        for sensor in SENSORS:
            n = sample_at(asked, sensor)
            own = [packet for interface, packet in records if interface["sensor"] == sensor]
            want = truths[sensor].of(asked, n) if n else []
            got = collections.Counter(p.identity() for p in own)
            assert got == collections.Counter(p.identity() for p in want), (asked, sensor, len(own), len(want))
            for packet in own:
                kept = min(asked.snaplen, packet.wire_len) if asked.snaplen else packet.transport_end
                assert len(packet.data) == kept, (asked, sensor, len(packet.data), kept)

    def check_counts(self, asked, report, truths):
        for way, tap in (("forward", "fwd"), ("reverse", "rev")):
            points = {point["sensor"]: point for point in report[way]["points"]}
            for sensor in SENSORS:
                seen = truths[sensor].count(asked, tap)
                point = points.get(sensor, {"seen": 0, "recorded": 0, "sampled_out": 0, "dropped": {}})
                assert not point["dropped"], (asked, point)
                assert point["seen"] == seen, (asked, sensor, way, seen, point)
                assert point["seen"] == point["recorded"] + point["sampled_out"], (asked, sensor, way, point)

    def check(self, asked, run, truths):
        report = self.site.path(run, self.keys[asked.who])
        self.check_records(asked, run, truths)
        self.check_counts(asked, report, truths)
        own = [line for line in report["incomplete"] if " records 1 of " not in line and "counters alone" not in line]
        assert not own and report["complete"] == (asked.who not in ("net", "guest") and asked.sample == 1), report["incomplete"]
        print(f"{asked.who} {' '.join(asked.options)}: "
              f"{[(p['sensor'], p['seen'], p['recorded']) for p in report['forward']['points']]}", flush=True)
        return report


def section_between(report):
    return next(s for s in report["forward"]["sections"] if s["from"] == "s1" and s["to"] == "s2")


def losses_of_a_sample(report, asked, truths):
    """s1 keeps 1 of 2 and s2 1 of 8: exact on what both keep, silent on the rest."""
    section = section_between(report)
    up, down = (len(truths[s].of(asked, 8, ("fwd",))) for s in SENSORS)
    assert section["lost"] == up - down > 0, (section["lost"], up, down)
    assert section["unsampled"] == len(truths["s1"].of(asked, 2, ("fwd",))) - up
    assert section["undecided"] == section["appeared"] == 0, section
    assert all(end["lost"] is None for end in (report["forward"]["sections"][0], report["forward"]["sections"][-1]))


def losses_by_counters(report, asked, truths):
    section = section_between(report)
    lost = truths["s1"].count(asked, "fwd") - truths["s2"].count(asked, "fwd")
    assert section["by_counters"] and section["lost"] == lost > 0, (section, lost)


def overlapping(rights):
    b = rights.b
    runs, truths = rights.record(twenty(rights.a, b), [
        lambda: Transfer.udp(rights.site, b, 6000, per_second=1200, ports=4),
        lambda: Transfer.tcp_paced(rights.site, b, 800, 250)])
    for asked, run in runs:
        report = rights.check(asked, run, truths)
        if asked.who == "net" and asked.options == ["--flow", "udp"]:
            losses_of_a_sample(report, asked, truths)
        if asked.who == "guest":
            losses_by_counters(report, asked, truths)
    print("20 runs of four principals: each has exactly its own", flush=True)


def port_counter(rights, sensor, name):
    status = next(s for s in rights.site.status()["sensors"] if s["sensor"] == sensor)
    return sum(port["counters"][name] for port in status["ports"])


def cut_in_the_kernel(rights):
    """Alone on its packets, a sample is cut before anything is lifted, and what is only counted is never lifted."""
    before = {s: port_counter(rights, s, "lifted") for s in SENSORS}
    sampled = Asked("ops", ["--flow", "udp:20000", "--sample", "8"], flow(17, 20000), 0, 8)
    counted = Asked("guest", ["--flow", "udp:20001", "--count"], flow(17, 20001))
    runs, truths = rights.record(
        [sampled, counted], [lambda: Transfer.udp(rights.site, rights.b, 8000, per_second=2000, ports=2)])
    for asked, run in runs:
        rights.check(asked, run, truths)
    for sensor in SENSORS:
        want = len(truths[sensor].of(sampled, 8))
        wait_until("the sensor's counters are told",
                   lambda: port_counter(rights, sensor, "lifted") - before[sensor] == want)
        assert 300 < want < 700, want
    kept = [{p.identity() for p in truths[s].of(sampled, 8)} for s in SENSORS]
    assert kept[1] < kept[0], "the second sensor's sample is the first one's but for what was lost"
    print(f"1 of 8: the same packets at both sensors, {len(kept[0])} and, after losses, {len(kept[1])}", flush=True)


def denied(rights):
    wide = Asked("net", ["--flow", f"udp:10.0.0.0/24-{rights.b}"], None)
    captures = Asked("guest", ["--flow", "udp"], None)
    pings = [rights.ping(asked, seconds=4) for asked in (wide, captures)]
    for ping, wanted in zip(pings, ("min_prefix_v4 = 32", "counting alone")):
        assert ping.wait(30) == 3, ping.process.text()
        told = [e for e in ping.events() if e["event"] == "activation"]
        assert told and all(wanted in e["detail"] for e in told), told
    print("too wide, and a capture where counting is allowed: denied, with the reason", flush=True)


def main():
    skip_unless_possible()
    rights = Rights()
    overlapping(rights)
    cut_in_the_kernel(rights)
    denied(rights)
    return 0


sys.exit(main())
