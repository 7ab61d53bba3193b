#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A run whose results go to an archive of the requester's, on the host that sends the triggers: all of its records are
there and none at the site's own, where policy allows it, and after a packet of the run was seen; refused elsewhere. A run
that is counted alone gets there, too."""
import json
import subprocess
import sys

from process import wait_until
from site_lab import Ping, Site, build_folder, skip_unless_possible
from transfer import Transfer

ALLOW = 'hosts = ["10.0.0.0/8"]\narchives = [{}]'


class Private:
    """fieldlined as an archive alone on host a, by a's address on the path."""

    def __init__(self, site):
        self.site, self.folder, self.pings = site, site.folder, 0
        config = site.folder / "a.toml"
        base = (f'[archive]\naddress = "0.0.0.0"\ndirectory = "{site.folder}/private"\n'
                f'identity = "{site.folder}/private.pem"\nreaders = "{site.folder}/allowed_signers"\n')
        config.write_text(base)
        self.key = site.fingerprint(config)
        for sensor in site.sensors:
            base += f'[[archive.producer]]\nname = "{sensor}"\nkey = "{site.fingerprint(site.folder / f"{sensor}.toml")}"\n'
            # In the lab a sensor has no way to the path but its taps.
            site.run(sensor, "ip", "route", "add", site.env["ADDR_a"], "via", site.env["MGMT_a"])
        config.write_text(base)
        site.start_daemon("a")

    def cli(self, *arguments, box="a", key=None):
        return self.site.inside(box, build_folder() / "bin/fieldline", "--archive",
                                f"{self.site.env['ADDR_a']}:8621#{self.key}", "--identity", key or self.site.key, *arguments)

    def ask(self, *arguments):
        done = subprocess.run(self.cli(*arguments, "--json"), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout) if done.stdout else {}

    def complete(self, run):
        return next((r for r in self.ask("runs").get("runs", []) if r["run"] == run and r["complete"]), None)

    def ping(self, *arguments):
        """As the site's, but asked of and sent to this archive."""
        self.pings += 1
        ping = Ping(self, "a", (self.site.env["ADDR_b"], "--archive-select", "requester", *arguments),
                    f"ping-private-{self.pings}.jsonl")
        self.site.processes.append(ping.process)
        return ping


def main():
    skip_unless_possible()
    site = Site("requester", "--sensors", "2")
    site.start(allow=ALLOW.format('"own", "requester"'))
    # s2's policy does not allow it.
    config = site.folder / "s2.toml"
    config.write_text(config.read_text().replace('"own", "requester"', '"own"'))
    site.daemons["s2"].popen.send_signal(1)
    wait_until("s2 has its new policy", lambda: "reloaded trust and policy" in site.daemons["s2"].text())
    private = Private(site)

    ping = private.ping("--flow", "udp:20000", "--for", "120s")
    run = ping.run()
    wait_until("s1 has the run, s2 refuses it",
               lambda: site.refusals("s2").get("unknown_archive") and "on for" in site.daemons["s1"].text())
    assert not site.refusals("s1")["unknown_archive"]
    assert "sensor s1 connected" not in site.daemons["a"].text(), "dialled before a packet was seen"

    capture = site.tap_capture("s1")
    transfer = Transfer.udp(site, site.env["ADDR_b"], 500, per_second=500, first=20000)
    transfer.finish()
    seen = [p for p in capture.stop()["fwd"] if p.protocol == 17 and p.dport == 20000]
    ping.wait_activated(1)
    ping.stop()

    mine = wait_until("the run is in the private archive", lambda: private.complete(run))
    assert mine["records"] == len(seen) == 500 and mine["sensors"] == ["s1"], mine
    report = private.ask("coverage", run)
    assert report["complete"], report["incomplete"]

    counting = private.ping("--flow", "udp:20000", "--count", "--for", "120s")
    wait_until("s1 has the second run", lambda: site.daemons["s1"].text().count("on for") == 2)
    Transfer.udp(site, site.env["ADDR_b"], 100, per_second=500, first=20000).finish()
    counting.wait_activated(1)
    counting.stop()
    wait_until("its counts are in the private archive", lambda: private.complete(counting.run()))
    point = next(p for p in private.ask("coverage", counting.run())["points"] if p["direction"] == "forward")
    assert point["seen"] == point["sampled_out"] == 100 and point["recorded"] == 0, point

    def requesters():
        return next(s for s in site.status()["sensors"] if s["sensor"] == "s1")["requesters"]
    wait_until("status has it", lambda: requesters() == {"known": 1, "dialled": 1, "dropped_spool": 0, "given_up": 0})
    theirs = json.loads(site.fieldline("runs", "--json").stdout)["runs"]
    assert not [r for r in theirs if r["records"] or r["sensors"]], theirs
    print(f"{mine['records']} of {len(seen)} records at the requester's archive, none at the site's own")
    return 0


sys.exit(main())
