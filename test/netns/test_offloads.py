#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""In the path of hosts whose offloads are on, super-packets join with what the taps show of them, with nothing to turn off:
the segments lost on a link are the injector's, each retransmission that the sender's kernel counted has its cause, and
delays are known from host to host.

  a --- r1 [s1] --x-- r2 [s2] --- b      a and b are sensors on their own interfaces, s1 and s2 taps

once with super-packets all the way, of which the link drops whole ones, and once with the wire's segments on the link.
"""
import collections
import json
import sys

from packets import read_pcap, read_pcapng
from site_lab import Site, skip_unless_possible
from transfer import Transfer

BYTES = 12 << 20
POINTS = ["a", "s1", "s2", "b"]
LOSSY = 2  # the section of l1
SIZE = 1448


def injected(site, port):
    return collections.Counter((p.sequence + at) % 2**32 for p in read_pcap(site.env["INJECTED_l1_fwd"])
                               if p.protocol == 6 and p.sport == port for at in range(0, p.payload, SIZE))


def super_packets(site, run):
    file = site.folder / f"{run}.pcapng"
    site.fieldline("query", run, "-o", file)
    return collections.Counter(origin["sensor"] for origin, packet in read_pcapng(file) if packet.segments > 1)


def check_path(site, run, truth):
    report = site.path(run)
    assert report["complete"], report["incomplete"]
    forward, reverse = report["forward"], report["reverse"]
    assert [p["name"] for p in forward["points"]] == POINTS, [p["name"] for p in forward["points"]]
    assert [p["name"] for p in reverse["points"]] == POINTS[::-1], [p["name"] for p in reverse["points"]]
    assert all(p["unjoined"] == 0 and p["seen"] == p["recorded"] > 0 for p in forward["points"] + reverse["points"])
    for index, section in enumerate(forward["sections"][1:-1], 1):
        got = collections.Counter(p["sequence"] for p in section["lost_packets"])
        want = truth if index == LOSSY else collections.Counter()
        assert got == want, (index, list((want - got))[:5], list((got - want))[:5])
        assert section["lost"] == sum(want.values()) and not section["appeared"] and not section["duplicated"], section
        assert section["undecided"] == 0 and section["delay"]["samples"] > 1000, (index, section["undecided"])
    assert [s["lost"] for s in reverse["sections"][1:-1]] == [0, 0, 0]
    return report


def check_verdicts(site, run, truth, again):
    verdicts = json.loads(site.fieldline("retrans", run, "--json").stdout)
    forward = [v for v in verdicts["retransmissions"] if v["direction"] == "forward"]
    assert len(forward) == again, (len(forward), "the kernel counted", again)
    for verdict in forward:
        assert verdict["cause"] in ("lost", "spurious"), verdict
        if verdict["cause"] == "lost":
            assert verdict["section"] == {"from": "s1", "to": "s2"} and truth[verdict["sequence"]], verdict
    lost = collections.Counter(v["sequence"] for v in forward if v["cause"] == "lost")
    assert lost == truth, (verdicts["totals"], list((truth - lost))[:5], list((lost - truth))[:5])
    return verdicts["totals"]


def check_delays(site, run):
    delays = json.loads(site.fieldline("owd", run, "--json", check=False).stdout)
    ways = {(way["from"], way["to"]): way for way in delays["sections"]}
    assert set(ways) == set(zip(POINTS, POINTS[1:])) | set(zip(POINTS[::-1], POINTS[-2::-1])), ways.keys()
    for ends, way in ways.items():  # a tap's copies may lag behind the packets themselves: then the clocks are in doubt
        assert (way["delay"] or way["variation"])["samples"] > 100, (ends, way)
    for ends, delay in ((("s1", "s2"), 4_000_000), (("s2", "b"), 2_000_000)):
        least, error = ways[ends]["delay"]["min_ns"], ways[ends]["error_ns"]
        assert abs(least - delay) <= error + 1_000_000, (ends, least, error)


def transfer(site, port, where):
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5201", "--for", "60s")
    client = Transfer.tcp(site, site.env["ADDR_b"], BYTES, from_port=port)
    assert client.finish() == BYTES
    again = int(client.client.text().split()[1])  # of this socket alone
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    truth = injected(site, port)
    assert truth and again, "the injector dropped nothing"
    supers = super_packets(site, run)
    assert all(supers[sensor] for sensor in where) and not supers["s1"] and not supers["s2"], supers
    check_path(site, run, truth)
    totals = check_verdicts(site, run, truth, again)
    check_delays(site, run)
    print(f"{sum(truth.values())} segments lost, {again} sent again: {totals}; super-packets: {dict(supers)}", flush=True)


def main():
    skip_unless_possible()
    # Without a delay s2 and b could not be told apart: the copies for a tap may come later than the packets themselves.
    site = Site("offloads", "--sensors", "2", "--offload", "--drop", "l1:61", "--delay", "l1:4", "--delay", "l2:2")
    site.start(in_path="ab")
    print("super-packets on the link", flush=True)
    transfer(site, 40001, "ab")
    print("segments on the link", flush=True)
    for router in ("r1", "r2"):
        site.run(router, "ethtool", "-K", "l1", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    transfer(site, 40002, "a")
    site.lab("drops")
    return 0


sys.exit(main())
