#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On each kind of port the archive has what an independent capture saw, as multisets of headers:

  a, b  in the path, offloads on: both directions, super-packets, whose segments are what TCP itself counts
  s1    four taps by native XDP, as of a LAG's members: flows are spread over them, triggers come to two
  s2    taps without native XDP (macvlan): tc ingress that consumes
and once more with packets of 9,000 bytes. A second daemon on a port is refused. Then a port is unplugged and plugged in
again.
"""
import collections
import sys

from capture import Capture
from packets import read_pcap, read_pcapng
from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

FIRST, FLOWS = 20000, 8
RATE = 2_500_000  # of each flow: a tap veth holds 256 packets, and a busy machine may let them wait for 30 ms
S1 = ["fwd", "rev", "fwd2", "rev2"]


def second_taps(site):
    """Two more taps of s1: TCP's odd ports go there, all else stays where it was."""
    for way, hook, side in (("fwd", "egress", "sport"), ("rev", "ingress", "dport")):
        near, far = f"t1{way}2", f"{way}2"
        site.run("r1", "ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns",
                 site.env["NETNS_s1"].rsplit("/", 1)[1])
        for box, device in (("r1", near), ("s1", far)):
            site.run(box, "ip", "link", "set", "dev", device, "addrgenmode", "none")
            site.run(box, "ethtool", "-K", device, *"tx off tso off gso off gro off txvlan off".split())
            site.run(box, "ip", "link", "set", "dev", device, "txqueuelen", "10000", "up")
        link = site.env["TAP_s1_LINK"]
        site.run("r1", "tc", "filter", "replace", "dev", link, hook, "protocol", "all", "prio", "2", "u32", "match", "u32",
                 "0", "0", "action", "mirred", "egress", "mirror", "dev", f"t1{way}")
        site.run("r1", "tc", "filter", "del", "dev", link, hook, "protocol", "all", "prio", "1")
        site.run("r1", "tc", "filter", "add", "dev", link, hook, "protocol", "ip", "prio", "1", "u32", "match", "ip",
                 "protocol", "6", "0xff", "match", "ip", side, "1", "0x1", "action", "mirred", "egress", "mirror", "dev", near)
        site.env[f"TAP_s1_{way.upper()}2"] = near


def taps_without_xdp(site):
    for way in ("fwd", "rev"):
        site.run("s2", "ip", "link", "add", "link", way, "name", f"m{way}", "type", "macvlan", "mode", "passthru", "nopromisc")
        site.run("s2", "ip", "link", "set", "dev", f"m{way}", "up")


def records_of(site, run):
    file = site.folder / f"{run}.pcapng"
    site.fieldline("query", run, "-o", file)
    archived = collections.defaultdict(list)
    for origin, packet in read_pcapng(file):
        archived[origin["sensor"], origin["interface"]].append(packet)
    return archived


def multiset(packets):
    return collections.Counter((p.headers(), p.wire_len) for p in packets)


def ours(packet):
    return packet.protocol == 6 and {packet.sport, packet.dport} & set(range(FIRST, FIRST + FLOWS))


def require_same(what, seen, archived):
    seen, got = multiset(filter(ours, seen)), multiset(archived)
    print(f"  {what}: captured {sum(seen.values())}, archive {sum(got.values())}", flush=True)
    assert seen and seen == got, f"{what}: {sum((seen - got).values())} missing, {sum((got - seen).values())} too many"


def recorded(site, most, size):
    """One run with a transfer on each flow at once; its records are compared at every port."""
    a, b = site.env["ADDR_a"], site.env["ADDR_b"]
    flows = [x for port in range(FIRST, FIRST + FLOWS) for x in ("--flow", f"tcp:{a}:{port}-{b}:5201")]
    ping = site.ping(b, *flows, "--for", "90s")
    taps = {"s1": site.tap_capture("s1", S1), "s2": site.tap_capture("s2")}
    hosts = {host: Capture(site, host, site.device_of(host)) for host in "ab"}
    clients = []
    server = site.spawn("b", sys.executable, Transfer.SCRIPT, "tcp-server", 5201, FLOWS, log=f"server-{most}.log")
    wait_until("the receiver listens", lambda: "ready" in server.text())
    for port in range(FIRST, FIRST + FLOWS):
        clients.append(site.spawn("a", sys.executable, Transfer.SCRIPT, "tcp-client", b, 5201, size, port, RATE,
                                  log=f"client-{port}-{most}.log"))
    for client in (*clients, server):
        wait_until("the transfers have ended", lambda p=client: not p.running(), 60)
        assert client.stop() == 0, client.text()
    site.lab("drops")
    tapped = {sensor: capture.stop() for sensor, capture in taps.items()}
    captured = {host: read_pcap(capture.stop()) for host, capture in hosts.items()}
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    archived = records_of(site, run)

    for way in S1:
        require_same(f"s1 {way}", tapped["s1"][way], archived["s1", way])
    for way in ("fwd", "rev"):
        require_same(f"s2 m{way}", tapped["s2"][way], archived["s2", f"m{way}"])
    for host, packets in captured.items():
        device = site.device_of(host)
        for way in ("in", "out"):
            from_here = [p for p in packets if (str(p.source) == site.env[f"ADDR_{host}"]) == (way == "out")]
            require_same(f"{host} {device} {way}", from_here, archived[host, f"{device} {way}"])
    assert {p.wire_len for p in archived["s1", "fwd"]} >= {most}, "no full segment passed the tap"
    compare_segments(site, clients, archived)
    return run


def compare_segments(site, clients, archived):
    def segments(host, way):
        return sum(p.segments for p in archived[host, f"{site.device_of(host)} {way}"])
    out, came = (sum(int(c.text().split()[-2 + i]) for c in clients) for i in (0, 1))
    supers = sum(p.segments > 1 for p in archived["a", f"{site.device_of('a')} out"])
    print(f"  a: {segments('a', 'out')} segments out of which {supers} records are several, TCP counts {out}", flush=True)
    assert supers and segments("a", "out") == out and segments("a", "in") == came
    # What a's super-packets are on the wire, and what b's are made of.
    on_wire = sum(len(archived["s1", way]) for way in ("fwd", "fwd2"))
    assert on_wire == out == segments("b", "in"), (on_wire, out, segments("b", "in"))


def require_accounts(site, run):
    """Everybody counted what he recorded, and what is a super-packet here and single there has joined."""
    report = site.path(run)
    for point in report["forward"]["points"] + report["reverse"]["points"]:
        assert point["seen"] == point["recorded"] > 0, point
        assert not point["unjoined"], point
    assert report["complete"], report["incomplete"]
    for direction in ("forward", "reverse"):
        for section in report[direction]["sections"][1:-1]:
            assert section["lost"] == section["undecided"] == section["appeared"] == 0, (direction, section)
            assert section["delay"]["samples"] == section["packets"] > 0, (direction, section)


def require_status(site):
    ports = {(s["sensor"], p["interface"]): p for s in site.status()["sensors"] for p in s["ports"]}
    device = site.device_of("a")
    assert ports["a", f"{device} in"]["place"] == "in" and ports["a", f"{device} out"]["device"] == device
    assert ports["a", f"{device} out"]["counters"]["super_packets"] > 0
    # One port's triggers switched on all four.
    triggers = {way: ports["s1", way]["counters"]["triggers"] for way in S1}
    assert triggers["fwd"] > 0 and triggers["fwd2"] == triggers["rev2"] == 0, triggers
    assert ports["s1", "fwd2"]["kind"] == "veth" and ports["s1", "fwd2"]["attachment"] == "native XDP"
    assert ports["s2", "mfwd"]["kind"] == "macvlan" and ports["s2", "mfwd"]["attachment"] in ("tcx", "clsact")
    assert "no native XDP" in ports["s2", "mfwd"]["remark"]
    assert all(p["nic"]["dropped"] == 0 for p in ports.values() if p["place"] == "tap"), ports
    text = site.fieldline("status").stdout
    assert f"port 0 {device} in (veth, {ports['a', f'{device} in']['attachment']}): " in text, text


def second_daemon(site):
    """Whoever comes second hears which port it is, why, and what to do; the first goes on."""
    for box, port in (("s1", "port fwd: interface fwd"), ("a", f"port {site.device_of('a')} in: interface")):
        second = site.run(box, build_folder() / "bin/fieldlined", "--config", site.folder / f"{box}.toml", check=False)
        last = second.stderr.strip().splitlines()[-1]
        assert second.returncode == 1 and port in last and "another fieldlined has this port. See: ss -xap" in last, last
        assert site.daemons[box].running()


def jumbo(site):
    for box, device in [("a", "l0"), ("r1", "l0"), ("r1", "l1"), ("r2", "l1"), ("r2", "l2"), ("b", "l2")] + \
            [("r1", f"t1{way}") for way in S1] + [("s1", way) for way in S1] + \
            [("r2", f"t2{way}") for way in S1[:2]] + [("s2", way) for way in S1[:2] + ["mfwd", "mrev"]]:
        site.run(box, "ip", "link", "set", "dev", device, "mtu", "9000")


def port_of(site, sensor, name):
    return next((p for s in site.status()["sensors"] if s["sensor"] == sensor for p in s["ports"]
                 if p["interface"] == name), None)


def unplugged(site):
    """The other ports go on, the port itself does when it is back, and so do its counters."""
    before = wait_until("a status", lambda: port_of(site, "s1", "fwd2"))["counters"]["packets"]
    site.run("s1", "ip", "link", "delete", "dev", "fwd2")
    wait_until("the port is absent", lambda: port_of(site, "s1", "fwd2")["attachment"] == "")
    log = site.daemons["s1"].text()
    assert log.count("port fwd2: interface fwd2 is gone; the other ports go on") == 1, log
    assert "(veth, absent: there is no interface fwd2)" in site.fieldline("status").stdout
    link = site.env["TAP_s1_LINK"]
    site.run("r1", "ip", "link", "add", "t1fwd2", "type", "veth", "peer", "name", "fwd2", "netns",
             site.env["NETNS_s1"].rsplit("/", 1)[1])
    for box, device in (("s1", "fwd2"), ("r1", "t1fwd2")):
        site.run(box, "ip", "link", "set", "dev", device, "addrgenmode", "none")
        site.run(box, "ip", "link", "set", "dev", device, "mtu", "9000", "up")
    wait_until("the port is back", lambda: port_of(site, "s1", "fwd2")["attachment"] == "native XDP")
    site.run("r1", "tc", "filter", "del", "dev", link, "egress", "protocol", "ip", "prio", "1")
    site.run("r1", "tc", "filter", "add", "dev", link, "egress", "protocol", "ip", "prio", "1", "u32", "match", "u32", "0", "0",
             "action", "mirred", "egress", "mirror", "dev", "t1fwd2")
    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:20000", "--for", "20s")
    assert Transfer.udp(site, site.env["ADDR_b"], 500).finish() == 500
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    assert len(records_of(site, run)["s1", "fwd2"]) == 500
    wait_until("its counters go on", lambda: port_of(site, "s1", "fwd2")["counters"]["packets"] >= before + 500)


def main():
    skip_unless_possible()
    site = Site("ports", "--sensors", "2", "--offload")
    second_taps(site)
    taps_without_xdp(site)
    site.taps = {"s1": S1, "s2": ["mfwd", "mrev"]}
    site.start(in_path="ab")
    print("1,500 bytes", flush=True)
    require_accounts(site, recorded(site, 1514, 300000))
    require_status(site)
    second_daemon(site)
    print("9,000 bytes", flush=True)
    jumbo(site)
    require_accounts(site, recorded(site, 9014, 500000))
    print("unplugged", flush=True)
    unplugged(site)
    return 0


sys.exit(main())
