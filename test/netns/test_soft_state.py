#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Soft state: 60 s with no hand on any sensor, a lost pulse leaves no gap, ICMP switches on the way back, silence ends."""
import sys
import time

from packets import read_pcapng
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer


def swallow_one_pulse(site):
    """Sends a's triggers into a hole until one is in it; a rule of the path, the sender does not notice."""
    site.run("a", "ip", "link", "add", "hole", "type", "veth", "peer", "name", "hole-end")
    site.run("a", "ip", "link", "set", "hole", "up")
    site.run("a", "ip", "link", "set", "hole-end", "up")
    site.run("a", "tc", "qdisc", "add", "dev", "l0", "clsact")
    site.run("a", "tc", "filter", "add", "dev", "l0", "egress", "protocol", "ip", "u32", "match", "ip", "protocol", "17",
             "0xff", "match", "ip", "dport", "8620", "0xffff", "action", "mirred", "egress", "redirect", "dev", "hole")
    before = site.sent("a", "hole")
    wait_until("a pulse is in the hole", lambda: site.sent("a", "hole") > before)
    site.run("a", "tc", "qdisc", "del", "dev", "l0", "clsact")


def run_of_sixty_seconds(site):
    """A pulse is swallowed on the way, in front of the first sensor; the capture has no gap."""
    address = site.env["ADDR_b"]
    ping = site.ping(address, "--flow", "udp:20000", "--for", "60s")
    capture = site.tap_capture("s1")
    begin = time.monotonic()
    sent = 5200  # 52 s: the grant holds for 60
    transfer = Transfer.udp(site, address, sent, per_second=100)
    swallow_one_pulse(site)
    transfer.finish(90)
    seen = [p for p in capture.stop()["fwd"] if p.dport == 20000]
    run = ping.run()
    ping.wait(90)
    report = site.path(run)
    # What the sender could not send on a busy machine did not pass the taps; what passed is recorded, all of it.
    assert len(seen) > 0.9 * sent, (len(seen), sent)
    for point in report["forward"]["points"]:
        assert point["recorded"] == len(seen), (point, len(seen))
    assert report["complete"], report["incomplete"]
    print(f"{time.monotonic() - begin:.0f} s, a pulse lost, no packet missed", flush=True)


def repeats_are_counted(site):
    """A sensor that sees request and reply is switched on once; the reply is a duplicate."""
    ping = site.ping(site.env["ADDR_b"], "--icmp", "--flow", "udp:20000", "--for", "20s")
    Transfer.udp(site, site.env["ADDR_b"], 500, per_second=1000).finish()
    run = ping.run()
    assert ping.stop() == 0
    # The reply carries the same trigger past the sensor; a status is up to a second old.
    duplicates = wait_until("duplicates are counted", lambda: site.refusals("s1").get("duplicate"), 10)
    assert site.path(run)["forward"]["points"][0]["recorded"] == 500
    print(f"ICMP: activated, {duplicates} duplicates counted", flush=True)


class WayBackOnly:
    """s2 is on the way from b to a alone, as where the two ways differ: its tap gets no copies of the other."""

    def __init__(self, site):
        self.site, self.box, self.link = site, site.env["TAP_s2_BOX"], site.env["TAP_s2_LINK"]
        assert site.env["TAP_s2_END"] == "up", "what leaves the router is not the way from a to b"

    def __enter__(self):
        self.site.run(self.box, "tc", "filter", "del", "dev", self.link, "egress")
        self.before = self.copies()
        return self

    def copies(self):
        return self.site.sent(self.box, self.site.env["TAP_s2_FWD"])

    def __exit__(self, *error):
        self.site.run(self.box, "tc", "filter", "add", "dev", self.link, "egress", "protocol", "all", "prio", "1", "u32",
                      "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", self.site.env["TAP_s2_FWD"])


def echo_reply_switches_on_the_way_back(site, version):
    address = site.env["ADDR_b" if version == 4 else "ADDR6_b"]
    with WayBackOnly(site) as way:
        capture = site.tap_capture("s2")
        ping = site.ping(address, "--icmp", "--flow", "tcp:5201", "--for", "60s")
        assert Transfer.tcp(site, address, 4 << 20).finish() == 4 << 20
        run = ping.run()
        assert ping.stop() == 0, ping.process.text()
        seen = capture.stop()
        assert way.copies() == way.before and not seen["fwd"], "s2 saw the way from a to b: this proves nothing"
    acknowledgements = sum(1 for p in seen["rev"] if p.protocol == 6 and p.sport == 5201)
    report = site.path(run)
    forward, back = ({p["sensor"]: p["recorded"] for p in report[way]["points"]} for way in ("forward", "reverse"))
    assert set(forward) == {"s1"}, forward
    assert set(back) == {"s1", "s2"} and back["s2"] == acknowledgements > 0, (back, acknowledgements)
    assert report["complete"], report["incomplete"]
    print(f"ICMP over IPv{version}: the reply alone switched s2 on, {acknowledgements} packets of the way back", flush=True)


def silence_ends(site):
    """Traffic goes on when the pulses stop: recorded to the last pulse's end, not beyond."""
    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:20000", "--for", "60s")
    run = ping.run()
    capture = site.tap_capture("s1")
    transfer = Transfer.udp(site, site.env["ADDR_b"], 6000, per_second=100)
    device = site.env["TAP_s1_FWD"]
    first = site.sent("r1", device)
    wait_until("traffic flows", lambda: site.sent("r1", device) > first + 50)
    ping.process.popen.kill()
    ping.process.popen.wait()
    end = [e for e in ping.events() if e["event"] == "pulse"][-1]["at_ns"] + 10 * 10**9

    def off():
        sensors = site.status()["sensors"]
        return len(sensors) == 2 and all(s["runs"] == 0 for s in sensors)
    wait_until("the sensors switch off by themselves", off, 20)
    last = site.sent("r1", device)
    wait_until("traffic goes on", lambda: site.sent("r1", device) > last + 200)  # a second past the margin
    transfer.end_early()
    seen = [p.timestamp_ns for p in capture.stop()["fwd"] if p.dport == 20000]
    report = wait_until("final counts", lambda: site.path(run) if site.path(run)["complete"] else None)
    file = site.folder / "silence.pcapng"
    site.fieldline("query", run, "--vantage", "s1:fwd", "-o", file)
    recorded = [packet.timestamp_ns for _, packet in read_pcapng(file)]
    margin = 10**8  # the pulse's own way, and tcpdump's clock reading
    assert sum(t < end - margin for t in seen) <= len(recorded) <= sum(t < end + margin for t in seen), (
        len(recorded), len(seen))
    assert sum(t > end + margin for t in seen) >= 100, "nothing was sent after the end"
    assert max(recorded) < end + margin, "recorded past the deadline"
    assert [p["recorded"] for p in report["forward"]["points"]][0] == len(recorded) > 0
    print(f"silence: {len(recorded)} of {len(seen)} packets recorded, the last "
          f"{(end - max(recorded)) / 1e6:.0f} ms before the last pulse's end", flush=True)


def main():
    skip_unless_possible()
    site = Site("soft", "--sensors", "2", "--ipv6")
    site.start()
    run_of_sixty_seconds(site)
    repeats_are_counted(site)
    for version in (4, 6):
        echo_reply_switches_on_the_way_back(site, version)
    silence_ends(site)
    return 0


sys.exit(main())
