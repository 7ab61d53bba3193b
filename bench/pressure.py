# SPDX-License-Identifier: Apache-2.0
"""Who loses events: the same hooks, the same bytes of ring, the same traffic.

"ring": continuous traffic, rings of so many KiB; the cost of a round trip beside the loss. Then the reader is kept from
the CPU, in two ways. "burst": the traffic runs at real-time priority, so that no reader runs until the burst is over,
then all rest for long enough to drain. "busy": traffic, readers and so many busy processes share the CPU at the same,
normal priority. The known number of events is that of the traffic's round trips; each recorder's own account of what
it recorded and lost stands beside it.
"""
import contextlib
import subprocess

import peers
from guest import RING_KB, RINGS_KB, ROUND_TRIPS, Failed, result

BURSTS = (100, 200, 250, 300, 400, 500, 600, 700, 800)  # round trips of each
TIMES, PAUSE_MS = 5, 500  # longer than LTTng's read timer and any delay of magnet-read's
BUSY = (0, 16)  # processes beside the traffic
BUSY_TRIPS = 3000
WARM_UP = 100  # round trips that pingpong makes first
SET_UP = 200  # events of connecting and closing, at most
PURE_ACKS = 0.02  # of all events, at most: acknowledgements of their own where an answer came late


def measure(guest, started, lttng):
    """started(lttng): a context manager that gives the running LTTng."""
    guest.pingpong()
    bare_ns = guest.pingpong()
    recorders = {"MAGNeT, --delay auto": lambda **ring: peers.magnet(guest, size="32M", **ring),
                 "perf record": peers.perf}
    for name, recorder in recorders.items():
        sweep(guest, name, recorder, bare_ns)
    try:
        with started(lttng) as daemon:
            sweep(guest, "LTTng, read timer 200 ms (default)", daemon.recording, bare_ns)
            sweep(guest, "LTTng, read timer 5 ms",
                  lambda **ring: daemon.recording("--read-timer=5000", **ring), bare_ns)
    except (Failed, OSError) as failure:
        result(pressure="LTTng", skipped=str(failure))


def sweep(guest, name, recorder, bare_ns):
    try:
        for ring_kb in RINGS_KB:
            with recorder(ring_kb=ring_kb) as (before, account):
                cost = guest.pingpong(before)
                report(name, "ring", ring_kb, ROUND_TRIPS, account(), ring_kb=ring_kb,
                       overhead_percent=round(100 * (cost / bare_ns - 1), 1))
        for trips in BURSTS:
            with recorder() as (before, account):
                guest.pingpong((*before, "chrt", "-f", "1"), trips, TIMES, PAUSE_MS)
                report(name, "burst", peers.EVENTS_PER_TRIP * trips, trips * TIMES, account())
        for count in BUSY:
            with recorder() as (before, account):
                with busy(count):
                    guest.pingpong(before, BUSY_TRIPS)
                report(name, "busy", count, BUSY_TRIPS, account())
    except (Failed, OSError) as failure:
        result(pressure=name, skipped=str(failure))


def report(name, kind, load, trips, account, ring_kb=RING_KB, **more):
    recorded, lost, size = account
    events = peers.EVENTS_PER_TRIP * (WARM_UP + trips)
    # Not every loss has been told when a recorder ends; what is not recorded is lost all the same.
    missing = max(lost, events - recorded)
    if recorded + lost > events * (1 + PURE_ACKS) + SET_UP:
        raise Failed(f"{kind} {load}: {recorded} recorded and {lost} lost of {events} events")
    result(pressure=name, kind=kind, load=load, ring_kb=ring_kb, events=events, recorded=recorded,
           lost_by_own_account=lost, lost_percent=round(100 * missing / (recorded + missing), 2),
           bytes_per_event=round(size / max(1, recorded), 1), **more)


@contextlib.contextmanager
def busy(count):
    processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
