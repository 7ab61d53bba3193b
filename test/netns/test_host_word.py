#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the sender's own records add to `retrans`, by eBPF: segments that its queueing discipline dropped behind TCP's back
never left the host, and what was sent again for a lost tail is a probe."""
import json
import sys

from capture import kernel_retransmits
from site_lab import Site, skip_unless_possible
from transfer import Transfer

SEGMENT = 1448


def verdicts(site, ping):
    run = ping.run()
    assert ping.stop() == 0, ping.process.text()
    report = json.loads(site.fieldline("retrans", run, "--json").stdout)
    text = site.fieldline("retrans", run).stdout
    print(text.splitlines()[0], flush=True)
    return [v for v in report["retransmissions"] if v["direction"] == "forward"], report["totals"], text


def never_left():
    """A token bucket cuts super-packets that are longer than its burst, and says nothing of the pieces for which it has no
    room: the network loses nothing."""
    site = Site("never-left", "--sensors", "2", "--offload", "--delay", "l1:5")
    site.start(hosts=("a",))
    site.run("a", "tc", "qdisc", "add", "dev", site.device_of("a"), "root", "tbf", "rate", "30mbit", "burst", "2kb", "limit",
             "9kb")
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5201", "--for", "60s")
    before = kernel_retransmits(site)
    assert Transfer.tcp(site, site.env["ADDR_b"], 3 << 20).finish() == 3 << 20
    again = kernel_retransmits(site) - before
    queue = json.loads(site.run("a", "tc", "-j", "-s", "qdisc", "show", "dev", site.device_of("a"), "root").stdout)[0]
    found, totals, text = verdicts(site, ping)
    assert 0 < len(found) <= again, (len(found), again)
    assert 0 < totals["never_left"] <= queue["drops"], (totals, queue)
    assert totals["lost"] == totals["undecided"] == 0, totals
    for verdict in found:
        assert verdict["cause"] in ("never_left", "spurious") and verdict["section"] is None, verdict
        assert verdict["cause"] == "spurious" or verdict["why"] == "the device of a did not send it before", verdict
    assert "never left the host" in text, text
    site.lab("drops")
    site.close()


def probe():
    """The last segment of a write is lost, and nothing follows it: no acknowledgement tells."""
    site = Site("probe", "--sensors", "2", "--drop", "l1:@9", "--delay", "l1:5")
    site.start(hosts=("a",))
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5201", "--for", "60s")
    assert Transfer.tcp_paced(site, site.env["ADDR_b"], 2, 1, size=9 * SEGMENT).finish() == 18 * SEGMENT
    found, totals, text = verdicts(site, ping)
    assert totals["lost"] >= 1 and found[0]["cause"] == "lost", totals
    assert found[0]["how"] == "probe" and found[0]["section"] == {"from": "s1", "to": "s2"}, found
    assert " probe " in text, text
    site.close()


def main():
    skip_unless_possible()
    never_left()
    probe()
    return 0


sys.exit(main())
