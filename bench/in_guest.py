#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The half of bench/magnet that runs inside the guest: measures, and prints one line "RESULT {json}" per figure.

in_guest.py EXPERIMENT BUILD LTTNG     BUILD: folder with bin/ and bench/; LTTNG: of bench/lttng, or "SKIP: why not".
The module is in $MAGNET_MODULES (test/qemu/run).
"""
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys

import peers
import pressure
from guest import RING_KB, RINGS_KB, ROUND_TRIPS, Failed, Guest, counters, result, run, skipped

REPEATS = 3


def own_account():
    return counters() if os.path.exists("/proc/net/magnet") else (0, 0)


def overhead(guest, lttng):
    """Table I, Figs. 4-5: one machine that is sender and receiver, cost of a TCP round trip."""
    guest.pingpong()  # the first run after the boot pays for what is set up once

    def measure(name, set_up):
        try:
            with set_up() as monitor:
                before, account = monitor or ((), own_account)
                figures = sorted(guest.pingpong(before) for _ in range(REPEATS))
                seen = account() if account else None
        except (Failed, OSError) as failure:
            skipped(name, str(failure))
            return
        told = {"records_per_trip": None, "lost_percent": None}
        if seen and sum(seen[:2]):
            runs = 1 if set_up is peers.perf else REPEATS  # perf's file begins anew with each
            told = {"records_per_trip": round(sum(seen[:2]) / (runs * (ROUND_TRIPS + 100)), 2),
                    "lost_percent": round(100 * seen[1] / sum(seen[:2]), 2)}
        result(configuration=name, ns=figures[len(figures) // 2], lowest=figures[0], highest=figures[-1], **told)

    measure("nothing", contextlib.nullcontext)
    measure("module loaded, no device open", lambda: guest.loaded(ring_kb=RING_KB))
    measure("module armed, nobody reads (always=1)", lambda: guest.loaded(ring_kb=RING_KB, always=1))
    measure("module + magnet-read", lambda: peers.magnet(guest))
    measure("module + magnet-read, ext=1", lambda: peers.magnet(guest, ext=1))
    measure("module + magnet-read, layers sock,tcp,ip as in the paper",
            lambda: peers.magnet(guest, layers="sock,tcp,ip"))
    measure("tcpdump -s 68", peers.tcpdump)
    measure("perf record, the same hooks", peers.perf)
    measure("bpftrace count, the same hooks", peers.bpftrace)
    name = "LTTng, the same hooks"
    try:
        with started(lttng) as daemon:
            # What is lost costs less than what is recorded: once with its own read timer, once with one that keeps up.
            measure(f"{name}, {RING_KB} KiB", daemon.recording)
            measure(f"{name}, {RING_KB} KiB, read timer 5 ms", lambda: daemon.recording("--read-timer=5000"))
    except (Failed, OSError) as failure:
        skipped(name, str(failure))


def inline(guest, _):
    """Section III.C: what a record costs where it is made, its hook included, by layer; and what reading it costs."""
    layers = ("sock", "tcp", "ip", "dev")
    guest.pingpong()

    def cost(name, reader=contextlib.nullcontext, **parameters):
        with guest.loaded(layers=name, **parameters), reader():
            figure = statistics.median(guest.pingpong() for _ in range(REPEATS))
            recorded, lost = counters()
        if not recorded:
            raise Failed(f"no events of {name}")
        if lost:
            raise Failed(f"{lost} of {recorded + lost} events were lost: the figure is not one of recording")
        return figure, recorded / (REPEATS * (ROUND_TRIPS + 100))

    bare = statistics.median(guest.pingpong() for _ in range(REPEATS))
    # No ring is ever full, so that nothing but recording is in the figures.
    for name in (*layers, ",".join(layers)):
        figure, records = cost(name, ring_kb=32768, always=1)
        result(layer=name, records_per_trip=round(records, 2), instructions=round((figure - bare) / records, 1))
    read, records = cost(",".join(layers), guest.read, ring_kb=RING_KB)
    result(layer="magnet-read", records_per_trip=round(records, 2), instructions=round((read - figure) / records, 1))


def started(lttng):
    if lttng.startswith("SKIP"):
        raise Failed(lttng.removeprefix("SKIP: "))
    return peers.lttng(lttng)


def loss(guest, _):
    """Figs. 6-7: share of events lost and cost of a round trip over ring sizes and reading delays."""
    guest.pingpong()
    bare_ns = guest.pingpong()
    with guest.loaded(ring_kb=RING_KB, always=1):
        armed_ns = guest.pingpong()
        records = sum(counters()) / (ROUND_TRIPS + 100)
    for ring_kb in RINGS_KB:
        fill_ms = ring_kb * 1024 / 24 / records * armed_ns / 1e6
        for percent in (10, 35, 50, 100, 150, 200, "auto"):
            delay = percent if percent == "auto" else f"{fill_ms * percent / 100:.2f}"
            with guest.loaded(ring_kb=ring_kb), guest.read("--delay", delay):
                figure = guest.pingpong()
                recorded, lost = counters()
            result(ring_kb=ring_kb, delay_percent=percent, fill_ms=round(fill_ms, 2),
                   lost_percent=round(100 * lost / max(1, recorded + lost), 2),
                   overhead_percent=round(100 * (figure / bare_ns - 1), 2))


def kept_from_cpu(guest, lttng):
    """Figs. 6-7, the other half: the module and its peers with equal bytes, read at once and kept from the CPU."""
    pressure.measure(guest, started, lttng)


@contextlib.contextmanager
def wide_area():
    """A second network namespace behind 40 ms each way and 10 Mb/s, without segmentation offloads; gives its name."""
    far = "bench-far"
    run("ip", "netns", "add", far)
    try:
        run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", far)
        for prefix, device, address in (((), "near0", "10.9.0.1/24"),
                                        (("ip", "netns", "exec", far), "far0", "10.9.0.2/24")):
            run(*prefix, "ip", "address", "add", address, "dev", device)
            run(*prefix, "ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
            run(*prefix, "ip", "link", "set", device, "up")
            run(*prefix, "tc", "qdisc", "add", "dev", device, "root", "netem", "delay", "40ms", "rate", "10mbit",
                "limit", "1000")
        yield far
    finally:
        run("ip", "netns", "del", far)


def traverse(guest, far, units):
    """Plays (gap in s, bytes) over one TCP connection: what the application wrote and what the device sent."""
    with guest.loaded(ring_kb=4096, ext=1, layers="sock,dev", dev="near0"), guest.read() as trace:
        sink = subprocess.Popen(["ip", "netns", "exec", far, guest.bench("replay"), "sink", "7000"],
                                stdout=subprocess.PIPE, text=True)
        if sink.stdout.readline() != "ready\n":
            raise Failed("the sink did not listen")
        played = "".join(f"{round(gap * 1e6)} {size}\n" for gap, size in units)
        words = run(guest.bench("replay"), "send", "10.9.0.2", "7000", input=played).split()
        got = int(sink.communicate(timeout=60)[0].split()[1])
        if got != sum(size for _, size in units):
            raise Failed(f"the sink got {got} bytes of {sum(size for _, size in units)}")
    # By ports: of the segments that one large write becomes at the device, the last alone still has its socket.
    port = int(words[words.index("local_port") + 1])
    lines = run(guest.bin("magnet-parse"), "--json", "--event", "SOCK_SEND", "--event", "DEV_SEND", trace).splitlines()
    records = [record for record in map(json.loads, lines)
               if record.get("ext", {}).get("local_port") == port and record["ext"]["peer_port"] == 7000]
    wrote = [(r["utc_ns"], r["size"]) for r in records if r["event"] == "SOCK_SEND" and r["size"] > 0]
    sent = [(r["utc_ns"], r["ext"]["payload"]) for r in records
            if r["event"] == "DEV_SEND" and r["ext"]["payload"] > 0]
    if sum(size for _, size in wrote) != got or sum(size for _, size in sent) < got:
        raise Failed(f"records have {sum(size for _, size in wrote)} bytes written and "
                     f"{sum(size for _, size in sent)} sent, of {got}")
    return spaced(wrote), spaced(sent)


def spaced(units):
    """(gap in s to the one before, bytes) of (time in ns, bytes)."""
    return [((time - units[i - 1][0]) / 1e9 if i else 0.0, size) for i, (time, size) in enumerate(units)]


def modulation(guest, _):
    """Fig. 8, Table II: an application's writes, and the traffic replayed through up to four stacks."""
    seeded = random.Random(2001)
    # The paper's application wrote 3,284 bytes each 0.124 s in the mean; the spread is ours.
    units = [(seeded.expovariate(1 / 0.124), max(1, min(60000, round(seeded.lognormvariate(7.597, 1.0)))))
             for _ in range(300)]
    with wide_area() as far:
        for stack in range(1, 5):
            wrote, sent = traverse(guest, far, units)
            if stack == 1:
                describe("application", wrote)
            describe(f"TCP stack {stack}", sent)
            units = sent


def describe(trial, units):
    result(trial=trial, units=len(units), bytes=statistics.mean(size for _, size in units),
           spacing_s=statistics.mean(gap for gap, _ in units[1:]), sequence=units)


def main():
    experiments = {"inline": inline, "overhead": overhead, "loss": loss, "pressure": kept_from_cpu,
                   "modulation": modulation}
    if len(sys.argv) != 4 or sys.argv[1] not in experiments:
        print(__doc__, file=sys.stderr)
        return 2
    experiments[sys.argv[1]](Guest(sys.argv[2], os.environ["MAGNET_MODULES"]), sys.argv[3])
    return 0


if __name__ == "__main__":
    sys.exit(main())
