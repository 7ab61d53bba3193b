#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Soft state: 60 s with no hand on any sensor, a lost pulse leaves no gap, ICMP switches on the way back, silence ends."""
import sys
import time

from site_lab import Site, Transfer, skip_unless_possible, wait_until


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
    sent = 5500
    transfer = Transfer.udp(site, address, sent, per_second=100)
    swallow_one_pulse(site)
    transfer.finish(90)
    seen = [p for p in capture.stop()["fwd"] if p.dport == 20000]
    run = ping.run()
    ping.wait(90)
    report = site.path(run)
    assert len(seen) == sent
    for point in report["forward"]["points"]:
        assert point["recorded"] == sent, (point, sent)
    assert report["complete"], report["incomplete"]
    print(f"{time.monotonic() - begin:.0f} s, a pulse lost, no packet missed", flush=True)


def echo_reply_switches_on_the_way_back(site):
    ping = site.ping(site.env["ADDR_b"], "--icmp", "--flow", "udp:20000", "--for", "20s")
    Transfer.udp(site, site.env["ADDR_b"], 500, per_second=1000).finish()
    run = ping.run()
    assert ping.stop() == 0
    duplicates = site.refusals("s1")["duplicate"]
    assert duplicates > 0, "the reply carries the same trigger past the sensor"
    assert site.path(run)["forward"]["points"][0]["recorded"] == 500
    print(f"ICMP: activated, {duplicates} duplicates counted", flush=True)


def silence_ends(site):
    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:20000", "--for", "60s")
    run = ping.run()
    ping.process.popen.kill()
    ping.process.popen.wait()

    def off():
        return all(s["runs"] == 0 for s in site.status()["sensors"])
    wait_until("the sensors switch off by themselves", off, 20)
    assert site.path(run)["forward"]["points"] == [] or site.path(run)["complete"]
    print("silence: switched off", flush=True)


def main():
    skip_unless_possible()
    site = Site("soft", "--sensors", "2")
    site.start()
    run_of_sixty_seconds(site)
    echo_reply_switches_on_the_way_back(site)
    silence_ends(site)
    return 0


sys.exit(main())
