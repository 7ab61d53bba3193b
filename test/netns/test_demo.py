#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: its JSON document stands alone on standard output, and nothing of it is left, whenever Ctrl-C comes."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from process import wait_until
from site_lab import build_folder, skip_unless_possible

DEMO = pathlib.Path(__file__).with_name("demo.py")
MEMBERS = {"schema": str, "ok": bool, "run": str, "folder": str, "transfer": dict, "path": dict, "verdict": dict,
           "files": list}


def start(folder, size, *options):
    folder.mkdir()
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        return subprocess.Popen([sys.executable, DEMO, *options, "--folder", folder / "lab-folder", "--bytes", size],
                                stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True,
                                env=dict(os.environ, FIELDLINE_BUILD=str(build_folder()), TMPDIR=str(folder)))


def session_processes(session):
    """Living processes of a session: what the demo started, wherever its parent went."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = entry.read_text().rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, of = rest.split()[:4]
        if int(of) == session and state != "Z":
            found.append(name)
    return found


class Traces:
    """What a demo with this process id could leave on the machine. Other labs may come and go beside it."""

    def __init__(self, demo):
        self.demo, self.name = demo, f"demo-{demo.pid}"

    def left(self):
        found = [f"process {p}" for p in session_processes(self.demo.pid)]
        found += [f"namespace {p.name}" for p in pathlib.Path("/run/netns").glob(f"fl-{self.name}-*")]
        found += [f"mount {line}" for line in pathlib.Path("/proc/mounts").read_text().splitlines() if self.name in line]
        found += [f"file {p}" for p in pathlib.Path("/run/fieldline-lab").glob(f"{self.name}*")]
        found += [f"file {p}" for p in pathlib.Path("/tmp").iterdir() if str(self.demo.pid) in p.name.split("-")]
        return found


def in_machine():
    """Names that only the demo's own work would add, whatever it calls them."""
    return {str(p) for top in ("/tmp", "/run/netns", "/sys/fs/bpf") for p in pathlib.Path(top).glob("*")
            if "fieldline-demo" in p.name or "fl-demo" in p.name}


def json_document_alone(folder):
    before = in_machine()
    demo = start(folder, "20M", "--json")
    traces = Traces(demo)
    assert demo.wait(180) == 0, (folder / "stderr").read_text()
    document = json.loads((folder / "stdout").read_text())  # fails if anything stands beside it
    for member, kind in MEMBERS.items():
        assert isinstance(document[member], kind), (member, document[member])
    assert document["schema"] == "fieldline.demo/1" and document["ok"] is True
    assert len(bytes.fromhex(document["run"])) == 16
    assert document["folder"] == str(folder / "lab-folder")
    transfer, verdict = document["transfer"], document["verdict"]
    assert transfer["bytes"] > 10_000_000 and transfer["bits_per_second"] > 0 and transfer["retransmits"] >= 0, transfer
    assert verdict["injected"] == verdict["lost"] > 0 and verdict["same_packets"] and verdict["between"] == ["s1", "s3"]
    hosts = verdict["hosts"]
    assert hosts["wrote"]["bytes"] == transfer["written"] + 37 and hosts["wrote"]["calls"] > 0 < hosts["read"]["calls"], hosts
    assert 0 <= hosts["wrote"]["bytes"] - hosts["read"]["bytes"] and hosts["unread"] >= 0, hosts
    assert "read" in (said := (folder / "stderr").read_text()) and ("all of them" in said or "iperf3 ended first" in said), said
    assert hosts["never_sent_again"] == 0 < hosts["lost_sent_again"] <= min(verdict["lost"], hosts["sent_again"]), hosts
    assert set(hosts["source"]) == {"a", "b"}, hosts
    # What was lost last may be sent again when iperf3, and with it the run, has ended.
    assert 0 < verdict["retrans"]["lost"] <= verdict["lost"], verdict["retrans"]
    assert document["path"]["schema"] == "fieldline.path/1" and document["path"]["complete"]
    assert {(r["sensor"], r["direction"]) for r in verdict["tcpdump"]} == {
        (s, d) for s in ("s1", "s2", "s3") for d in ("forward", "reverse")}
    for row in verdict["tcpdump"]:
        assert row["equal"] and row["fieldline"] == row["tcpdump"] > 0, row
    assert len(document["files"]) == 7  # the run, and two directions of three taps
    for file in document["files"]:
        assert file["tshark"] == file["tcpdump"] > 0 and pathlib.Path(file["file"]).is_file(), file
    recorded = sum(row["fieldline"] for row in verdict["tcpdump"])
    assert document["files"][0]["tshark"] == recorded, (document["files"][0], recorded)
    assert not traces.left() and in_machine() == before, (traces.left(), in_machine() - before)
    print(f"the demo's document: {verdict['lost']} lost packets, {recorded} records, nothing left", flush=True)


def keep_interrupting(folder, what, begun):
    """Ctrl-C on a terminal reaches every process of the demo, and whoever is impatient presses it to the very end:
    the last one once fell into Python's own leaving, and the exit status was another."""
    before = in_machine()
    demo = start(folder, "100G")  # longer than anybody waits: the interrupt is in its middle
    traces = Traces(demo)

    def output():
        return (folder / "stdout").read_text() + (folder / "stderr").read_text()

    def press_again():
        """True once the demo has ended; until then one more Ctrl-C."""
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)
            return False
        return True

    try:
        def has_begun():
            assert demo.poll() is None, output()
            return begun(folder, traces)
        wait_until(what, has_begun, 60)
        assert traces.left(), "these checks see nothing"
        wait_until("the demo's end", press_again, 60)
        assert demo.returncode == 128 + signal.SIGINT, (demo.returncode, output())
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(60)
    assert not traces.left() and in_machine() == before, (traces.left(), in_machine() - before, output())
    print(f"interrupted again and again, {what}: exit 130, nothing left", flush=True)


def lab_is_half_made(folder, traces):
    return pathlib.Path("/run/netns", f"fl-{traces.name}-r1").exists()


def transfer_has_begun(folder, traces):
    return any(p.stat().st_size > 1 << 20 for p in (folder / "lab-folder").glob("tcpdump-*-fwd.pcap"))


def main():
    skip_unless_possible()
    with tempfile.TemporaryDirectory(prefix="fieldline-test-demo.") as folder:
        json_document_alone(pathlib.Path(folder) / "whole")
        keep_interrupting(pathlib.Path(folder) / "early", "the lab is half made", lab_is_half_made)
        keep_interrupting(pathlib.Path(folder) / "late", "the transfer has begun", transfer_has_begun)
    return 0


sys.exit(main())
