#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""With no activation fieldlined uses under 1 % of a core while 100,000 packets/s of others' traffic pass its tap.

CPU time of the process as the kernel accounts it, not wall time: what else the machine does leaves it alone."""
import os
import sys

from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def port_packets(site):
    return site.status()["sensors"][0]["ports"][0]["counters"]["packets"]


def main():
    skip_unless_possible()
    site = Site("idle", "--sensors", "1")
    site.start()
    pid = site.daemons["s1"].popen.pid
    before, packets = cpu_seconds(pid), port_packets(site)
    blast = site.spawn("r1", build_folder() / "test/support/blast", site.env["TAP_s1_FWD"], "1000000", "100000",
                       log="blast.log")
    wait_until("10 s of traffic", lambda: not blast.running(), 40)
    assert blast.stop() == 0, blast.text()
    sent, seconds = (float(word) for word in blast.text().split()[:2])
    wait_until("the sensor saw them", lambda: port_packets(site) - packets >= sent * 0.99, 10)
    used = cpu_seconds(pid) - before
    print(f"{sent:.0f} packets in {seconds:.1f} s, {port_packets(site) - packets} seen, fieldlined used "
          f"{used:.2f} s of CPU: {100 * used / seconds:.2f} %", flush=True)
    assert sent / seconds > 90000, "the load was not reached"
    assert used / seconds < 0.01
    return 0


sys.exit(main())
