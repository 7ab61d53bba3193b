#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""For each vantage point and direction: headers in the archive + each counted drop = what tcpdump wrote.

tcpdump stands on the router's end of the tap veth (behind the classifier nothing is left to see).
"""
import signal
import sys

from multiset import compare
from site_lab import Site, skip_unless_possible
from transfer import Transfer


def one_flow(site, version, protocol):
    address = site.env["ADDR_b" if version == 4 else "ADDR6_b"]
    print(f"IPv{version} {protocol}, one flow", flush=True)
    port = 5201 if protocol == "tcp" else 20000
    ping = site.ping(address, "--flow", f"{protocol}:{port}", "--for", "60s")
    captures = {s: site.tap_capture(s) for s in site.sensors}
    if protocol == "tcp":
        assert Transfer.tcp(site, address, 8 << 20).finish() == 8 << 20
    else:
        assert Transfer.udp(site, address, 4000).finish() == 4000
    captured = {s: c.stop() for s, c in captures.items()}
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    compare(site, [run], captured, lambda p: p.protocol == (6 if protocol == "tcp" else 17) and port in (p.sport, p.dport))


def five_hundred(site, version, protocol):
    """500 exact flows in 16 runs, 500 others beside them."""
    print(f"IPv{version} {protocol}, 500 activated flows among 500 others", flush=True)
    a, b = (site.env[f"ADDR{'' if version == 4 else '6'}_{host}"] for host in "ab")
    plain, (a, b) = b, (a, b) if version == 4 else (f"[{a}]", f"[{b}]")
    tcp = protocol == "tcp"
    pings = []
    for first in range(20000, 20500, 32):
        flows = []
        for port in range(first, min(first + 32, 20500)):
            flows += ["--flow", f"{protocol}:{a}:{port}-{b}:{5201 if tcp else port}"]
        pings.append(site.ping(plain, *flows, "--for", "90s", wait=False))
    for ping in pings:
        ping.wait_activated(len(site.sensors))
    captures = {s: site.tap_capture(s) for s in site.sensors}
    if tcp:
        assert Transfer.tcp_many(site, plain, 1000, 3000).finish() == 3000 * 1000
    else:
        # The receiver may lose some behind the last tap; what counts is what passed the taps.
        got = Transfer.udp(site, plain, 20000, per_second=8000, first=20000, ports=1000).finish()
        print(f"  20000 sent, the receiver read {got}", flush=True)
    captured = {s: c.stop() for s, c in captures.items()}
    runs = [ping.run() for ping in pings]
    for ping in pings:
        ping.process.popen.send_signal(signal.SIGINT)
    for ping in pings:
        assert ping.wait(30) == 0, ping.process.text()  # another signal would end its wait for final counts
    activated = range(20000, 20500)
    compare(site, runs, captured, lambda p: p.protocol == (6 if tcp else 17) and (
        p.sport in activated or p.dport in activated))


def main():
    skip_unless_possible()
    site = Site("evidence", "--sensors", "2", "--ipv6")
    site.start()
    for version in (4, 6):
        for protocol in ("tcp", "udp"):
            one_flow(site, version, protocol)
    for version, protocol in ((4, "udp"), (4, "tcp"), (6, "tcp")):
        five_hundred(site, version, protocol)
    site.lab("drops")  # fails if the lab itself lost a packet
    return 0


sys.exit(main())
