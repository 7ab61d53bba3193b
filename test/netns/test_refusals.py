#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each way to say no is a counter of its own in `fieldline status` and a line in the log; none leaves a trace of an
activation. The triggers are forged without Fieldline's code."""
import os
import subprocess
import sys

from forge import Forge
from process import wait_until
from site_lab import Site, skip_unless_possible

SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 8620))
"""


def stranger(site, name, options=""):
    key = site.folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    if options:
        kind, blob = key.with_suffix(".pub").read_text().split()[:2]
        with open(site.folder / "allowed_signers", "a") as signers:
            signers.write(f"{name}@site-b {options} {kind} {blob}\n")
    return key


def main():
    skip_unless_possible()
    site = Site("refusals", "--sensors", "1")
    unknown = stranger(site, "unknown")
    querier = stranger(site, "querier", 'namespaces="query@fieldline"')
    site.start(deny='[[sensor.deny]]\nname = "hospital"\nhosts = ["10.0.1.77"]\n')
    a, b = site.env["ADDR_a"], site.env["ADDR_b"]
    good = Forge(site.key, a, b)
    seen = {}

    def provoke(reason, payload, to=b):
        before = site.refusals()[reason] if site.refusals() else 0
        site.run("a", sys.executable, "-c", SEND, payload.hex(), to)
        wait_until(f"{reason} is counted", lambda: site.refusals().get(reason, 0) > before, 10)
        seen[reason] = True
        print(f"  {reason}", flush=True)

    def flip(data, at):
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    whole = good.trigger()
    provoke("unknown_version", good.trigger(version=9))
    provoke("malformed", flip(whole, 12))
    provoke("unsupported", good.trigger(sample=8))
    provoke("outer_mismatch", good.trigger(host_a="10.0.0.9"))
    provoke("expired", good.trigger(issued=-100, seconds=50, pulse_issued=-90, pulse_seconds=10))
    provoke("from_future", good.trigger(issued=100, pulse_issued=101))
    provoke("unknown_key", Forge(unknown, a, b).trigger())
    provoke("wrong_namespace", Forge(querier, a, b).trigger())
    provoke("bad_signature", flip(whole, 20 + 152 + 4 + 10))
    provoke("bad_signature", Forge(site.key, a, b).trigger(name_space="query@fieldline"))
    provoke("unknown_archive", good.trigger(archive=os.urandom(32)))
    assert site.status()["sensors"][0]["runs"] == 0, "a refused trigger left an activation"
    run = os.urandom(16)
    first = good.trigger(run=run)
    site.run("a", sys.executable, "-c", SEND, first.hex(), b)
    wait_until("the right one is accepted", lambda: site.status()["sensors"][0]["runs"] == 1)
    provoke("duplicate", first)
    provoke("grant_changed", good.trigger(run=run, sequence=2, pairs=((0, 20001),)))
    # An address that no rule allows, from a host that really has it.
    site.run("a", "ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    outside = Forge(site.key, "192.0.2.1", b).trigger()
    bind = SEND.replace("s.sendto", "s.bind(('192.0.2.1', 0)); s.sendto")
    before = site.refusals()["hosts_not_allowed"]
    site.run("a", sys.executable, "-c", bind, outside.hex(), b)
    wait_until("hosts_not_allowed is counted", lambda: site.refusals()["hosts_not_allowed"] > before)
    log = site.daemons["s1"].text()
    for reason in set(seen) - {"duplicate"}:
        assert f"refused: {reason}" in log, f"{reason} is not in the log"
    print(f"{len(seen) + 1} reasons, each counted and logged", flush=True)
    return 0


sys.exit(main())
