#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The archive is killed 50 times in mid-stream: what was acknowledged is there once, the rest is resent or counted."""
import collections
import random
import sys
import time

from packets import read_pcapng
from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer

KILLS = 50


def kill_in_mid_stream(site, transfer, chance):
    """Each kill finds a connection on which records flow."""
    sensor = site.daemons["s1"]
    for number in range(1, KILLS + 1):
        moment = time.monotonic() + chance.uniform(0.02, 0.4)
        wait_until("the moment", lambda: time.monotonic() >= moment)
        assert transfer.client.running(), f"nothing is sent at kill {number}"
        connections = sensor.text().count(": connected")
        archive = site.daemons["arc"]
        archive.popen.kill()
        archive.popen.wait()
        site.start_daemon("arc")
        wait_until(f"the sensor is back after kill {number}",
                   lambda: sensor.text().count(": connected") > connections, 30)
    assert transfer.client.running(), "the sender ended before the last kill was over"


def main():
    skip_unless_possible()
    seed = random.randrange(1 << 30)
    print("seed", seed, flush=True)
    site = Site("archive-kill", "--sensors", "1")
    site.start(archive_extra="chunk_mib = 1")
    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:20000", "--for", "600s")
    capture = site.tap_capture("s1")
    transfer = Transfer.udp(site, site.env["ADDR_b"], 600000, per_second=1000)
    kill_in_mid_stream(site, transfer, random.Random(seed))
    transfer.end_early()
    seen = capture.stop()["fwd"]
    run = ping.run()
    ping.stop()

    def final():
        points = site.path(run)["forward"]["points"]
        return points and points[0]["final_counts"]
    wait_until("final counts have arrived", final, 30)
    report = site.path(run)
    file = site.folder / "all.pcapng"
    site.fieldline("query", run, "-o", file)
    ids = collections.Counter((origin["session"], packet.id) for origin, packet in read_pcapng(file))
    assert max(ids.values()) == 1, "a record stands twice"
    point = report["forward"]["points"][0]
    wanted = sum(1 for p in seen if p.protocol == 17 and p.dport == 20000)
    print(f"{KILLS} kills: tcpdump {wanted}, kernel {point['seen']}, archive {point['recorded']}, dropped {point['dropped']}",
          flush=True)
    assert point["seen"] == wanted
    assert point["seen"] == point["recorded"] + sum(point["dropped"].values())
    assert sum(ids.values()) == point["recorded"] + sum(p["recorded"] for p in report["reverse"]["points"])
    stream = site.status()["sensors"][0]["stream"]
    assert stream["connects"] == KILLS + 1, stream
    site.fieldline("archive", "reindex")
    assert site.path(run) == report, "another answer after the index was rebuilt"
    return 0


sys.exit(main())
