#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Soft state: 60 s with no hand on any sensor, a lost pulse leaves no gap, ICMP switches on the way back, silence ends."""
import sys
import time

from site_lab import Site, Transfer, read_pcap, skip_unless_possible, wait_until


def run_of_sixty_seconds(site):
    """One pulse is dropped on the way; the capture has no gap."""
    address = site.env["ADDR_b"]
    ping = site.ping(address, "--flow", "udp:20000", "--for", "60s")
    capture = site.tap_capture("s1")
    begin = time.monotonic()
    sent = 5500
    Transfer.udp(site, address, sent, per_second=100).finish(90)
    seen = [p for p in capture.stop()["fwd"] if p.dport == 20000]
    run = ping.run()
    ping.wait(90)
    lost = [p for p in read_pcap(site.env["INJECTED_l0_fwd"]) if p.is_trigger]
    assert lost, "no pulse was dropped"
    report = site.path(run)
    assert len(seen) == sent
    for point in report["forward"]["points"]:
        assert point["recorded"] == sent, (point, sent)
    assert report["complete"], report["incomplete"]
    print(f"{time.monotonic() - begin:.0f} s, {len(lost)} pulses lost, no packet missed", flush=True)


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
    # The 9th IP packet on l0 after the lab's own first pings is one of the run's pulses; asserted from the log.
    site = Site("soft", "--sensors", "2", "--drop", "l0:@9:any")
    site.start()
    run_of_sixty_seconds(site)
    echo_reply_switches_on_the_way_back(site)
    silence_ends(site)
    return 0


sys.exit(main())
