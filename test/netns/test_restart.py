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

PORT, COUNT, RATE = 20000, 6000, 1000


def main():
    skip_unless_possible()
    site = Site("restart", "--sensors", "2")
    site.start()
    ping = site.ping(site.env["ADDR_b"], "--flow", f"udp:{PORT}", "--for", "120s")
    transfer = Transfer.udp(site, site.env["ADDR_b"], COUNT, per_second=RATE, first=PORT)

    def offered():
        return {told["sensor"]: told["stream"]["offered"] for told in site.status()["sensors"]}
    wait_until("both sensors record", lambda: min(offered().get(name, 0) for name in ("s1", "s2")) > RATE)
    stopped_ns = time.time_ns()
    site.daemons["s2"].stop()
    off_ns, before = time.time_ns(), offered()["s1"]
    wait_until("enough came by", lambda: offered()["s1"] > before + RATE)
    started_ns = time.time_ns()
    site.start_daemon("s2")
    assert transfer.finish() == COUNT, "the path itself lost packets"
    assert ping.stop() == 0, ping.process.text()
    run = ping.run()
    wait_until("the run is over", lambda: json.loads(site.fieldline("runs", "--json").stdout)["runs"][0]["complete"])

    report = site.path(run)
    section = next(s for s in report["forward"]["sections"] if (s["from"], s["to"]) == ("s1", "s2"))
    first, last = report["forward"]["points"]
    missed = first["recorded"] - last["recorded"]
    assert first["recorded"] == COUNT and missed >= RATE, (first, last)
    assert section["lost"] == 0 and section["undecided"] == missed, (section["lost"], section["undecided"], missed)
    assert any("s2 was off (shutdown) from" in line for line in report["incomplete"]), report["incomplete"]

    done = site.fieldline("coverage", run, "--json", check=False)
    gaps = json.loads(done.stdout)["gaps"]
    assert done.returncode == 5 and len(gaps) == 1, gaps
    gap = gaps[0]
    assert (gap["sensor"], gap["what"], gap["cause"]) == ("s2", "blind", "shutdown"), gap
    assert stopped_ns <= gap["from_ns"] <= off_ns and started_ns <= gap["until_ns"] <= started_ns + 10e9, gap
    assert "gap: s2 was off (shutdown) from" in site.fieldline("coverage", run, check=False).stdout
    print(f"{missed} packets came by while s2 was off: none is called lost, and the time is told")
    return 0


sys.exit(main())
