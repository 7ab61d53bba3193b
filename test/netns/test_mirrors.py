#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two archives get one run: while one of them is away for longer than its spool holds, the other misses nothing, and each
says of itself what it has and what was dropped on the way to it."""
import json
import subprocess
import sys

from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

COUNT = 4000  # of about 560 bytes: twice what the spool holds


def main():
    skip_unless_possible()
    site = Site("mirrors", "--sensors", "1")
    config = site.folder / "b.toml"
    config.write_text(f'[archive]\naddress = "0.0.0.0"\ndirectory = "{site.folder}/second"\n'
                      f'identity = "{site.folder}/second.pem"\nreaders = "{site.folder}/allowed_signers"\n')
    key, address = site.fingerprint(config), f'{site.env["MGMT_b"]}:8621'
    site.write_configs(allow='hosts = ["10.0.0.0/8"]\nmax_snaplen = 512', sensor_extra="spool_mib = 1",
                       deny=f'[[sensor.archive]]\naddress = "{address}"\nkey = "{key}"\nalso = true\n')
    with open(config, "a") as text:
        text.write(f'[[archive.producer]]\nname = "s1"\nkey = "{site.fingerprint(site.folder / "s1.toml")}"\n')
    for box in ("arc", "b", "s1"):
        site.start_daemon(box)

    def second(*arguments):
        done = subprocess.run(site.inside("a", build_folder() / "bin/fieldline", "--archive", f"{address}#{key}",
                                          "--identity", site.key, *arguments, "--json"), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        return json.loads(done.stdout) if done.stdout else {}

    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:20000", "--snaplen", "512", "--for", "120s")
    run = ping.run()
    sensor = site.daemons["s1"]
    wait_until("both archives are dialled", lambda: sensor.text().count(": connected") == 2)
    away = site.daemons["b"]
    away.popen.kill()
    away.popen.wait()
    wait_until("the second one is missed", lambda: "unreachable" in sensor.text())
    Transfer.udp(site, site.env["ADDR_b"], COUNT, per_second=4000, first=20000, size=500).finish()
    site.start_daemon("b")
    wait_until("the second one is back", lambda: sensor.text().count(": connected") == 3, 30)
    ping.stop()

    def complete(runs):
        return [r for r in runs.get("runs", []) if r["run"] == run and r["complete"]]
    wait_until("the run in the first", lambda: complete(json.loads(site.fieldline("runs", "--json").stdout)))
    wait_until("the run in the second", lambda: complete(second("runs")))

    def point(report):
        return next(p for p in report["points"] if p["direction"] == "forward")
    first = json.loads(site.fieldline("coverage", run, "--json").stdout)
    assert first["complete"] and point(first)["recorded"] == COUNT, first
    other = second("coverage", run)
    theirs = point(other)
    dropped = theirs["dropped"].get("spool", 0)
    assert 0 < dropped < COUNT and theirs["recorded"] == COUNT - dropped and theirs["unaccounted"] == 0, theirs
    assert not other["complete"], other
    gaps = [g for g in other["gaps"] if g["what"] == "dropped"]
    cut_off = [g for g in other["gaps"] if g["what"] == "cut_off"]
    assert {g["cause"] for g in gaps} == {"spool"} and sum(g["count"] for g in gaps) == dropped, gaps
    assert len(cut_off) == 1 and cut_off[0]["cause"] == "unreachable", other["gaps"]
    assert all(cut_off[0]["from_ns"] <= g["from_ns"] <= g["until_ns"] <= cut_off[0]["until_ns"] for g in gaps), other["gaps"]
    assert first["gaps"] == [], first["gaps"]

    def told():
        return [(m["archive"], m["state"], m["dropped_spool"]) for s in site.status()["sensors"] for m in s["mirrors"]]
    wait_until("status tells of the mirror", lambda: told() == [(key, "connected", dropped)])
    print(f"{COUNT} records in the first, {theirs['recorded']} and {dropped} dropped by name in the second")
    return 0


sys.exit(main())
