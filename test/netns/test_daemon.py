#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fieldlined as an operator meets it: configuration errors with line and column, SIGHUP, SIGTERM, the watchdog, and an
archive that is away or is not the one that was pinned."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from forge import Forge
from process import wait_until
from site_lab import REPO, Site, build_folder, skip_unless_possible
from transfer import Transfer


def check_config(site, text):
    file = site.folder / "checked.toml"
    file.write_text(text)
    done = subprocess.run([build_folder() / "bin/fieldlined", "--check-config", "--config", file], capture_output=True,
                          text=True)
    return done.returncode, done.stderr.replace(str(file), "FILE")


def configuration_errors_name_their_place(site):
    example = (REPO / "packaging/fieldlined.toml").read_text()
    assert check_config(site, example) == (0, "")
    for broken, wanted in [
            ("[archive]\nreaders = \"x\"\nbanana = 1\n", r"FILE:3:1: unknown key 'banana'"),
            ("[archive]\nreaders = \"x\"\nport = \"many\"\n", r"FILE:3:8: 'port' must be a whole number"),
            ("[archive]\n", r"FILE:1:1: 'readers' is missing here"),
            ("[archive\n", r"FILE:1:\d+: "),
            ("log_level = \"info\"\n", r"nothing to do: write a \[sensor\], a \[host\] or an \[archive\]"),
            (example.replace('"1h"', '"soon"'), r"FILE:\d+:\d+: 'max_duration' must be a duration"),
            (example.replace("192.0.2.128/25", "192.0.2.129/25"), r"FILE:\d+:\d+: .*has bits behind its prefix"),
            (example.replace('key = "SHA256:0000', 'key = "SHA256:zz00'), r"FILE:\d+:\d+: .*fingerprint"),
            (example + "\0", r"FILE:\d+:\d+: ")]:
        code, error = check_config(site, broken)
        assert code == 2 and re.search(wanted, error), (broken[-80:], code, error)
    two = check_config(site, "[archive]\nreaders = \"x\"\napple = 1\npear = 2\n")[1]
    assert "apple" in two and "pear" in two, "not every problem at once"
    print("configuration errors: each with its place", flush=True)


def reloads(daemon):
    return daemon.text().count(" reloaded trust") - daemon.text().count("not reloaded trust")


def reload_takes_new_policy_and_keeps_the_old_on_error(site):
    config, address = site.folder / "s1.toml", site.env["ADDR_b"]
    good = config.read_text()
    daemon = site.daemons["s1"]
    config.write_text(good + "\nbanana = 1\n")
    daemon.popen.send_signal(signal.SIGHUP)
    wait_until("the bad file is refused", lambda: "the old settings stay in force" in daemon.text())
    assert site.ping(address, "--flow", "udp:20000", "--for", "5s").stop() == 0
    config.write_text(good + '\n[[sensor.deny]]\nname = "closed"\nhosts = ["10.0.0.0/24"]\n')
    daemon.popen.send_signal(signal.SIGHUP)
    wait_until("the new file is taken", lambda: reloads(daemon) == 1)
    before = site.refusals()["denied"]
    refused = site.ping(address, "--flow", "udp:20000", "--for", "4s", wait=False)
    code = refused.wait(30)
    assert code == 3, f"a verified principal was not told: exit {code}: {refused.events()[-1]}"
    told = [e for e in refused.events() if e["event"] == "activation"]
    assert told and all(e["state"] == "refused" and e["reason"] == "denied" for e in told), told
    wait_until("the denial is counted", lambda: site.refusals()["denied"] > before)
    config.write_text(good)
    daemon.popen.send_signal(signal.SIGHUP)
    wait_until("the old policy again", lambda: reloads(daemon) == 2)
    assert site.ping(address, "--flow", "udp:20000", "--for", "5s").stop() == 0
    print("SIGHUP: a bad file changes nothing, a good one is obeyed at once", flush=True)


def archive_away(site):
    """The spool holds what fits, the rest is counted, and all of it is told once the archive is back."""
    address = site.env["ADDR_b"]
    site.daemons["arc"].stop()
    ping = site.ping(address, "--flow", "udp:20000", "--for", "60s", wait=False)
    sensor = site.daemons["s1"]
    before = sensor.text().count(" on for ")
    wait_until("the sensor is on, archive or not", lambda: sensor.text().count(" on for ") > before)
    Transfer.udp(site, address, 20000, per_second=5000).finish()
    assert "unreachable" in sensor.text(), "nobody said that the archive is away"
    site.start_daemon("arc")
    run = ping.run()
    ping.stop()
    report = wait_until("the run's final counts", lambda: final_report(site, run), 30)
    point = report["forward"]["points"][0]
    print(f"archive away: seen {point['seen']}, archived {point['recorded']}, dropped {point['dropped']}", flush=True)
    assert point["seen"] == 20000
    assert point["recorded"] > 0 and point["dropped"].get("spool", 0) > 0
    assert point["seen"] == point["recorded"] + sum(point["dropped"].values())
    assert not report["complete"] and any("spool" in line for line in report["incomplete"])


def archive_away_for_long(site):
    """60 runs for 32 s with the archive away: a count of each run and second is more than the spool's reserve, which
    is for what ends a run. Records are dropped and counted; every run's last word arrives."""
    a, b, runs, first = site.env["ADDR_a"], site.env["ADDR_b"], 60, 21000
    site.daemons["arc"].stop()
    forge, sensor = Forge(site.key, a, b), site.daemons["s1"]
    names = [os.urandom(16) for _ in range(runs)]
    triggers = site.folder / "triggers"
    before = sensor.text().count(" on for ")
    triggers.write_text("".join(
        forge.trigger(run=name, pairs=((first + n, first + n),), seconds=50, pulse_seconds=50).hex() + "\n"
        for n, name in enumerate(names)))
    site.run("a", sys.executable, Forge.SEND, b, triggers)
    wait_until("all runs are on, archive or not", lambda: sensor.text().count(" on for ") == before + runs)
    begin, ended = time.monotonic(), sensor.text().count(" ended (expired)")
    Transfer.udp(site, b, 60000, per_second=1800, first=first, ports=runs).finish()
    assert time.monotonic() - begin > 30
    wait_until("all runs are over", lambda: sensor.text().count(" ended (expired)") == ended + runs, 60)
    site.start_daemon("arc")
    reports = {}

    def all_final():
        for name in names:
            if name not in reports:
                report = final_report(site, name.hex())
                if report:
                    reports[name] = report
        return len(reports) == runs
    try:
        wait_until("every run's final counts", all_final, 30)
    finally:
        print(f"archive away for long: final counts of {len(reports)} of {runs} runs", flush=True)
    points = [report["forward"]["points"][0] for report in reports.values()]
    for point in points:
        assert point["seen"] == 60000 // runs, point
        assert point["seen"] == point["recorded"] + sum(point["dropped"].values()), point
    assert sum(point["dropped"].get("spool", 0) for point in points) > 0, "the spool was never full"


def final_report(site, run):
    done = site.fieldline("path", run, "--json", check=False)
    if done.returncode:
        return None
    report = json.loads(done.stdout)
    points = report["forward"]["points"]
    return report if points and points[0]["final_counts"] else None


def wrong_key(site):
    site.daemons["s1"].stop()
    config = site.folder / "s1.toml"
    good = config.read_text()
    config.write_text(good.replace(site.archive_key, "SHA256:" + "5" * 64))
    daemon = site.start_daemon("s1")
    wait_until("the wrong key is named", lambda: "wrong_key" in daemon.text() or "wrong key" in daemon.text())
    text = daemon.text()
    assert "5" * 64 in text and site.archive_key.split(":")[1] in text, "both keys must be named"
    assert all(s["sensor"] != "s1" for s in site.status()["sensors"])
    daemon.stop()
    config.write_text(good)
    print("wrong key: nothing sent, both keys named", flush=True)


def systemd_is_told(site):
    path = site.folder / "watch.notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(10)
        daemon = site.spawn("s1", build_folder() / "bin/fieldlined", "--config", site.folder / "s1.toml", log="watch.log",
                            env=dict(os.environ, NOTIFY_SOCKET=str(path), WATCHDOG_USEC="400000"))
        got = []
        while sum(b"WATCHDOG=1" in m for m in got) < 3:
            got.append(notify.recv(4096))
        assert any(b"READY=1" in m for m in got) and any(b"STATUS=" in m for m in got)
        assert daemon.stop(signal.SIGTERM) == 0, daemon.text()
        while b"STOPPING=1" not in got[-1]:
            got.append(notify.recv(4096))
    print("systemd: ready, status, watchdog, stopping", flush=True)


def main():
    skip_unless_possible()
    site = Site("daemon", "--sensors", "1")
    configuration_errors_name_their_place(site)
    site.start(sensor_extra="spool_mib = 1")
    reload_takes_new_policy_and_keeps_the_old_on_error(site)
    archive_away(site)
    archive_away_for_long(site)
    wrong_key(site)
    systemd_is_told(site)
    return 0


sys.exit(main())
