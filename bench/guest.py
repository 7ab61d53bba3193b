# SPDX-License-Identifier: Apache-2.0
"""The guest as a place to measure in: running programs, waiting for them, the module and its reader, the traffic."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

ROUND_TRIPS = 20000
RING_KB = 256  # the module's default, the paper's, and what every peer gets per CPU
RINGS_KB = (64, 256, 1024, 4096)  # of Figs. 6-7


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

    def pingpong(self, before=(), round_trips=ROUND_TRIPS, bursts=1, pause_ms=0):
        """ns of the guest's clock for one round trip: instructions, under -icount shift=0."""
        words = [round_trips, 1, bursts, pause_ms] if pause_ms else [round_trips]
        fields = run(*before, self.bench("pingpong"), *map(str, words)).split()
        return float(fields[fields.index("ns") + 1])


def counters():
    """recorded and lost over all CPUs, from /proc/net/magnet."""
    text = open("/proc/net/magnet").read()
    recorded = sum(int(n) for n in re.findall(r"\brecorded[ =](\d+)", text))
    lost = sum(int(n) for n in re.findall(r"\blost[ =](\d+)", text))
    return recorded, lost
