#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The half of bench/magnet that runs inside the guest: measures, and prints one line "RESULT {json}" per figure.

in_guest.py EXPERIMENT BUILD     BUILD: folder with bin/ and bench/; the module is in $MAGNET_MODULES (test/qemu/run)
"""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROUND_TRIPS = 20000
REPEATS = 3
RING_KB = 256  # the module's default, the paper's, and what every peer gets per CPU
TRACEFS = "/sys/kernel/tracing"
PERF_DATA = "/mnt/perf.data"
# The module's hooks as far as a peer can have them: the same functions and tracepoints.
PROBES = {
    "sock_send": "inet_sendmsg", "sock_recv": "inet_recvmsg", "tcp_send": "__tcp_transmit_skb",
    "tcp_recv": "tcp_v4_do_rcv", "ip_send": "ip_output", "ip_recv": "ip_local_deliver",
}
TRACEPOINTS = ["net:net_dev_start_xmit", "net:netif_receive_skb"]


def result(**values):
    print("RESULT", json.dumps(values), flush=True)


def skipped(name, reason):
    result(configuration=name, skipped=reason)


class Failed(Exception):
    pass


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def wait_for(condition, what, seconds=60):
    """Polls, since what is waited for is another program's state; gives up by name."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"gave up waiting for {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def program(*command, ready, what):
    """Runs a program beside the measurement; ready(process) says when it is at work."""
    log = open(f"/mnt/{os.path.basename(command[0])}.log", "w+b")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        def at_work():
            if process.poll() is not None:
                log.seek(0)
                raise Failed(f"{command[0]} ended: {log.read().decode(errors='replace')[-300:]}")
            return ready(process)
        wait_for(at_work, what)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        log.close()


class Guest:
    def __init__(self, build, modules):
        self.build = build
        # A copy: the cache may be rebuilt while this runs.
        self.module = shutil.copy(os.path.join(modules, "magnet.ko"), "/mnt/magnet.ko")

    def bin(self, name):
        return os.path.join(self.build, "bin", name)

    def bench(self, name):
        return os.path.join(self.build, "bench", name)

    @contextlib.contextmanager
    def loaded(self, **parameters):
        run("insmod", self.module, *[f"{key}={value}" for key, value in parameters.items()])
        try:
            yield
        finally:
            wait_for(lambda: subprocess.run(["rmmod", "magnet"], stderr=subprocess.DEVNULL).returncode == 0,
                     "the module to unload")

    @contextlib.contextmanager
    def read(self, *options, size="160M"):
        """magnet-read into a fresh trace, which is whole when it has ended; gives its name."""
        trace = "/mnt/trace"
        run(self.bin("mkmagnet"), "--force", trace, size)
        opened = lambda process: any(
            os.path.realpath(f"/proc/{process.pid}/fd/{fd}") == "/dev/magnet0"
            for fd in os.listdir(f"/proc/{process.pid}/fd"))
        with program(self.bin("magnet-read"), *options, trace, ready=opened, what="magnet-read"):
            yield trace

    def pingpong(self, before=()):
        """ns of the guest's clock for one round trip: instructions, under -icount shift=0."""
        fields = run(*before, self.bench("pingpong"), str(ROUND_TRIPS)).split()
        return float(fields[fields.index("ns") + 1])


def counters():
    """recorded and lost over all CPUs, from /proc/net/magnet."""
    text = open("/proc/net/magnet").read()
    recorded = sum(int(n) for n in re.findall(r"\brecorded[ =](\d+)", text))
    lost = sum(int(n) for n in re.findall(r"\blost[ =](\d+)", text))
    return recorded, lost


@contextlib.contextmanager
def kprobes():
    """The peers' kprobes as trace events magnetpeer:*."""
    if not os.path.exists(f"{TRACEFS}/kprobe_events"):
        run("mount", "-t", "tracefs", "tracefs", TRACEFS)
    with open(f"{TRACEFS}/kprobe_events", "w") as file:
        file.write("\n".join(f"p:magnetpeer/{name} {symbol}" for name, symbol in PROBES.items()) + "\n")
    try:
        yield [f"magnetpeer:{name}" for name in PROBES] + TRACEPOINTS
    finally:
        with open(f"{TRACEFS}/kprobe_events", "w") as file:
            file.write("")


@contextlib.contextmanager
def perf():
    """Gives what goes before the measured command: perf records all CPUs for as long as that runs."""
    with kprobes() as events:
        chosen = [word for event in events for word in ("-e", event)]
        yield ["perf", "record", "-q", "-a", "-m", f"{RING_KB}K", "-o", PERF_DATA, *chosen, "--"]
    os.unlink(PERF_DATA)


@contextlib.contextmanager
def bpftrace():
    """Counts per hook: less than a record each, which is to its favour."""
    script = " ".join(f"kprobe:{symbol} {{ @[probe] = count(); }}" for symbol in PROBES.values())
    script += " ".join(f" tracepoint:{point} {{ @[probe] = count(); }}" for point in TRACEPOINTS)
    log = "/mnt/bpftrace.log"
    with program("bpftrace", "-e", f'BEGIN {{ printf("attached\\n"); }} {script}',
                 ready=lambda _: b"attached" in open(log, "rb").read(), what="bpftrace"):
        yield


@contextlib.contextmanager
def tcpdump():
    log = "/mnt/tcpdump.log"
    with program("tcpdump", "-Z", "root", "-n", "-i", "lo", "-s", "68", "-w", "/mnt/peer.pcap",
                 ready=lambda _: b"listening on" in open(log, "rb").read(), what="tcpdump"):
        yield
    os.unlink("/mnt/peer.pcap")


def overhead(guest):
    """Table I, Figs. 4-5: one machine that is sender and receiver, cost of a TCP round trip."""
    guest.pingpong()  # the first run after the boot pays for what is set up once

    def measure(name, set_up):
        try:
            with set_up() as monitor:
                before = counters() if os.path.exists("/proc/net/magnet") else (0, 0)
                figures = sorted(guest.pingpong(monitor or ()) for _ in range(REPEATS))
                after = counters() if os.path.exists("/proc/net/magnet") else (0, 0)
        except (Failed, OSError) as failure:
            skipped(name, str(failure))
            return
        trips = REPEATS * (ROUND_TRIPS + 100)
        result(configuration=name, ns=figures[len(figures) // 2], lowest=figures[0], highest=figures[-1],
               records_per_trip=round((after[0] + after[1] - before[0] - before[1]) / trips, 2),
               lost_percent=round(100 * (after[1] - before[1]) / max(1, sum(after) - sum(before)), 2))

    @contextlib.contextmanager
    def reading(**parameters):
        with guest.loaded(ring_kb=RING_KB, **parameters), guest.read():
            yield

    measure("nothing", contextlib.nullcontext)
    measure("module loaded, no device open", lambda: guest.loaded(ring_kb=RING_KB))
    measure("module armed, nobody reads (always=1)", lambda: guest.loaded(ring_kb=RING_KB, always=1))
    measure("module + magnet-read", reading)
    measure("module + magnet-read, ext=1", lambda: reading(ext=1))
    measure("module + magnet-read, layers sock,tcp,ip as in the paper", lambda: reading(layers="sock,tcp,ip"))
    measure("tcpdump -s 68", tcpdump)
    measure("perf record, the same hooks", perf)
    measure("bpftrace count, the same hooks", bpftrace)


def loss(guest):
    """Figs. 6-7: share of events lost and cost of a round trip over ring sizes and reading delays."""
    guest.pingpong()
    bare_ns = guest.pingpong()
    with guest.loaded(ring_kb=RING_KB, always=1):
        armed_ns = guest.pingpong()
        records = sum(counters()) / (ROUND_TRIPS + 100)
    for ring_kb in (64, 256, 1024, 4096):
        fill_ms = ring_kb * 1024 / 24 / records * armed_ns / 1e6
        for percent in (10, 35, 50, 100, 150, 200, "auto"):
            delay = percent if percent == "auto" else f"{fill_ms * percent / 100:.2f}"
            with guest.loaded(ring_kb=ring_kb), guest.read("--delay", delay):
                figure = guest.pingpong()
                recorded, lost = counters()
            result(ring_kb=ring_kb, delay_percent=percent, fill_ms=round(fill_ms, 2),
                   lost_percent=round(100 * lost / max(1, recorded + lost), 2),
                   overhead_percent=round(100 * (figure / bare_ns - 1), 2))
    loss_of_perf(guest)


def loss_of_perf(guest):
    """The same with perf's ring of as many bytes: the traffic says how many events there were."""
    name = "perf record, the same hooks"
    try:
        with perf() as before:
            guest.pingpong(before)
            stats = run("perf", "report", "-i", PERF_DATA, "--stats", "--stdio")
    except (Failed, OSError) as failure:
        result(peer=name, kb=RING_KB, skipped=str(failure))
        return
    events = 2 * (len(PROBES) + len(TRACEPOINTS)) * (ROUND_TRIPS + 100)
    recorded = int(re.search(r"SAMPLE events:\s+(\d+)", stats)[1])
    result(peer=name, kb=RING_KB, events=events, lost_percent=round(max(0, 100 * (1 - recorded / events)), 2))


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


def modulation(guest):
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
    experiments = {"overhead": overhead, "loss": loss, "modulation": modulation}
    if len(sys.argv) != 3 or sys.argv[1] not in experiments:
        print(__doc__, file=sys.stderr)
        return 2
    experiments[sys.argv[1]](Guest(sys.argv[2], os.environ["MAGNET_MODULES"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
