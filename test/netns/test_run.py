#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fieldline run: the sockets of a command and of its children, the one that is slow, and the command's own exit status,
streams and signals. Nothing stays behind."""
import glob
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys

from process import wait_until
from site_lab import REPO, Site, build_folder, skip_unless_possible

FLOWS = REPO / "test/netns/parallel_flows.py"
COUNT = 4


def left_behind():
    """Cgroups of a command, and keepers, of this test's processes."""
    cgroups = glob.glob("/sys/fs/cgroup/**/fieldline-run-*", recursive=True)
    keepers = []
    for comm in glob.glob("/proc/[0-9]*/comm"):
        try:
            if pathlib.Path(comm).read_text().strip() == "fieldline-run":
                keepers.append(comm)
        except OSError:
            continue
    return cgroups + keepers


def run_command(site, *arguments, outside=(), **kwargs):
    return subprocess.run([*outside, *site.cli("run", *arguments)], capture_output=True, text=True, check=False, timeout=60,
                          **kwargs)


def transfer(site, port, *options, outside=(), status=0, seconds=4):
    """What was said, the ports of the streams, and that of the slow one."""
    server = site.spawn("b", sys.executable, FLOWS, "serve", port, COUNT, log=f"serve-{port}.log")
    wait_until("it listens", lambda: "listening" in server.text())
    done = run_command(site, *options, "--", sys.executable, FLOWS, "send", site.env["ADDR_b"], str(port), str(COUNT),
                       "--seconds", str(seconds), "--status", str(status), outside=outside)
    assert done.returncode == status, (done.returncode, done.stderr)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == COUNT and all(len(l) == 2 and l[0] in ("stream", "slow") for l in lines), done.stdout
    slow = next(int(l[1]) for l in lines if l[0] == "slow")
    wait_until("the server has ended", lambda: not server.running())
    return done, sorted(int(l[1]) for l in lines), slow


def streams_in_json(site, port, followed_by, outside=()):
    file = site.folder / f"run-{port}.json"
    done, ports, slow = transfer(site, port, "--json", "-o", file, outside=outside)
    assert done.stderr == "", done.stderr
    report = json.loads(file.read_text())
    print(json.dumps({k: v for k, v in report.items() if k != "runs"}, indent=1), flush=True)
    assert report["schema"] == "fieldline.run/1" and report["exit"] == 0 and report["signal"] is None
    assert report["followed_by"] == followed_by and (report["no_cgroup"] is None) == (followed_by == "cgroup"), report
    covered = {s["local_port"]: s for s in report["sockets"] if s["state"] == "covered"}
    assert sorted(covered) == ports and not report["not_recorded"], report["sockets"]
    assert all(s["late_ns"] >= 0 and s["run"] for s in covered.values())
    flows = {f["local_port"] for r in report["runs"] for f in r["why"]["flows"] if f["direction"] == "forward"}
    assert set(ports) <= flows, (ports, flows)
    beside = [r["why"]["side_by_side"] for r in report["runs"]]
    named = [b["slow"] for b in beside if b]
    assert any(n and n["local_port"] == slow and n["limit"] == "application" for n in named), (beside, slow)
    for run in report["runs"]:
        assert [p["name"] for p in run["path"]["forward"]["points"]] == ["s1", "s2"], run["path"]["forward"]
        assert run["pulses"] > 0 and run["error"] is None and not run["without_final_counts"], run


def report_for_people(site):
    done, _, slow = transfer(site, 5302, status=3)
    print(done.stderr, flush=True)
    assert f"> {slow} -> 5302" in done.stderr and f"SLOW: port {slow} -> 5302" in done.stderr, done.stderr
    assert "limited by sending application" in done.stderr and "exit 3; 4 of 4 sockets recorded" in done.stderr
    assert "s1 - s2" in done.stderr and "SHARE  PROOF" in done.stderr


def is_transparent(site):
    """Streams, words and exit status are the command's."""
    done = site.fieldline("run", "--", "sh", "-c", 'cat; printf "%s|" "$@"; exit 5', "x", "[a,b]", "--", "-o", "", check=False)
    assert done.returncode == 5 and done.stdout == "[a,b]|--|-o||", (done.returncode, done.stdout)
    assert "0 of 0 sockets recorded" in done.stderr, done.stderr
    done = site.fieldline("run", "--", "sh", "-c", "kill -9 $$", check=False)
    assert done.returncode == 128 + signal.SIGKILL and "killed by signal 9" in done.stderr, done
    done = site.fieldline("run", "--", "no-such-command", check=False)
    assert done.returncode == 127 and done.stderr == "fieldline: no-such-command: No such file or directory\n", done
    done = site.fieldline("run", "--", "/etc/passwd", check=False)
    assert done.returncode == 126 and len(done.stderr.splitlines()) == 1, done
    for arguments in ([], ["true"], ["--"], ["--for", "x", "--", "true"]):
        done = site.fieldline("run", *arguments, check=False)
        assert done.returncode == 2 and done.stderr and not done.stdout, (arguments, done)
    nowhere = site.inside("a", build_folder() / "bin/fieldline", "--archive", f"{site.env['MGMT_arc']}:1#{site.archive_key}",
                          "--identity", site.key, "run", "--", "echo", "ran")
    done = subprocess.run(nowhere, capture_output=True, text=True)
    assert done.returncode == 125 and done.stdout == "", done


def own_failures_are_told_apart(site):
    """2: what was typed; 125: whatever else kept the command from its start."""
    for words, said in ((["--via", "ssh:elsewhere"], "start it there"), (["--flow", "tcp"], "ping HOST --flow"),
                        (["--no-archive"], "made of what the archive has"), (["--sample", "3"], "power of two"),
                        (["--spray", "4", "--sample", "8"], "--spray"), (["--renew", "5s"], "100ms to 4s")):
        done = site.fieldline("run", *words, "--", "echo", "ran", check=False)
        assert done.returncode == 2 and said in done.stderr and done.stdout == "", (words, done)
    program, nowhere = build_folder() / "bin/fieldline", site.folder / "nowhere"
    for words in (["--config", nowhere], ["--identity", nowhere, "--archive", site.cli()[6]], []):
        done = site.run("a", program, *words, "run", "--", "echo", "ran", check=False, env=dict(os.environ, HOME=str(nowhere)))
        assert done.returncode == 125 and done.stderr.startswith("fieldline: ") and done.stdout == "", (words, done)
    done = site.fieldline("run", "-o", "/dev/null/report", "--", "echo", "ran", check=False)
    assert done.returncode == 125 and done.stdout == "", done


def less_than_every_packet(site):
    """A sample, counters alone, and triggers from several ports: as ping has them."""
    file = site.folder / "less.json"
    transfer(site, 5304, "--json", "-o", file, "--sample", "8", seconds=1)
    report = json.loads(file.read_text())
    points = [p for run in report["runs"] for p in run["path"]["forward"]["points"]]
    assert (report["verb"], report["sample_n"]) == ("capture", 8) and points, report
    assert all(p["sample_n"] == 8 and p["sampled_out"] > p["recorded"] > 0 for p in points), points

    done, _, _ = transfer(site, 5305, "--count", seconds=1)
    print(done.stderr, flush=True)
    assert "4 of 4 sockets counted" in done.stderr and "NEXT     fieldline path" in done.stderr, done.stderr
    assert "counted alone" in done.stderr and "LIMITED BY" not in done.stderr and "retrans" not in done.stderr, done.stderr

    transfer(site, 5306, "--json", "-o", file, "--spray", "4", seconds=1)
    report = json.loads(file.read_text())
    rows = {row["vantage"]: row for row in report["spray"]}
    assert rows.keys() == {"s1:fwd", "s1:rev", "s2:fwd", "s2:rev"}, rows
    assert rows["s1:fwd"]["saw"] == "both" and rows["s1:rev"]["saw"] == "data", rows
    assert rows["s1:fwd"]["triggers"] > 4 * len(report["runs"]), rows


def lasts_and_ends(site):
    """As long as what the command has left behind; a signal to us is the command's."""
    report = site.folder / "background.json"
    site.fieldline("run", "--json", "-o", report, "--", "sh", "-c", "sleep 1 > /dev/null 2>&1 & exit 0", timeout=30)
    report = json.loads(report.read_text())
    assert report["ended_ns"] - report["started_ns"] >= 1e9 and not report["left_running"], report
    process = site.spawn("a", *site.cli("run", "--", "sleep", "50")[3:], log="interrupted.log")
    wait_until("the command runs", lambda: any_child_named("sleep", process.popen.pid))
    assert process.stop(signal.SIGINT) == 128 + signal.SIGINT, process.text()
    assert "killed by signal 2" in process.text(), process.text()


def keeper_outlives(site):
    """Killed: the command goes on, and its cgroup goes with it (seen at the end)."""
    process = site.spawn("a", *site.cli("run", "--", "sleep", "2")[3:], log="killed.log")
    wait_until("the command runs", lambda: any_child_named("sleep", process.popen.pid))
    assert left_behind()
    process.popen.kill()
    process.popen.wait()


def ctrl_c(site):
    """On a terminal: the command gets it from there, and the report comes all the same."""
    pid, terminal = pty.fork()
    if pid == 0:
        words = list(map(str, site.cli("run", "--", "sleep", "50")))
        os.execvp(words[0], words)
    wait_until("the command runs", lambda: any_child_named("sleep", pid))
    os.write(terminal, b"\x03")
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # EIO: nobody holds the other end
            break
        if not piece:
            break
        shown += piece
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert status == 128 + signal.SIGINT and b"killed by signal 2" in shown, (status, shown)


def any_child_named(name, ancestor):
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    family = {ancestor}
    for _ in range(4):
        family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
    return any(int(pid) in family and comm == name for pid, _, comm in rows)


def main():
    skip_unless_possible()
    before = left_behind()
    site = Site("run", "--delay", "l1:10")
    site.start(hosts=("a", "b"))
    is_transparent(site)
    own_failures_are_told_apart(site)
    lasts_and_ends(site)
    keeper_outlives(site)
    ctrl_c(site)
    streams_in_json(site, 5301, "cgroup")
    no_cgroups = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"]
    streams_in_json(site, 5303, "processes", outside=no_cgroups)
    report_for_people(site)
    less_than_every_packet(site)
    wait_until("nothing is left", lambda: set(left_behind()) <= set(before))
    site.lab("drops")
    site.close()
    return 0


sys.exit(main())
