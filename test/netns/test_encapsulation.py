#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One path, three looks of one packet: inside a VXLAN on l1, behind two VLAN tags on l2's tap, plain at the hosts.

What stood on the taps is what the archive has, fragments included, and a packet joins before and inside the tunnel.
The triggers travel as the flow does: s1 sees them inside the tunnel alone. Then every encapsulation, built frame by
frame and put on the taps' own devices.

A run of the VXLAN's own packets, by whoever owns the underlay, is on meanwhile and takes nothing from the run inside.
"""
import collections
import pathlib
import sys

from encapsulations import ENCAPSULATIONS, datagram, ethernet
from multiset import compare
from packets import read_pcapng
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

VXLAN_FROM = 50000
OUTER_HEADERS = 14 + 20 + 8
PULSE = 328 + 2 * OUTER_HEADERS + 8  # or more: a trigger with its headers inside the VXLAN
MTU = 1600  # room for the outer headers, so that routers fragment nothing


def widen(site):
    for box, device in (("r1", "l1"), ("r2", "l1")):
        site.run(box, "ip", "link", "set", "dev", device, "mtu", MTU)
    for sensor in site.sensors:
        for way in ("fwd", "rev"):
            router = site.env[f"TAP_{sensor}_BOX"]
            site.run(router, "ip", "link", "set", "dev", site.env[f"TAP_{sensor}_{way.upper()}"], "mtu", MTU)
            site.run(sensor, "ip", "link", "set", "dev", way, "mtu", MTU)


def tunnel(site):
    """What goes between a and b crosses l1 inside a VXLAN between the routers."""
    for box, own, other, net in (("r1", 1, 2, 2), ("r2", 2, 1, 0)):
        site.run(box, "ip", "link", "add", "vx", "type", "vxlan", "id", 7, "local", f"10.0.1.{own}",
                 "remote", f"10.0.1.{other}", "srcport", VXLAN_FROM, VXLAN_FROM + 1, "dstport", 4789, "dev", "l1")
        site.run(box, "ethtool", "-K", "vx", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        site.run(box, "ip", "link", "set", "dev", "vx", "mtu", 1500, "up")
        site.run(box, "ip", "addr", "add", f"10.77.0.{own}/24", "dev", "vx")
        site.run(box, "ip", "route", "replace", f"10.0.{net}.0/24", "via", f"10.77.0.{other}", "dev", "vx")
    site.run("a", "ping", "-c1", "-W5", site.env["ADDR_b"])


def tag(site):
    """What s2's tap sees is tagged twice, as on a provider's trunk."""
    router = site.env["TAP_s2_BOX"]
    for way in ("FWD", "REV"):
        device = site.env[f"TAP_s2_{way}"]
        # A tag that stays beside the frame is not seen by XDP. txvlan is of 802.1Q alone, which the lab has off.
        site.run(router, "ethtool", "-K", device, "tx-vlan-stag-hw-insert", "off")
        site.run(router, "tc", "qdisc", "add", "dev", device, "clsact")
        site.run(router, "tc", "filter", "add", "dev", device, "egress", "bpf", "da",
                 "obj", build_folder() / "test/netns/tag.bpf.o", "sec", "tc")


def check_shapes(captured):
    """The lab built what the test is about. (r2 answers the underlay's pulses, which nobody there waits for.)"""
    for way in ("fwd", "rev"):
        assert all(p.tunnels == 1 and p.tags == 0 for p in captured["s1"][way]
                   if str(p.source).startswith("10.0.") and not str(p.source).startswith("10.0.1.")), way
        assert all(p.tunnels == 0 and p.tags == 2 for p in captured["s2"][way]), way


def joined(report, direction, at_least):
    """Between the two taps every packet was seen on both sides."""
    section = next(s for s in report[direction]["sections"] if s["from"] and s["to"])
    points = {p["sensor"]: p["recorded"] for p in report[direction]["points"]}
    assert points["s1"] == points["s2"] >= at_least, points
    assert section["lost"] == 0 and section["delay"]["samples"] == points["s1"], section
    return points["s1"]


def lead_to_archive(site):
    """The underlay's operator sits at r1, which has no way to the archive."""
    r1, archive = (site.env[f"NETNS_{box}"].rsplit("/", 1)[1] for box in ("r1", "arc"))
    site.run("r1", "ip", "link", "add", "ops", "netns", r1, "type", "veth", "peer", "name", "ops", "netns", archive)
    for box, number in (("r1", 2), ("arc", 1)):
        site.run(box, "ip", "addr", "add", f"10.98.0.{number}/24", "dev", "ops")
        site.run(box, "ip", "link", "set", "ops", "up")
    site.run("r1", "ip", "route", "add", site.env["MGMT_arc"], "via", "10.98.0.1")


def underlay(site, make):
    """What make() gives, captures that were made while the VXLAN's packets were a run's too; each of them is a record."""
    ping = site.ping("10.0.1.2", "--flow", f"udp:10.0.1.1:{VXLAN_FROM}-10.0.1.2:4789", "--for", "60s", box="r1", sensors=1)
    captured = make()
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    file = site.folder / f"{run}.pcapng"
    site.fieldline("query", run, "-o", file)
    packets = [packet for _, packet in read_pcapng(file)]
    assert all(len(packet.data) == OUTER_HEADERS for packet in packets), "more than the outer headers was kept"
    archived = collections.Counter(packet.wire_len for packet in packets)
    seen = collections.Counter(packet.wire_len for packet in captured["s1"]["fwd"] if packet.tunnels)
    # Beside what was captured stand the pulses that the tunnel carried, which a capture leaves out.
    assert not seen - archived, f"{(seen - archived).total()} of {seen.total()} missing"
    assert all(length >= PULSE for length in archived - seen), archived - seen
    report = site.path(run)
    assert report["complete"], report["incomplete"]
    print(f"underlay: {seen.total()} packets and {(archived - seen).total()} pulses", flush=True)
    return captured


def transfer(site, protocol, make, at_least):
    port = 5201 if protocol == "tcp" else 20000
    ping = site.ping(site.env["ADDR_b"], "--flow", f"{protocol}:{port}", "--for", "60s")
    captures = {s: site.tap_capture(s) for s in site.sensors}
    make()
    captured = {s: c.stop() for s, c in captures.items()}
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    check_shapes(captured)
    number = 6 if protocol == "tcp" else 17
    compare(site, [run], captured, lambda p: p.protocol == number and (p.later or port in (p.sport, p.dport)))
    print(f"{protocol}: {joined(site.path(run), 'forward', at_least)} packets joined", flush=True)
    return captured


def put(site, sensor, frames):
    file = site.folder / f"frames-{sensor}"
    file.write_text("\n".join(frame.hex() for frame in frames))
    site.run(site.env[f"TAP_{sensor}_BOX"], sys.executable, pathlib.Path(__file__).with_name("encapsulations.py"),
             site.env[f"TAP_{sensor}_FWD"], file)


def every_kind(site, each=40):
    """s1 sees each packet in an encapsulation of its own, s2 bare (behind the tags of its tap)."""
    packets = [(kind, number) for number in range(each) for kind in ENCAPSULATIONS]
    first = [datagram(site.env["ADDR_a"], site.env["ADDR_b"], 30000, i, 62) for i in range(len(packets))]
    wrapped = [ENCAPSULATIONS[kind](packet) for (kind, _), packet in zip(packets, first)]
    bare = [ethernet(0x0800, datagram(site.env["ADDR_a"], site.env["ADDR_b"], 30000, i, 61)) for i in range(len(packets))]
    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:30000", "--for", "60s")
    put(site, "s1", wrapped)
    put(site, "s2", bare)
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    file = site.folder / f"{run}.pcapng"
    site.fieldline("query", run, "-o", file)
    archived = collections.Counter((packet.data, packet.wire_len) for origin, packet in read_pcapng(file)
                                   if origin["sensor"] == "s1")
    expected = collections.Counter((frame[:frame.index(packet) + 28], len(frame)) for frame, packet in zip(wrapped, first))
    assert archived == expected, f"{(expected - archived).total()} missing, {(archived - expected).total()} too many"
    print(f"{len(ENCAPSULATIONS)} encapsulations: {joined(site.path(run), 'forward', len(packets))} packets joined", flush=True)


def counted(site):
    """Every packet of each port is in one counter."""
    for status in site.status()["sensors"]:
        for port in status["ports"]:
            counters = port["counters"]
            parts = -counters["taken_again"] + sum(counters[name] for name in (
                "unmatched", "matched", "triggers", "not_ip", "link_truncated", "tags_too_many", "ip_truncated",
                "jumbo_invalid", "extensions_too_many", "later_fragment", "transport_truncated", "tunnel_invalid",
                "tunnel_fragmented", "tunnels_too_many"))
            assert counters["packets"] == parts, counters


def main():
    skip_unless_possible()
    site = Site("encapsulation", "--sensors", "2")
    widen(site)
    tunnel(site)
    tag(site)
    site.start(allow='hosts = ["10.0.0.0/8"]\ninner = true')
    address = site.env["ADDR_b"]

    def tcp():
        assert Transfer.tcp(site, address, 4 << 20).finish() == 4 << 20

    def datagrams():
        assert Transfer.udp(site, address, 500, per_second=1000, size=4000).finish() == 500

    lead_to_archive(site)
    underlay(site, lambda: transfer(site, "tcp", tcp, (4 << 20) // 1448))
    captured = transfer(site, "udp", datagrams, 1500)
    later = sum(p.later for p in captured["s1"]["fwd"])
    assert later == 1000, f"{later} later fragments of 500 datagrams"
    every_kind(site)
    counted(site)
    site.lab("drops")
    return 0


sys.exit(main())
