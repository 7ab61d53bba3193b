#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two runs on one live flow, one beginning and ending within the other: each has its own counts, and they balance."""
import sys

from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer


def main():
    skip_unless_possible()
    site = Site("overlap", "--sensors", "1")
    site.start()
    address = site.env["ADDR_b"]
    outer = site.ping(address, "--flow", "udp:20000", "--for", "60s")
    count = 12000
    transfer = Transfer.udp(site, address, count, per_second=2000)
    begun = site.sent("r1", "l1")
    wait_until("traffic flows", lambda: site.sent("r1", "l1") > begun + 1000)
    inner = site.ping(address, "--flow", "udp:20000", "--for", "60s")
    at = site.sent("r1", "l1")
    wait_until("both record", lambda: site.sent("r1", "l1") > at + 3000)
    assert inner.stop() == 0, inner.process.text()
    assert transfer.client.running(), "the inner run did not end within the transfer"
    transfer.finish()
    assert outer.stop() == 0, outer.process.text()
    for name, ping in (("outer", outer), ("inner", inner)):
        report = site.path(ping.run())
        point = report["forward"]["points"][0]
        print(f"{name}: seen {point['seen']}, recorded {point['recorded']}, {report['incomplete'] or 'complete'}", flush=True)
        assert point["seen"] == point["recorded"] and report["complete"]
        assert point["recorded"] == count if ping is outer else 2500 < point["recorded"] < count - 2000
    return 0


sys.exit(main())
