#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Faults at random times between a sensor and its archive: nothing acknowledged is lost, nothing stands twice, and what
is missing is named.

  test_faults.py [--seeds A..B]    one run for each seed, which says what is done to it and when

Each run has UDP at a steady rate, and two to four faults, one after another: the archive is killed and started again, or
stopped and continued; the sensor is stopped, or killed and started again; the link between them is cut, or slow; the
archive's disk is full, or read-only after an error, or the spool's is full; the clock of one of them is set. tcpdump on the
tap says what there was to see, and each gap that a fault made is told with the fault's cause and in the fault's time.
"""
import argparse
import atexit
import collections
import dataclasses
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import time

from packets import read_items, read_pcapng
from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

PORT, RATE, SIZE = 20000, 1000, 450


def hold(seconds):
    """A fault lasts by the clock: nothing else says when an outage has been long enough."""
    until = time.monotonic() + seconds
    wait_until("the fault's end", lambda: time.monotonic() >= until, seconds + 20)


class Disk:
    """A small file system of its own, that can be filled."""

    def __init__(self, folder, mib):
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=750", "fieldline-faults", folder], check=True)
        atexit.register(lambda: subprocess.run(["umount", "-l", folder], check=False))

    def fill(self):
        with open(self.folder / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 16))
            except OSError:
                pass  # full, as was wanted

    def free(self):
        (self.folder / "filler").unlink(missing_ok=True)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)  # a disk that fails next would have it again
        os.close(folder)


class JournaledDisk(Disk):
    """One that can fail: ext4 then makes itself read-only under all who write, as tmpfs cannot be made."""

    def __init__(self, folder, mib):
        self.folder, self.image = folder, folder.with_suffix(".ext4")
        folder.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", self.image], check=True)
        self.mount()
        atexit.register(lambda: subprocess.run(["umount", "-l", folder], check=False))
        if not self.trigger().exists():
            raise OSError(f"{self.trigger()} is not there")

    def mount(self):
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self.image, self.folder], check=True)
        self.folder.chmod(0o750)

    def trigger(self):
        device = subprocess.run(["findmnt", "-no", "SOURCE", self.folder], check=True, capture_output=True, text=True).stdout
        return pathlib.Path("/sys/fs/ext4", pathlib.Path(device.strip()).name, "trigger_fs_error")

    def fail(self):
        self.trigger().write_text("test")

    def repair(self):
        """Once nobody has a file of it open."""
        subprocess.run(["umount", self.folder], check=True)
        done = subprocess.run(["e2fsck", "-p", self.image], check=False, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stdout
        self.mount()


class Clocks:
    """Of the daemons in some boxes: each has a file that says how far its clock is off (test/support/clock_shift.c)."""

    def __init__(self, site, boxes):
        library = build_folder() / "test/support/libclock_shift.so"
        self.files = {}
        for box in boxes:
            self.files[box] = site.folder / f"{box}.clock"
            self.set(box, 0)
            site.daemon_env[box] = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self.files[box])}

    def set(self, box, seconds):
        with open(self.files[box], "r+b" if self.files[box].exists() else "wb") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))


@dataclasses.dataclass
class Fault:
    name: str
    begun_ns: int
    healed_ns: int

    def holds(self, time_ns, before=0.0, behind=0.0):
        return self.begun_ns - before * 1e9 <= time_ns <= self.healed_ns + behind * 1e9


class Faults:
    """Each does, holds and heals."""

    def __init__(self, site, chance):
        self.site, self.chance, self.kills = site, chance, 0
        self.done = []
        self.killed = []  # (session, what it knew as acknowledged)
        # What each session had numbered before this run.
        self.before = {told["session"]: told["stream"]["offered"] for told in site.status()["sensors"]}
        self.before |= {rest["session"]: sys.maxsize for told in site.status()["sensors"] for rest in told["rests"]}

    def make(self, name):
        fault = Fault(name, time.time_ns(), None)
        self.done.append(fault)
        getattr(self, name)()
        fault.healed_ns = time.time_ns()

    def last(self):
        hold(self.chance.uniform(0.2, 1.5))

    def archive_killed(self):
        archive = self.site.daemons["arc"]
        archive.popen.kill()
        archive.popen.wait()
        self.last()
        self.site.start_daemon("arc")

    def stopped(self, box, least=0.2, most=1.5):
        process = self.site.daemons[box].popen
        process.send_signal(signal.SIGSTOP)
        hold(self.chance.uniform(least, most))
        process.send_signal(signal.SIGCONT)

    def archive_stopped(self):
        self.stopped("arc")

    def sensor_stopped(self):
        self.stopped("s1")

    def sensor_killed(self):
        for told in self.site.status()["sensors"]:
            if told["runs"]:
                self.killed.append((told["session"], told["stream"]["acknowledged"]))
            self.killed += [(rest["session"], rest["acknowledged"]) for rest in told["rests"]]
        self.kills += 1
        sensor = self.site.daemons["s1"]
        sensor.popen.kill()
        sensor.popen.wait()
        self.last()
        self.site.start_daemon("s1")

    def link_cut(self):
        link = ["ip", "-n", self.site.env["NETNS_s1"].rsplit("/", 1)[1], "link", "set", "mgmt"]
        subprocess.run([*link, "down"], check=True)
        self.last()
        subprocess.run([*link, "up"], check=True)

    def link_slow(self):
        change = self.site.run
        change("s1", "tc", "qdisc", "add", "dev", "mgmt", "root", "tbf", "rate", "1mbit", "burst", "10kb", "limit", "50kb")
        self.last()
        change("s1", "tc", "qdisc", "del", "dev", "mgmt", "root")

    def archive_disk_full(self):
        self.site.archive_disk.fill()
        self.last()
        self.site.archive_disk.free()

    def archive_disk_failed(self):
        """Its operator stops the archive, repairs the disk and starts it again."""
        self.site.archive_disk.fail()
        self.last()
        self.site.daemons["arc"].stop()
        self.site.archive_disk.repair()
        self.site.start_daemon("arc")

    def spool_disk_full(self):
        """While the archive is away for longer than what the memory has room for."""
        self.site.spool_disk.fill()
        self.stopped("arc", 4, 5)
        self.site.spool_disk.free()

    def sensor_clock(self):
        """Less than what triggers may be ahead of it; there and back is a step each way."""
        noticed = "this host's clock was set"
        before = self.site.daemons["s1"].text().count(noticed)
        self.site.clocks.set("s1", self.chance.choice([-2.5, -0.4, 0.4, 2.5]))
        wait_until("the step is noticed", lambda: self.site.daemons["s1"].text().count(noticed) > before, 20)
        self.last()
        self.site.clocks.set("s1", 0)

    def archive_clock(self):
        self.site.clocks.set("arc", self.chance.choice([-30, 30]))
        self.last()
        self.site.clocks.set("arc", 0)


NAMES = ["archive_killed", "archive_stopped", "sensor_stopped", "sensor_killed", "link_cut", "link_slow",
         "archive_disk_full", "archive_disk_failed", "spool_disk_full", "sensor_clock", "archive_clock"]
# The archive ends the connection itself, with a reason; a sensor notices that it is gone by the connection's end, or a link
# by the route that goes with it.
REFUSED = ["archive_disk_full", "archive_disk_failed"]
CUT = [*REFUSED, "archive_killed", "link_cut"]
# What the sensor still has in memory after these goes with it if it is killed.
HELD = [*CUT, "archive_stopped", "sensor_stopped", "link_slow", "spool_disk_full", "sensor_clock"]


def check_numbers(seed, file, faults):
    """Every item is there once; of each killed session, every one of this run that it knew as acknowledged."""
    numbers = collections.Counter(read_items(file))
    assert max(numbers.values()) == 1, f"seed {seed}: an item stands twice"
    # Item 1 is the configuration, which is of every run; from the run's first on, all are of this run.
    own = collections.defaultdict(set)
    for session, number in numbers:
        if number > 1:
            own[session].add(number)
    for session, last in faults.killed:
        have = own[session]
        assert have or last <= faults.before.get(session, 1), f"seed {seed}: nothing of {session}, acknowledged up to {last}"
        lost = set(range(min(have), last + 1)) - have if have else set()
        assert not lost, f"seed {seed}: {len(lost)} items of {session} were acknowledged up to {last} and are not there"


def check_blind(gaps, faults):
    """Each kill is in a gap that begins with the last counts before it, which come each second, and ends once the next
    process has the run; there are no others."""
    blind = [gap for gap in gaps if gap["what"] == "blind"]
    kills = [fault for fault in faults.done if fault.name == "sensor_killed"]
    for gap in blind:
        inside = [k for k in kills if gap["from_ns"] <= k.begun_ns + 1e8 and gap["until_ns"] and k.begun_ns < gap["until_ns"]]
        assert gap["cause"] == "died" and inside, (gap, kills)
        at = faults.done.index(inside[0])
        first = inside[0] if at == 0 or faults.done[at - 1].name not in HELD else faults.done[0]
        assert gap["from_ns"] >= first.begun_ns - 2.5e9, (gap, faults.done)
        assert gap["until_ns"] <= inside[-1].healed_ns + 10e9, (gap, faults.done)
    for kill in kills:
        assert any(gap["from_ns"] <= kill.begun_ns + 1e8 and kill.begun_ns < gap["until_ns"] for gap in blind), (kill, gaps)


def check_gaps(seed, report, faults, dropped):
    gaps = report["gaps"]
    known = {("dropped", "spool"), ("blind", "died"), ("cut_off", "unreachable"), ("cut_off", "refused"), ("clock_set", "utc"),
             ("clock_set", "tai_offset")}
    assert all(gap["sensor"] == "s1" and (gap["what"], gap["cause"]) in known for gap in gaps), f"seed {seed}: {gaps}"
    check_blind(gaps, faults)
    drops = [gap for gap in gaps if gap["what"] == "dropped"]
    # Of a session that was killed, those before its last counts.
    assert sum(gap["count"] for gap in drops) == dropped or faults.kills, (drops, dropped)
    for gap in drops:
        # Two full disks in a row are one gap if drops go on within a second.
        full = [fault for fault in faults.done if fault.name == "spool_disk_full"]
        assert any(f.holds(gap["from_ns"]) for f in full) and any(f.holds(gap["until_ns"], behind=3) for f in full), (gap, faults.done)
    cuts = [gap for gap in gaps if gap["what"] == "cut_off"]
    for gap in cuts:
        may = REFUSED if gap["cause"] == "refused" else CUT
        assert any(fault.name in may and fault.holds(gap["from_ns"], behind=2) for fault in faults.done), (gap, faults.done)
    steps = [gap for gap in gaps if gap["what"] == "clock_set"]
    for gap in steps:
        # By the clock before it, which may be the one that is off; the clock is looked at each second.
        assert any(fault.name == "sensor_clock" and fault.holds(gap["from_ns"], before=4, behind=4)
                   for fault in faults.done), (gap, faults.done)
    if faults.kills:
        return
    for fault in faults.done:
        if fault.name == "archive_killed":
            assert any(gap["from_ns"] <= fault.healed_ns and (gap["until_ns"] or sys.maxsize) >= fault.begun_ns
                       for gap in cuts), (fault, gaps)
        if fault.name == "sensor_clock":
            assert any(fault.holds(gap["from_ns"], before=4, behind=4) for gap in steps), (fault, gaps)


def check_run(seed, site, run, seen, faults):
    file = site.folder / f"seed-{seed}.pcapng"
    site.fieldline("query", run, "-o", file)
    check_numbers(seed, file, faults)
    identities = collections.Counter(p.identity() for p in seen)
    stored = collections.Counter(p.identity() for origin, p in read_pcapng(file))
    assert not stored - identities, f"seed {seed}: a record of no packet"

    done = site.fieldline("coverage", run, "--json", check=False)
    report = json.loads(done.stdout)
    point = next(p for p in report["points"] if p["direction"] == "forward")
    dropped = sum(point["dropped"].values())
    check_gaps(seed, report, faults, dropped)
    if faults.kills:
        assert done.returncode == 5 and any("no final count from" in line for line in report["incomplete"]), report
        return f"{point['recorded']} of {len(seen)} records, a killed session named"
    assert point["seen"] == len(seen) and point["unaccounted"] == 0, (len(seen), point)
    assert sum(stored.values()) + dropped == len(seen)
    assert bool(report["incomplete"]) == bool(dropped), report["incomplete"]
    assert not dropped or set(point["dropped"]) == {"spool"}, point
    return f"{point['recorded']} of {len(seen)} records, {dropped} dropped by the spool"


def one_seed(seed, site):
    chance = random.Random(seed)
    names = [chance.choice(NAMES) for _ in range(chance.randint(2, 4))]
    faults = Faults(site, chance)
    ping = site.ping(site.env["ADDR_b"], "--flow", f"udp:{PORT}", "--snaplen", "512", "--for", "300s")
    capture = site.tap_capture("s1")
    transfer = Transfer.udp(site, site.env["ADDR_b"], 300 * RATE, per_second=RATE, first=PORT, size=SIZE)
    for name in names:
        hold(chance.uniform(0.1, 0.6))
        faults.make(name)
    hold(chance.uniform(0.1, 0.6))
    transfer.end_early()
    seen = [p for p in capture.stop()["fwd"] if p.protocol == 17 and p.dport == PORT]
    run = ping.run()

    def connected():
        states = [s["stream"] for s in site.status()["sensors"] if s["sensor"] == "s1"]
        return len(states) == 1 and states[0]["state"] == "connected"
    wait_until("the sensor is back", connected, 30)
    ping.stop()

    def ended():
        runs = json.loads(site.fieldline("runs", "--json").stdout)["runs"]
        run_now = next(r for r in runs if r["run"] == run)
        own = [told for told in site.status()["sensors"] if told["sensor"] == "s1"]
        told_all = len(own) == 1 and own[0]["runs"] == 0 and not own[0]["rests"] and not own[0]["stream"]["spooled_items"]
        return told_all if faults.kills else run_now["complete"]
    wait_until("all of the run is in the archive", ended, 30)
    print(f"seed {seed}: {', '.join(names)}: " +
          check_run(seed, site, run, seen, faults), flush=True)
    # A disk that is filled by the runs of many seeds would be a fault that nobody made.
    # Exit 5: it stays until its deadline, because a killed session never ended it.
    pruned = site.fieldline("runs", "--prune", run, "--yes", check=False)
    assert pruned.returncode in ((0, 5) if faults.kills else (0,)), pruned.stderr


def main():
    parser = argparse.ArgumentParser()
    # These three have each of the faults among them.
    parser.add_argument("--seeds", default="193..195", help="A..B, both of them too")
    first, last = map(int, parser.parse_args().seeds.split(".."))
    skip_unless_possible()
    site = Site("faults", "--sensors", "1")
    try:
        site.archive_disk = JournaledDisk(site.folder / "archive", 64)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"SKIP: no disk that can fail, an ext4 on a loop device with its trigger: {error}")
        return 77
    site.spool_disk = Disk(site.folder / "spool", 32)
    site.clocks = Clocks(site, ("arc", "s1"))
    site.start(archive_extra="chunk_mib = 1",
               allow='hosts = ["10.0.0.0/8"]\nmax_snaplen = 512',
               sensor_extra=f'spool_mib = 1\nspool_disk_mib = 16\nspool_directory = "{site.folder}/spool"')
    for seed in range(first, last + 1):
        try:
            one_seed(seed, site)
        except Exception:
            for box in ("arc", "s1"):
                print(f"seed {seed}, the end of {box}'s log:\n" + "\n".join(site.daemons[box].text().splitlines()[-25:]),
                      file=sys.stderr)
            raise
    wait_until("the spool's folder is empty", lambda: not list(site.spool_disk.folder.glob("*.spool")), 30)
    print(f"{last - first + 1} seeds")
    return 0


sys.exit(main())
