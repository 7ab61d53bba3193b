#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""After an outage that went to the spool's disk, over a link that takes seconds for what was spooled: live records are in
the archive while the backlog is still under way, and in the end everything is there once, counted in two sessions."""
import collections
import json
import subprocess
import sys

from packets import read_items, read_pcapng
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

BACKLOG, LIVE, PORT = 12000, 400, 20000


def main():
    skip_unless_possible()
    site = Site("backlog", "--sensors", "1")
    site.start(allow='hosts = ["10.0.0.0/8"]\nmax_snaplen = 512',
               sensor_extra=f'spool_mib = 1\nspool_disk_mib = 32\nspool_directory = "{site.folder}/spool"')

    def sensor():
        return next((s for s in site.status()["sensors"] if s["sensor"] == "s1"), None)

    def send(count, rate):
        Transfer.udp(site, site.env["ADDR_b"], count, per_second=rate, first=PORT, size=500).finish()

    ping = site.ping(site.env["ADDR_b"], "--flow", f"udp:{PORT}", "--snaplen", "512", "--for", "120s")
    run = ping.run()
    first = wait_until("the sensor's status", sensor)["session"]
    capture = site.tap_capture("s1")
    link = ["ip", "-n", site.env["NETNS_s1"].rsplit("/", 1)[1], "link", "set", "mgmt"]
    subprocess.run([*link, "down"], check=True)
    send(BACKLOG, 6000)
    shape = ["tc", "qdisc", "add", "dev", "mgmt", "root", "tbf", "rate", "6mbit", "burst", "32kb", "limit", "200kb"]
    site.run("s1", *shape)
    subprocess.run([*link, "up"], check=True)

    def split():
        told = sensor()
        return told if told and told["session"] != first and told["rests"] else None
    told = wait_until("the backlog is the rest of a closed session", split, 60)
    assert told["rests"][0]["session"] == first, told["rests"]
    before = told["stream"]["offered"]
    send(LIVE, 2000)

    def overtaken():
        now = sensor()
        if not now or not now["rests"] or now["stream"]["acknowledged"] < before + LIVE:
            return None
        return now["rests"][0]["items"]
    waiting = wait_until("live records are stored while the backlog waits", overtaken, 30)
    site.run("s1", "tc", "qdisc", "del", "dev", "mgmt", "root")
    seen = [p for p in capture.stop()["fwd"] if p.protocol == 17 and p.dport == PORT]
    assert ping.stop() == 0, ping.process.text()

    file = site.folder / "run.pcapng"
    site.fieldline("query", run, "-o", file)
    numbers = collections.defaultdict(list)
    for session, number in read_items(file):
        numbers[session].append(number)
    assert len(numbers) == 2 and first in numbers, list(numbers)
    for session, have in numbers.items():
        assert len(have) == len(set(have)), f"session {session}: an item stands twice"
    stored = collections.Counter(p.identity() for origin, p in read_pcapng(file))
    assert stored == collections.Counter(p.identity() for p in seen), (sum(stored.values()), len(seen))

    report = json.loads(site.fieldline("coverage", run, "--json").stdout)
    point = next(p for p in report["points"] if p["direction"] == "forward")
    assert report["complete"] and point["seen"] == point["recorded"] == len(seen), (report["incomplete"], point)
    runs = json.loads(site.fieldline("runs", "--json").stdout)["runs"]
    assert next(r for r in runs if r["run"] == run)["complete"]
    wait_until("nothing is left of the closed session", lambda: sensor()["rests"] == [])
    assert not list((site.folder / "spool").glob("*.spool"))
    print(f"{LIVE} live records stored while {waiting} items of the backlog waited; {len(seen)} of {len(seen)} in the end")
    return 0


sys.exit(main())
