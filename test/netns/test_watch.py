#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline watch` shows a run's packets while it is on, all vantage points in one capture in order of time, to a pipe
that tshark reads and to a file; Ctrl-C and a reader that goes away leave whole blocks. A killed sensor is named."""
import collections
import json
import os
import signal
import subprocess
import sys

from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

FIELDS = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "tcp.stream"]


def rows(path):
    return [line.split("\t") for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def times(of):
    return [int(row[1].replace(".", "")) for row in of]


def tshark(site, *arguments, **kwargs):
    return subprocess.run(["tshark", "-n", *map(str, arguments)], capture_output=True, text=True, check=True, **kwargs)


def points(of):
    return collections.Counter(row[0] for row in of)


def watch_piped(site, run, name, *tshark_arguments):
    """fieldline watch | tshark: both processes, and what tshark prints."""
    reading, writing = os.pipe()
    # Long enough for the slowest machine: both sensors have packets all the time, so that nothing waits for it.
    watch = site.spawn("a", *site.cli("watch", run, "--wait", "60s", "--json")[3:], log=f"{name}.err", stdout=writing)
    os.close(writing)
    output = site.folder / f"{name}.txt"
    with open(output, "wb") as out, open(site.folder / f"{name}-tshark.err", "wb") as err:
        reader = subprocess.Popen(["tshark", "-n", "-l", *tshark_arguments, *FIELDS], stdin=reading, stdout=out, stderr=err)
    os.close(reading)
    return watch, reader, output


def main():
    skip_unless_possible()
    site = Site("watch", "--sensors", "2", "--delay", "l1:3")
    reader = None
    try:
        site.start()
        address = site.env["ADDR_b"]
        ping = site.ping(address, "--flow", "tcp:5201", "--for", "90s")
        run = ping.run()
        watch, reader, output = watch_piped(site, run, "live", "-i", "-")
        closed = site.spawn("a", *site.cli("watch", run)[3:], log="closed.err", stdout=(first := subprocess.Popen(
            ["head", "-c", "5000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)).stdin)
        first.stdin.close()
        file = site.folder / "live.pcapng"
        interrupted = site.spawn("a", *site.cli("watch", run, "-w", file, "--json")[3:], log="interrupted.err")

        paced = Transfer.tcp_paced(site, address, 4000, 200)
        wait_until("packets of all vantage points while the run is on", lambda: len(points(rows(output))) == 4, 30)
        wait_until("a watch whose reader went away has ended", lambda: not closed.running(), 30)
        assert closed.stop() == 0 and not closed.text().strip(), closed.text()
        first.wait()

        wait_until("packets in the file", lambda: file.exists() and file.stat().st_size > 20_000, 30)
        assert interrupted.stop(signal.SIGINT) == 0, interrupted.text()
        counts = json.loads(interrupted.text())
        assert counts["reason"] == "interrupted" and counts["bytes"] == file.stat().st_size, counts
        assert counts["received"] == counts["written"] > 0, counts
        kept = tshark(site, "-r", file, *FIELDS)
        assert not kept.stderr.replace('Running as user "root" and group "root". This could be dangerous.\n', ""), kept.stderr
        kept = [line.split("\t") for line in kept.stdout.splitlines()]
        assert len(kept) == counts["written"], (len(kept), counts)

        paced.end_early()
        assert ping.stop() == 0, ping.process.text()
        wait_until("watch has ended with the run", lambda: not watch.running(), 30)
        assert watch.stop() == 0, watch.text()
        counts = json.loads(watch.text())
        wait_until("tshark has ended", lambda: reader.poll() is not None, 30)
        live = rows(output)
        assert counts["schema"] == "fieldline.watch/1" and counts["run"] == run and counts["reason"] == "ended", counts
        assert counts["written"] == counts["received"] == len(live) and counts["interfaces"] == 4, (counts, len(live))
        late = sum(b < a for a, b in zip(times(live), times(live)[1:]))
        assert counts["late"] >= late and counts["late"] == 0, (counts, late)

        # The same packets as the archive gives afterwards, and at once.
        stored = site.folder / "stored.pcapng"
        site.fieldline("query", run, "-o", stored)
        expected = tshark(site, "-r", stored, "-Y", "frame.interface_id", *FIELDS).stdout.splitlines()
        assert points(live) == points(line.split("\t") for line in expected), (points(live), len(expected))
        again = site.folder / "again.pcapng"
        site.fieldline("watch", "last", "-w", again)
        assert sorted(times(live)) == times([line.split("\t") for line in tshark(site, "-r", again, *FIELDS).stdout.splitlines()])
        one = site.fieldline("watch", run, "--vantage", "s1:fwd", "--flow", "tcp:5201", "-w", again, "--json")
        assert json.loads(one.stderr)["written"] == points(live)["s1:fwd"], (one.stderr, points(live))
        none = site.fieldline("watch", run, "--flow", "tcp:1", "-w", again, "--json")
        assert json.loads(none.stderr)["written"] == 0
        assert tshark(site, "-r", again).stdout == ""

        piped = subprocess.run(" ".join(map(str, site.cli("watch", run))) + " | tshark -n -r - -T fields -e frame.number",
                               shell=True, capture_output=True, text=True)
        assert len(piped.stdout.split()) == len(live), piped.stderr
        terminal = subprocess.run(["script", "-qec", " ".join(map(str, site.cli("watch", run))), "/dev/null"],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert terminal.returncode == 2 and "wireshark -k -i -" in terminal.stdout, terminal
        assert site.fieldline("watch", "f" * 32, "-w", again, check=False).returncode == 1

        # A sensor that was killed never says that the run is over.
        ping = site.ping(address, "--flow", "tcp:5201", "--for", "60s")
        left = site.spawn("a", *site.cli("watch", ping.run(), "-w", again, "--json")[3:], log="left.err")
        views = site.folder / "left-top.jsonl"
        with open(views, "wb") as out:
            top = site.spawn("a", *site.cli("top", ping.run(), "--json", "--interval", "1h")[3:], log="left-top.err", stdout=out)
        site.daemons["s2"].stop(signal.SIGKILL)
        assert ping.stop() == 5, ping.process.text()
        wait_until("watch gives a killed sensor up", lambda: not left.running(), 40)
        assert left.stop() == 5, left.text()
        counts = json.loads(left.text())
        assert (counts["reason"], counts["without_final_counts"]) == ("silent", ["s2"]), counts
        wait_until("so does top", lambda: not top.running(), 20)
        assert top.stop() == 5, top.text()
        last = json.loads(views.read_text().splitlines()[-1])
        assert last["ended"] and last["silent"] == ["s2"] and not last["complete"], last
        print(f"{len(live)} packets live, {dict(points(live))}", flush=True)
    finally:
        if reader and reader.poll() is None:
            reader.kill()
            reader.wait()
        site.close()
    return 0


sys.exit(main())
