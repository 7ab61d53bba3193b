#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The drop is put on each link in turn: the section named is the right one, and the lost packets are exactly the
injector's log."""
import collections
import sys

from packets import read_pcap
from site_lab import Site, skip_unless_possible
from transfer import Transfer


def lost_in(section):
    """Between two points a loss is one record, with its IP id; at an end it is a hole in the sequence."""
    inner = section["from"] is not None and section["to"] is not None
    return collections.Counter((p["sport"], p["dport"], p["sequence"], p["payload"], p["ip_id"] if inner else 0)
                               for p in section["lost_packets"])


def injected(site, link, way, protocol, source, inner):
    return collections.Counter(
        (p.sport, p.dport, p.sequence or 0, p.payload, (p.ip_id or 0) if inner else 0)
        for p in read_pcap(site.env[f"INJECTED_l{link}_{way}"])
        if p.protocol == (6 if protocol == "tcp" else 17) and str(p.source) == source)


def check_direction(site, report, direction, sensors, where, truth, label):
    """The section at `where` names these packets and no other; every other one that can know names none."""
    points, sections = report[direction]["points"], report[direction]["sections"]
    assert [p["sensor"] for p in points] == sensors, (label, points)
    assert len(sections) == len(sensors) + 1
    for index, section in enumerate(sections):
        want = truth if index == where else collections.Counter()
        if section["lost"] is None:
            assert index in (0, len(sections) - 1) and not want and section["note"], (label, index, section["note"])
            continue
        got = lost_in(section)
        assert got == want, f"{label}, section {index}: injected {want - got} not named, {got - want} named too much"
        assert section["lost"] == sum(want.values()), (label, section["lost"])


def run_transfer(site, address, protocol):
    ping = site.ping(address, "--flow", "tcp:5201" if protocol == "tcp" else "udp:20000", "--for", "60s")
    if protocol == "tcp":
        assert Transfer.tcp(site, address, 12 << 20).finish() == 12 << 20
    else:
        Transfer.udp(site, address, 3000).finish()
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    report = site.path(run)
    assert report["complete"], report["incomplete"]
    return report


def forward(site, link, version, protocol):
    suffix = "" if version == 4 else "6"
    report = run_transfer(site, site.env[f"ADDR{suffix}_b"], protocol)
    if protocol == "udp":  # the ends cannot know, and do not claim to
        assert report["forward"]["sections"][0]["lost"] is report["forward"]["sections"][-1]["lost"] is None
    inner = 0 < link < len(site.sensors)
    truth = injected(site, link, "fwd", protocol, site.env[f"ADDR{suffix}_a"], inner)
    assert truth, "nothing was dropped"
    label = f"l{link} IPv{version} {protocol}"
    check_direction(site, report, "forward", site.sensors, None if protocol == "udp" and not inner else link, truth, label)
    print(f"{label}: {sum(truth.values())} injected, the same named", flush=True)


def first_packet_and_acknowledgements():
    """The SYN is lost on l1, and on the way back every 200th packet."""
    site = Site("sections-rev", "--sensors", "2", "--drop", "l1:@1:fwd:segments", "--drop", "l1:200:rev", "--delay", "l1:5")
    site.start()
    report = run_transfer(site, site.env["ADDR_b"], "tcp")
    truth = injected(site, 1, "fwd", "tcp", site.env["ADDR_a"], True)
    assert [(key[1], key[3]) for key in truth.elements()] == [(5201, 0)], truth
    check_direction(site, report, "forward", site.sensors, 1, truth, "l1, the SYN")
    back = injected(site, 1, "rev", "tcp", site.env["ADDR_b"], True)
    assert back, "nothing was dropped on the way back"
    check_direction(site, report, "reverse", site.sensors[::-1], 1, back, "l1, acknowledgements")
    print(f"l1: the SYN is named, and the same {sum(back.values())} acknowledgements", flush=True)
    site.lab("drops")
    site.close()


def main():
    skip_unless_possible()
    for link in range(3):
        both = ("--ipv6",) if link == 1 else ()
        site = Site(f"sections-l{link}", "--sensors", "2", "--drop", f"l{link}:997", "--delay", f"l{link}:5", *both)
        site.start()
        for version in (4, 6) if both else (4,):
            for protocol in ("tcp", "udp"):
                forward(site, link, version, protocol)
        site.lab("drops")
        site.close()
    first_packet_and_acknowledgements()
    return 0


sys.exit(main())
