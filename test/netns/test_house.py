#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An archive on a disk of 20 MiB: retention keeps room, a full disk holds records back and loses none, a read-only one is
refused with what to do; each time older runs are answered and new ones are taken afterwards."""
import json
import os
import signal
import subprocess
import sys

from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

DISK = 20 << 20
PACKETS = 4000  # 2.4 MB of records


def in_own_mounts():
    """Once: the same again, by the same process, where no mount is seen from outside."""
    if os.environ.get("FIELDLINE_OWN_MOUNTS") is None:
        os.environ["FIELDLINE_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def start_run(site, port):
    ping = site.ping(site.env["ADDR_b"], "--flow", f"udp:{port}", "--for", "60s", "--snaplen", "512")
    Transfer(site, ["udp-server", port, 1, PACKETS, 5],
             ["udp-client", site.env["ADDR_b"], port, 1, PACKETS, 4000, 1400], f"udp-{port}").finish()
    return ping


def seen(site, run):
    done = site.fieldline("query", run, "-o", site.folder / "run.pcapng", "--json", check=False)
    return json.loads(done.stderr[done.stderr.index("{"):])["records"] if done.returncode == 0 else done.stderr


def make_run(site, port):
    ping = start_run(site, port)
    run = ping.run()
    ping.stop()
    wait_until("the run is whole", lambda: listed(site).get(run, {}).get("complete"))
    assert seen(site, run) == PACKETS, (run, seen(site, run))
    return run


def listed(site):
    answer = json.loads(site.fieldline("runs", "--limit", "100", "--json").stdout)
    return {run["run"]: run for run in answer["runs"]}


def disk(site):
    return site.status()["archive"].get("disk", {})


def retention_keeps_room(site):
    runs = [make_run(site, 20001 + i) for i in range(5)]
    wait_until("there is room", lambda: disk(site)["free_bytes"] > 0.6 * DISK and len(listed(site)) < len(runs), 40)
    left = listed(site)
    gone = [run for run in runs if run not in left]
    assert gone == runs[:len(gone)] and len(gone) < len(runs), (runs, list(left))
    for run in left:
        assert seen(site, run) == PACKETS, run
    told = seen(site, gone[0])
    assert "was deleted on" in told and "keep_free" in told, told
    deleted = json.loads(site.fieldline("runs", "--deleted", "--json").stdout)["deleted"]
    assert {one["run"] for one in deleted} == set(gone), deleted
    assert all(one["reason"] == "free" and one["records"] == PACKETS for one in deleted), deleted
    assert gone[0][:8] in site.fieldline("runs", "--deleted").stdout
    print(f"retention: {len(gone)} of {len(runs)} runs went", flush=True)
    return runs[-1]


def prune_on_request(site):
    run = make_run(site, 20009)
    shown = site.fieldline("runs", "--prune", run[:12])
    assert "1 run would be deleted" in shown.stdout and run in listed(site), shown.stdout
    shown = site.fieldline("runs", "--prune", run[:12], "--yes")
    assert "1 run deleted" in shown.stdout and run not in listed(site), shown.stdout
    assert "by ops@site-a" in seen(site, run)
    assert site.fieldline("runs", "--prune", check=False).returncode == 2


def full_disk_loses_nothing(site, older):
    archive = site.folder / "arc.toml"
    archive.write_text(archive.read_text().replace('keep_free = "60%"', 'keep_free = "0"'))
    site.daemons["arc"].popen.send_signal(signal.SIGHUP)
    wait_until("retention is off", lambda: site.status()["archive"]["retention"]["keep_free_bytes"] == 0)
    filler = site.folder / "archive/filler"
    with open(filler, "wb") as file:
        file.write(bytes(disk(site)["free_bytes"] - (3 << 20)))
    ping = start_run(site, 20011)  # 2.4 MB into less than 2 MB
    run = ping.run()
    wait_until("the disk is full", lambda: disk(site).get("state") == "full", 30)
    assert "runs --prune" in disk(site)["why"]
    assert seen(site, run) != PACKETS, "all of it had room: this proves nothing"
    assert seen(site, older) == PACKETS
    assert "nothing is acknowledged" in site.daemons["arc"].text()
    filler.unlink()
    wait_until("records are taken again", lambda: disk(site)["state"] == "ok", 30)
    ping.stop()
    wait_until("the run is whole", lambda: listed(site).get(run, {}).get("complete"), 40)
    assert seen(site, run) == PACKETS, seen(site, run)
    path = site.path(run)["forward"]["points"][0]
    assert path["seen"] == PACKETS and sum(path["dropped"].values()) == 0, path
    return run


def read_only_disk_is_refused(site, older):
    where = site.folder / "archive"
    site.daemons["arc"].stop()
    subprocess.run(["mount", "-o", "remount,ro", where], check=True)
    refused = subprocess.run(site.inside("arc", build_folder() / "bin/fieldlined", "--config", site.folder / "arc.toml"),
                             capture_output=True, text=True, timeout=20)
    assert refused.returncode == 1 and "remount,rw" in refused.stdout + refused.stderr, refused
    subprocess.run(["mount", "-o", "remount,rw", where], check=True)
    site.start_daemon("arc")
    wait_until("the sensor is back", lambda: len(site.status()["sensors"]) == 1, 30)
    assert seen(site, older) == PACKETS
    make_run(site, 20021)


def main():
    skip_unless_possible()
    in_own_mounts()
    site = Site("house", "--sensors", "1")
    (site.folder / "archive").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", site.folder / "archive"], check=True)
    try:
        site.start(archive_extra='chunk_mib = 1\n[archive.retention]\nkeep_free = "60%"\n',
                   allow='hosts = ["10.0.0.0/8"]\nmax_snaplen = 512')
        older = retention_keeps_room(site)
        # In this order: the newest chunk of a pruned run goes when the next run begins, and would make room.
        run = full_disk_loses_nothing(site, older)
        prune_on_request(site)
        read_only_disk_is_refused(site, run)
        site.lab("drops")
    finally:
        for daemon in site.daemons.values():
            daemon.stop()
        subprocess.run(["umount", site.folder / "archive"], check=False)
    site.close()
    return 0


sys.exit(main())
