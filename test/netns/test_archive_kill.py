#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The archive is killed 50 times in mid-stream: what was acknowledged is there once, the rest is resent or counted."""
import collections
import random
import sys
import time

from site_lab import Site, Transfer, skip_unless_possible, wait_until
import struct

KILLS = 50


def packet_ids(file):
    """epb_packetid and origin of each packet, read by the test itself."""
    import json
    import pathlib
    data, at, interfaces, out = pathlib.Path(file).read_bytes(), 0, [], []
    while at + 12 <= len(data):
        kind, length = struct.unpack("<II", data[at:at + 8])
        body = data[at + 8:at + length - 4]

        def options(start):
            while start + 4 <= len(body):
                code, size = struct.unpack("<HH", body[start:start + 4])
                if code == 0:
                    return
                yield code, body[start + 4:start + 4 + size]
                start += 4 + (size + 3) // 4 * 4
        if kind == 1:
            interfaces.append(next((json.loads(v) for c, v in options(8) if c == 1), {}))
        elif kind == 6:
            number, _, _, kept, _ = struct.unpack("<IIIII", body[:20])
            ids = [struct.unpack("<Q", v)[0] for c, v in options(20 + (kept + 3) // 4 * 4) if c == 5]
            out.append((interfaces[number]["session"], ids[0]))
        at += length
    return out


def main():
    skip_unless_possible()
    seed = random.randrange(1 << 30)
    print("seed", seed, flush=True)
    chance = random.Random(seed)
    site = Site("archive-kill", "--sensors", "1")
    site.start(archive_extra="chunk_mib = 1")
    address = site.env["ADDR_b"]
    ping = site.ping(address, "--flow", "udp:20000", "--for", "300s")
    capture = site.tap_capture("s1")
    transfer = Transfer.udp(site, address, 60000, per_second=1500)
    for _ in range(KILLS):
        moment = time.monotonic() + chance.uniform(0.02, 0.4)
        wait_until("the moment", lambda: time.monotonic() >= moment)
        daemon = site.daemons["arc"]
        daemon.popen.kill()
        daemon.popen.wait()
        site.start_daemon("arc")
    client = transfer.client
    wait_until("the sender has ended", lambda: not client.running(), 90)
    transfer.finish(30)
    seen = capture.stop()["fwd"]
    run = ping.run()
    ping.stop()
    wait_until("final counts have arrived", lambda: site.path(run)["forward"]["points"][0]["final_counts"], 30)
    report = site.path(run)
    file = site.folder / "all.pcapng"
    site.fieldline("query", run, "-o", file)
    ids = collections.Counter(packet_ids(file))
    assert max(ids.values()) == 1, "a record stands twice"
    point = report["forward"]["points"][0]
    wanted = sum(1 for p in seen if p.protocol == 17 and p.dport == 20000)
    print(f"{KILLS} kills: tcpdump {wanted}, kernel {point['seen']}, archive {point['recorded']}, dropped {point['dropped']}")
    assert point["seen"] == wanted
    assert point["seen"] == point["recorded"] + sum(point["dropped"].values())
    assert sum(ids.values()) == report["forward"]["points"][0]["recorded"] + sum(
        p["recorded"] for p in report["reverse"]["points"])
    stream = site.status()["sensors"][0]["stream"]
    assert stream["connects"] > KILLS // 2, stream
    site.fieldline("archive", "reindex")
    assert site.path(run) == report, "another answer after the index was rebuilt"
    return 0


sys.exit(main())
