#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two paths of equal cost, a sensor on each: a ping from one source port switches on one of them, `--spray` both, and
says which vantage points saw triggers, the flow's packets, or both.

    a --l0-- r1 --l1 [s1]-- r2 --z-- b
             r1 ------x---- r2 --l2 [s2]-- b        back to a: l2, l1, l0

A router shares out, not a: since Linux 6.16 a host prefers the next hop on whose link the source address is.
"""
import pathlib
import subprocess
import sys

from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

PORTS = 32  # all of them on one path: once in 2^31 times


def second_path(site):
    name = {box: pathlib.Path(site.env[f"NETNS_{box}"]).name for box in ("r1", "r2", "b")}

    def link(device, up, down, net):
        subprocess.run(["ip", "link", "add", device, "netns", name[up], "type", "veth", "peer", "name", device, "netns",
                        name[down]], check=True)
        for box, end in ((up, 1), (down, 2)):
            site.run(box, "ip", "addr", "add", f"10.0.{net}.{end}/24", "dev", device)
            site.run(box, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            site.run(box, "ip", "link", "set", device, "up")

    link("x", "r1", "r2", 50)
    link("z", "r2", "b", 60)
    for box, devices in (("r1", "x"), ("r2", "xz"), ("b", "z")):
        for scope in ("all", *devices):
            site.run(box, "sysctl", "-qw", f"net.ipv4.conf.{scope}.rp_filter=0")
    site.run("r2", "ip", "route", "add", "10.0.2.2/32", "via", "10.0.60.2", "dev", "z", "table", "100")
    site.run("r2", "ip", "rule", "add", "iif", "l1", "to", "10.0.2.2", "lookup", "100")
    site.run("r1", "sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1")
    return site.run("r1", "ip", "route", "replace", "10.0.2.2/32", "nexthop", "via", "10.0.1.2", "dev", "l1", "nexthop",
                    "via", "10.0.50.2", "dev", "x", check=False)


def main():
    skip_unless_possible()
    site = Site("spray", "--sensors", "2")
    try:
        routed = second_path(site)
        if routed.returncode:
            print("SKIP: this kernel has no routes of several paths: " + routed.stderr.strip())
            return 77
        site.start()
        address = site.env["ADDR_b"]
        one = site.ping(address, "--flow", "tcp:5201", "--for", "60s", sensors=1)
        wait_until("five pulses", lambda: sum(e["event"] == "pulse" for e in one.events()) >= 5, 30)
        assert one.stop() == 0, one.process.text()
        on = {e["sensor"] for e in one.events() if e["event"] == "activation" and e["state"] == "started"}
        assert len(on) == 1 and one.events()[-1]["spray"] is None, "one source port, one path"

        ping = site.ping(address, "--flow", "tcp:5201", "--for", "60s", "--spray", PORTS)
        paced = Transfer.tcp_paced(site, address, 2000, 200)
        wait_until("packets are counted", lambda: any(
            point["recorded"] > 50 for e in ping.events() if e["event"] == "counts" for point in e["points"]), 30)
        paced.end_early()
        assert ping.stop() == 0, ping.process.text()
        summary = ping.events()[-1]
        rows = {row["vantage"]: row for row in summary["spray"]}
        assert rows.keys() == {"s1:fwd", "s1:rev", "s2:fwd", "s2:rev"}, rows
        triggers = [rows[point]["triggers"] for point in ("s1:fwd", "s2:fwd")]
        pulses = summary["runs"][0]["pulses"]
        # Each copy was seen once; after the first ending pulse there is no run to count them for.
        assert all(triggers) and (pulses - 2) * PORTS <= sum(triggers) <= pulses * PORTS, (pulses, rows)
        assert rows["s1:rev"]["triggers"] == rows["s2:rev"]["triggers"] == 0, rows
        assert sorted(rows[point]["saw"] for point in ("s1:fwd", "s2:fwd")) == ["both", "trigger"], rows
        assert rows["s1:rev"]["saw"] == rows["s2:rev"]["saw"] == "data", rows
        wait_until("copies are counted as duplicates", lambda: sum(
            site.refusals(sensor)["duplicate"] for sensor in site.sensors) >= (pulses - 2) * (PORTS - 2))

        text = site.fieldline("ping", address, "--flow", "tcp:5201", "--for", "2s", "--spray", PORTS).stdout
        assert "VANTAGE  TRIGGERS" in text and "neither" in text and "trigger\n" in text, text
        for wrong in (["--spray", "65"], ["--spray", "0"], ["--spray", "2", "--icmp"]):
            assert site.fieldline("ping", address, *wrong, check=False).returncode == 2, wrong
        print(text, flush=True)
    finally:
        site.close()
    return 0


sys.exit(main())
