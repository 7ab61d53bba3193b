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
    return collections.Counter((p["sport"], p["dport"], p["sequence"], p["payload"]) for p in section["lost_packets"])


def check(site, link, address, protocol):
    ping = site.ping(address, "--flow", "tcp:5201" if protocol == "tcp" else "udp:20000", "--for", "60s")
    if protocol == "tcp":
        assert Transfer.tcp(site, address, 12 << 20).finish() == 12 << 20
    else:
        Transfer.udp(site, address, 3000).finish()
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    injected = [p for p in read_pcap(site.env[f"INJECTED_l{link}_fwd"])
                if p.protocol == (6 if protocol == "tcp" else 17)]
    truth = collections.Counter((p.sport, p.dport, p.sequence or 0, p.payload) for p in injected)
    report = site.path(run)
    assert report["complete"], report["incomplete"]
    sections = report["forward"]["sections"]
    names = [p["sensor"] for p in report["forward"]["points"]]
    assert names == site.sensors, names
    assert len(sections) == len(site.sensors) + 1
    for index, section in enumerate(sections):
        edge = index in (0, len(sections) - 1)
        if protocol == "udp" and edge:
            assert section["lost"] is None, "an end without evidence claims to know"
            continue
        want = truth if index == link else collections.Counter()
        got = lost_in(section)
        assert got == want, f"l{link} {protocol}, section {index}: injected {want}, named {got}"
        assert section["lost"] == sum(want.values())
    assert truth, "nothing was dropped"
    print(f"l{link} {protocol}: {sum(truth.values())} injected, the same named", flush=True)


def main():
    skip_unless_possible()
    for link in range(3):
        site = Site(f"sections-l{link}", "--sensors", "2", "--drop", f"l{link}:997", "--delay", f"l{link}:5")
        site.start()
        check(site, link, site.env["ADDR_b"], "tcp")
        check(site, link, site.env["ADDR_b"], "udp")
        site.lab("drops")
        site.close()
    return 0


sys.exit(main())
