#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline top` follows a run that is on: each flow at its own pace while it sends, and the totals when it is over,
with the losses that the injector logged."""
import collections
import json
import sys

from packets import read_pcap
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

BYTES = 3 << 20


def documents(output):
    lines = output.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def port_of(document):
    return {flow["port_a"]: flow for flow in document["flows"]}


def estimated(site, address):
    """Of a sample: what was recorded times N; what needs every packet is null."""
    ping = site.ping(address, "--flow", "tcp:5201", "--for", "60s", "--sample", "4")
    assert Transfer.tcp(site, address, BYTES).finish() == BYTES
    assert ping.stop() == 0, ping.process.text()
    top, path = json.loads(site.fieldline("top", ping.run(), "--json").stdout), site.path(ping.run())
    for way in ("forward", "reverse"):
        point, flow = path[way]["points"][0], top["flows"][0][way]
        assert (point["sample_n"], top[way]["sample_n"], len(top["flows"])) == (4, 4, 1), (point, top)
        assert flow["packets"] == 4 * point["recorded"] > 0 and flow["retransmitted_packets"] is None, (flow, point)
        lost = path[way]["sections"][1]["lost"]
        assert top[way]["sections"][1]["lost"] == 4 * lost == flow["lost"][1], (top[way], lost)
    table = site.fieldline("top", ping.run()).stdout
    assert "~" in table and "of one in 4 packets" in table, table
    print(table, flush=True)


def counted(site, address):
    """Of counters alone: each point's, while it is on and in the end."""
    ping = site.ping(address, "--flow", "tcp:5201", "--for", "60s", "--count")
    output = site.folder / "counted.jsonl"
    with open(output, "wb") as out:
        top = site.spawn("a", *site.cli("top", ping.run(), "--json", "--interval", "1s")[3:], log="counted.err", stdout=out)
    paced = Transfer.tcp_paced(site, address, 2000, 200, size=1000)
    wait_until("views of points that count on", lambda: sum(
        any(p["interval"]["packets"] > 0 for p in d["forward"]["points"]) for d in documents(output)) >= 3, 30)
    paced.end_early()
    assert ping.stop() == 0, ping.process.text()
    wait_until("top has ended", lambda: not top.running(), 30)
    assert top.stop() == 0, top.text()
    last, path = documents(output)[-1], site.path(ping.run())
    assert last["counted"] and last["ended"] and last["flows"] == [], last
    for way in ("forward", "reverse"):
        assert [(p["name"], p["packets"]) for p in last[way]["points"]] == [
            (p["name"], p["seen"]) for p in path[way]["points"]], (last[way], path[way])
    table = site.fieldline("top", ping.run()).stdout
    assert "counters alone" in table and "SO FAR" in table, table
    print(table, flush=True)


def main():
    skip_unless_possible()
    site = Site("top", "--sensors", "2", "--drop", "l1:150", "--delay", "l1:3")
    try:
        site.start()
        address = site.env["ADDR_b"]
        ping = site.ping(address, "--flow", "tcp:5201", "--for", "90s")
        run, output = ping.run(), site.folder / "top.jsonl"
        with open(output, "wb") as out:
            top = site.spawn("a", *site.cli("top", run, "--json", "--interval", "200ms")[3:], log="top.err", stdout=out)
        paced = Transfer.tcp_paced(site, address, 2000, 200, connections=2, size=1000)

        wait_until("ten views of a flow that sends",
                   lambda: sum(bool(d["interval_ns"] and d["flows"]) for d in documents(output)) >= 10, 30)
        paced.another()
        wait_until("both flows in one view", lambda: any(len(d["flows"]) == 2 for d in documents(output)), 30)
        paced.end_early()
        assert Transfer.tcp(site, address, BYTES, from_port=40_000).finish() == BYTES
        assert ping.stop() == 0, ping.process.text()
        wait_until("top has ended", lambda: not top.running(), 30)
        assert top.stop() == 0, top.text()

        live = documents(output)
        last, before = live[-1], {}
        for document in live[:-1]:  # each pace is what came since the view before
            for flow in document["flows"]:
                counts, key = flow["forward"], (flow["port_a"], flow["port_b"])
                since = counts["interval"]["payload_bytes"]
                assert since == counts["payload_bytes"] - before.get(key, 0), (flow, before)
                before[key] = counts["payload_bytes"]
                if document["interval_ns"]:
                    pace = since * 8e9 / document["interval_ns"]
                    assert abs(pace - counts["interval"]["bits_per_s"]) <= pace / 1e6, flow
        assert all(d["schema"] == "fieldline.top/1" and d["run"] == run for d in live)
        assert last["ended"] and last["complete"] and not any(d["ended"] for d in live[:-1]), last["incomplete"]
        assert (last["forward"]["at"], last["reverse"]["at"]) == ("s1", "s2"), last
        once = json.loads(site.fieldline("top", run, "--once", "--json").stdout)
        assert once == last, "the totals of a finished run are those that were seen live"
        lost = collections.Counter(p.sport for p in read_pcap(site.env["INJECTED_l1_fwd"]) if p.protocol == 6)
        flows = port_of(last)
        assert len(flows) == 3 and flows[40_000]["forward"]["unique_bytes"] == BYTES, flows.keys()
        assert lost[40_000] > 0 and {port: flow["forward"]["lost"][1] for port, flow in flows.items()} == {
            port: lost[port] for port in flows}, lost
        assert flows[40_000]["forward"]["retransmitted_packets"] >= lost[40_000]
        assert flows[40_000]["forward"]["rtt"]["min_ns"] > 6_000_000
        table = site.fieldline("top", run).stdout
        assert "LOST -> before s1 / s1 - s2 / after s2" in table, table
        assert all(len(line) <= 100 for line in table.splitlines()), table
        assert "100ms to 1h" in site.fieldline("top", run, "--interval", "1ms", check=False).stderr
        print(f"{len(live)} views\n{table}", flush=True)
        estimated(site, address)
        counted(site, address)
    finally:
        site.close()
    return 0


sys.exit(main())
