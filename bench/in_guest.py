#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The half of bench/magnet that runs inside the guest: measures, and prints one line "RESULT {json}" per figure.

in_guest.py EXPERIMENT BUILD     BUILD: folder with bin/ and bench/; the module is in $MAGNET_MODULES (test/qemu/run)
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

ROUND_TRIPS = 20000
REPEATS = 3
RING_KB = 256  # the module's default, the paper's, and what every peer gets per CPU
TRACEFS = "/sys/kernel/tracing"
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
    def __init__(self, build, module):
        self.build, self.module = build, module

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
        """magnet-read into a fresh trace; gives the trace's name."""
        trace = "/mnt/trace"
        run(self.bin("mkmagnet"), "--force", trace, size)
        opened = lambda process: any(
            os.path.realpath(f"/proc/{process.pid}/fd/{fd}") == "/dev/magnet0"
            for fd in os.listdir(f"/proc/{process.pid}/fd"))
        with program(self.bin("magnet-read"), *options, trace, ready=opened, what="magnet-read"):
            yield trace
        os.unlink(trace)

    def pingpong(self, round_trips=ROUND_TRIPS):
        """ns of the guest's clock for one round trip: instructions, under -icount shift=0."""
        fields = run(self.bench("pingpong"), str(round_trips)).split()
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
    with kprobes() as events:
        started = lambda process: any("anon_inode:[perf_event]" in os.readlink(f"/proc/{process.pid}/fd/{fd}")
                                      for fd in os.listdir(f"/proc/{process.pid}/fd"))
        chosen = [word for event in events for word in ("-e", event)]
        with program("perf", "record", "-a", "-m", f"{RING_KB}K", "-o", "/mnt/perf.data", *chosen, ready=started,
                     what="perf"):
            yield
    os.unlink("/mnt/perf.data")


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
            with set_up():
                before = counters() if os.path.exists("/proc/net/magnet") else (0, 0)
                figures = sorted(guest.pingpong() for _ in range(REPEATS))
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
    with guest.loaded(ring_kb=RING_KB, always=1):
        round_trip_ns = guest.pingpong()
        records = sum(counters()) / (ROUND_TRIPS + 100)
    bare_ns = guest.pingpong()
    for ring_kb in (64, 256, 1024, 4096):
        fill_ms = ring_kb * 1024 / 24 / records * round_trip_ns / 1e6
        for percent in (10, 35, 50, 100, 150, 200):
            with guest.loaded(ring_kb=ring_kb), guest.read("--delay", f"{max(1, round(fill_ms * percent / 100))}"):
                figure = guest.pingpong()
                recorded, lost = counters()
            result(ring_kb=ring_kb, delay_percent=percent, fill_ms=round(fill_ms, 2),
                   lost_percent=round(100 * lost / max(1, recorded + lost), 2),
                   overhead_percent=round(100 * (figure / bare_ns - 1), 2))
        with guest.loaded(ring_kb=ring_kb), guest.read("--delay", "auto"):
            figure = guest.pingpong()
            recorded, lost = counters()
        result(ring_kb=ring_kb, delay_percent="auto", fill_ms=round(fill_ms, 2),
               lost_percent=round(100 * lost / max(1, recorded + lost), 2),
               overhead_percent=round(100 * (figure / bare_ns - 1), 2))


def main():
    experiments = {"overhead": overhead, "loss": loss}
    if len(sys.argv) != 3 or sys.argv[1] not in experiments:
        print(__doc__, file=sys.stderr)
        return 2
    experiments[sys.argv[1]](Guest(sys.argv[2], os.path.join(os.environ["MAGNET_MODULES"], "magnet.ko")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
