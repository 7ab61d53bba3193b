#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ARestartIsCalledLoss: the last sensor of a path is stopped in an orderly way in the middle of a run, and started again.
All that came by meanwhile arrived, and none of it is called lost: it is undecided, and coverage says when the sensor was off
and why."""
import json
import sys
import time

from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

PORT, COUNT, RATE = 20000, 12000, 1000


def restarted(site, *more):
    """The run in whose middle s2 was off, and when: about to stop, stopped, about to start."""
    ping = site.ping(site.env["ADDR_b"], "--flow", f"udp:{PORT}", "--for", "120s", *more)
    run = ping.run()
    transfer = Transfer.udp(site, site.env["ADDR_b"], COUNT, per_second=RATE, first=PORT)
    begin = site.sent("r1", "t1fwd")
    wait_until("both sensors see it", lambda: site.sent("r1", "t1fwd") > begin + RATE)
    times = [time.time_ns()]
    site.daemons["s2"].stop()
    times.append(time.time_ns())
    before = site.sent("r1", "t1fwd")
    wait_until("enough came by", lambda: site.sent("r1", "t1fwd") > before + RATE // 2)
    times.append(time.time_ns())
    site.start_daemon("s2")
    assert transfer.finish() == COUNT, "the path itself lost packets"
    assert ping.stop() == 0, ping.process.text()

    def over():
        runs = json.loads(site.fieldline("runs", "--json").stdout)["runs"]
        return next(known["complete"] for known in runs if known["run"] == run)
    wait_until("the run is over", over)
    return run, *times


def inner(report):
    return next(s for s in report["forward"]["sections"] if (s["from"], s["to"]) == ("s1", "s2"))


def main():
    skip_unless_possible()
    site = Site("restart", "--sensors", "2")
    site.start()
    run, stopped_ns, off_ns, started_ns = restarted(site)

    report = site.path(run)
    section = inner(report)
    first, last = report["forward"]["points"]
    missed = first["recorded"] - last["recorded"]
    assert first["recorded"] == COUNT and missed >= RATE // 2, (first, last)
    assert section["lost"] == 0 and section["undecided"] == missed, (section["lost"], section["undecided"], missed)
    assert any("s2 was off (shutdown) from" in line for line in report["incomplete"]), report["incomplete"]

    done = site.fieldline("coverage", run, "--json", check=False)
    gaps = json.loads(done.stdout)["gaps"]
    assert done.returncode == 5 and len(gaps) == 1, gaps
    gap = gaps[0]
    assert (gap["sensor"], gap["what"], gap["cause"]) == ("s2", "blind", "shutdown"), gap
    assert stopped_ns <= gap["from_ns"] <= off_ns and started_ns <= gap["until_ns"] <= started_ns + 10e9, gap
    assert "gap: s2 was off (shutdown) from" in site.fieldline("coverage", run, check=False).stdout

    counted = inner(site.path(restarted(site, "--count")[0]))
    assert counted["lost"] is None and "s2 was off in between" in counted["note"], counted
    site.lab("drops")
    print(f"{missed} packets came by while s2 was off: none is called lost, and the time is told")
    return 0


sys.exit(main())
