#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PulseShortlyBeforeTheDeadlineLeavesNoGap: renewals are written together after a while, but one that comes 150 ms before
the deadline that it replaces must be in the kernel before that deadline."""
import os
import sys

from forge import Forge
from packets import read_pcapng
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

# Each pulse is sent at its own issued-at: "NANOSECONDS HEX" a line.
SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in open(sys.argv[1]):
    at, trigger = line.split()
    while time.time_ns() < int(at):
        time.sleep(max(0, min(0.01, (int(at) - time.time_ns()) / 1e9)))
    s.sendto(bytes.fromhex(trigger), (sys.argv[2], 8620))
"""


def main():
    skip_unless_possible()
    site = Site("late-pulse", "--sensors", "1")
    site.start()
    address, hold = site.env["ADDR_b"], 2.0
    forge = Forge(site.key, site.env["ADDR_a"], address)
    run = os.urandom(16)
    first = forge.trigger(run=run, seconds=30, issued=1, pulse_issued=1, pulse_seconds=hold)
    grant_end = 20 + 152 + 4 + 64
    begin = int.from_bytes(first[grant_end + 8:grant_end + 16], "big")
    lines = [f"{begin} {first.hex()}"]
    for number in range(1, 4):
        after = number * (hold - 0.15)
        lines.append(f"{begin + int(after * 1e9)} {forge.renewal(first, number + 1, after, hold).hex()}")
    (site.folder / "pulses").write_text("\n".join(lines) + "\n")

    capture = site.tap_capture("s1")
    pulses = site.spawn("a", sys.executable, "-c", SEND, site.folder / "pulses", address, log="pulses.log")
    Transfer.udp(site, address, 9000, per_second=1000).finish()
    assert pulses.stop() == 0, pulses.text()
    wait_until("the run is over", lambda: all(s["runs"] == 0 for s in site.status()["sensors"]))
    seen = capture.stop()["fwd"]
    site.fieldline("query", run.hex(), "-o", site.folder / "run.pcapng")
    times = sorted(packet.timestamp_ns for _, packet in read_pcapng(site.folder / "run.pcapng"))
    assert times[-1] - times[0] > 7e9, "the renewals did not hold the run"
    between = [p for p in seen if p.dport == 20000 and times[0] - 1e6 < p.timestamp_ns < times[-1] + 1e6]
    print(f"{len(times)} recorded over {(times[-1] - times[0]) / 1e9:.1f} s, tcpdump {len(between)}", flush=True)
    # The very first and last packet may lie on either side of the two clocks' reading.
    assert abs(len(between) - len(times)) <= 4, "packets are missing where a pulse came late"
    return 0


sys.exit(main())
