#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline ping HOST` without --flow: it finds the sockets to HOST, follows those that come later, and says so where
there is none."""
import sys

from packets import read_pcapng
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer


def no_socket(site):
    done = site.fieldline("ping", site.env["ADDR_b"], "--for", "5s", check=False)
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert "no connected TCP or UDP socket" in done.stderr and "--flow" in done.stderr, done.stderr
    print("no socket: exit 4, and what to do", flush=True)


def grants(ping):
    return [event for event in ping.events() if event["event"] == "granted"]


def activated(ping, run, sensors):
    started = {e["sensor"] for e in ping.events()
               if e["event"] == "activation" and e["state"] == "started" and e["run"] == run}
    return len(started) == sensors


def local_port(site, process):
    """Of the sender's connection, as ss tells."""
    for line in site.run("a", "ss", "-Htnp", "dst", site.env["ADDR_b"]).stdout.splitlines():
        if f"pid={process.popen.pid}," in line:
            return int(line.split()[3].rsplit(":", 1)[1])
    return None


def check_run(site, granted, process, port, seen):
    """This socket's packets alone, and all that tcpdump has from when the run was on."""
    assert granted["grant"]["pairs"] == [[port, 5201]] and granted["grant"]["protocol"] == 6, granted
    assert any(owner.startswith(f"{process.popen.pid} ") for owner in granted["owners"]), granted["owners"]
    report = site.path(granted["run"])
    assert report["complete"], report["incomplete"]
    wanted = sum(1 for p in seen if p.protocol == 6 and p.sport == port)
    for point in report["forward"]["points"]:
        assert point["recorded"] >= wanted > 100, (point["sensor"], point["recorded"], wanted)
    file = site.folder / f"{granted['run']}.pcapng"
    site.fieldline("query", granted["run"], "-o", file)
    assert all({packet.sport, packet.dport} == {port, 5201} for _, packet in read_pcapng(file)), "another flow's packets"
    assert {p["sensor"] for p in report["forward"]["points"]} == set(site.sensors)
    return wanted


def sockets_are_found_and_followed(site):
    address, sensors = site.env["ADDR_b"], len(site.sensors)
    first = Transfer.tcp_paced(site, address, connections=2, count=20000, per_second=200)
    port = wait_until("a connection", lambda: local_port(site, first.client))
    ping = site.ping(address, "--for", "60s")
    assert len(grants(ping)) == 1, grants(ping)
    second = first.another()
    wait_until("the new socket's grant", lambda: len(grants(ping)) == 2, 10)
    found, followed = grants(ping)
    assert found["run"] != followed["run"]
    wait_until("the new run is on", lambda: activated(ping, followed["run"], sensors), 10)
    later_port = local_port(site, second)
    capture = site.tap_capture("s1")
    at = site.sent("a", "l0")
    wait_until("both send", lambda: site.sent("a", "l0") > at + 500)
    seen = capture.stop()["fwd"]
    first.end_early()
    assert ping.stop() == 0, ping.process.text()
    assert len(grants(ping)) == 2, "a grant too many"
    counts = [check_run(site, found, first.client, port, seen), check_run(site, followed, second, later_port, seen)]
    assert followed["grant"]["not_after_ns"] == found["grant"]["not_after_ns"], "the followed one ends with the first"
    print(f"sockets: found one and followed one, {counts} packets seen beside tcpdump", flush=True)


def main():
    skip_unless_possible()
    site = Site("sockets", "--sensors", "2")
    site.start()
    no_socket(site)
    sockets_are_found_and_followed(site)
    return 0


sys.exit(main())
