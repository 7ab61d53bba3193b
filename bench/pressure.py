# SPDX-License-Identifier: Apache-2.0
"""Who loses events when its reader is kept from the CPU: the same hooks, the same bytes of ring, the same traffic.

Two ways to be kept. "burst": the traffic runs at real-time priority, so that no reader runs until the burst is over,
then all rest for long enough to drain. "busy": traffic, readers and so many busy processes share the CPU at the same,
normal priority. The known number of events is that of the traffic's round trips; each recorder's own account of what
it recorded and lost stands beside it.
"""
import contextlib
import subprocess

import peers
from guest import RING_KB, Failed, result

BURSTS = (100, 200, 250, 300, 400, 500, 600, 700, 800)  # round trips of each
TIMES, PAUSE_MS = 5, 500  # longer than LTTng's read timer and any delay of magnet-read's
BUSY = (0, 16)  # processes beside the traffic
BUSY_TRIPS = 3000
WARM_UP = 100  # round trips that pingpong makes first
SET_UP = 200  # events of connecting and closing, at most
PURE_ACKS = 0.02  # of all events, at most: acknowledgements of their own where an answer came late


def measure(guest, started, lttng):
    """started(lttng): a context manager that gives the running LTTng."""
    recorders = {"MAGNeT, --delay auto": lambda: peers.magnet(guest, size="32M"), "perf record": peers.perf}
    for name, recorder in recorders.items():
        sweep(guest, name, recorder)
    try:
        with started(lttng) as daemon:
            sweep(guest, "LTTng, read timer 200 ms (default)", daemon.recording)
            sweep(guest, "LTTng, read timer 5 ms", lambda: daemon.recording("--read-timer=5000"))
    except (Failed, OSError) as failure:
        result(pressure="LTTng", skipped=str(failure))


def sweep(guest, name, recorder):
    try:
        for trips in BURSTS:
            events = peers.EVENTS_PER_TRIP * (WARM_UP + trips * TIMES)
            with recorder() as (before, account):
                guest.pingpong((*before, "chrt", "-f", "1"), trips, TIMES, PAUSE_MS)
                report(name, "burst", peers.EVENTS_PER_TRIP * trips, events, account())
        for count in BUSY:
            events = peers.EVENTS_PER_TRIP * (WARM_UP + BUSY_TRIPS)
            with recorder() as (before, account):
                with busy(count):
                    guest.pingpong(before, BUSY_TRIPS)
                report(name, "busy", count, events, account())
    except (Failed, OSError) as failure:
        result(pressure=name, skipped=str(failure))


def report(name, kind, load, events, account):
    recorded, lost, size = account
    # Not every loss has been told when a recorder ends; what is not recorded is lost all the same.
    missing = max(lost, events - recorded)
    if recorded + lost > events * (1 + PURE_ACKS) + SET_UP:
        raise Failed(f"{kind} {load}: {recorded} recorded and {lost} lost of {events} events")
    result(pressure=name, kind=kind, load=load, ring_kb=RING_KB, events=events, recorded=recorded, lost_by_own_account=lost,
           lost_percent=round(100 * missing / (recorded + missing), 2), bytes_per_event=round(size / max(1, recorded), 1))


@contextlib.contextmanager
def busy(count):
    processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
