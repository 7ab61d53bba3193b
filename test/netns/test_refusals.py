#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each way to say no is a counter of its own in `fieldline status` and a line in the log; none leaves a trace of an
activation. The triggers are forged without Fieldline's code."""
import os
import subprocess
import sys
import time

from forge import Forge
from process import wait_until
from site_lab import Site, skip_unless_possible

BURST = 200


def stranger(site, name, options=""):
    key = site.folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    if options:
        kind, blob = key.with_suffix(".pub").read_text().split()[:2]
        with open(site.folder / "allowed_signers", "a") as signers:
            signers.write(f"{name}@site-b {options} {kind} {blob}\n")
    return key


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Prober:
    """Sends triggers from a and reads what the sensor counts."""

    def __init__(self, site):
        self.site, self.to, self.seen = site, site.env["ADDR_b"], set()

    def send(self, payloads, to=None, *options):
        file = self.site.folder / "triggers"
        file.write_text("\n".join(payload.hex() for payload in payloads))
        self.site.run("a", sys.executable, Forge.SEND, to or self.to, file, *options)

    def provoke(self, reason, payload, to=None, *options, copies=1):
        """Counted under this reason, as often as it passed the sensor, and under no other."""
        before = self.site.refusals()
        self.send([payload], to, *options)
        wait_until(f"{reason} is counted", lambda: self.site.refusals().get(reason, 0) >= before[reason] + copies, 10)
        now = self.site.refusals()
        changed = {r: now[r] - before[r] for r in now if now[r] != before[r]}
        assert changed == {reason: copies}, (reason, changed)
        self.seen.add(reason)
        print("  ", reason, *options, flush=True)

    def runs(self):
        return self.site.status()["sensors"][0]["runs"]


def refused_before_any_run(site, probe, good, unknown, querier):
    a, b = site.env["ADDR_a"], site.env["ADDR_b"]
    whole = good.trigger()
    probe.provoke("unknown_version", good.trigger(version=9))
    probe.provoke("malformed", flip(whole, 12))
    probe.provoke("unsupported", good.trigger(sample=6))
    probe.provoke("outer_mismatch", good.trigger(host_a="10.0.0.9"))
    probe.provoke("expired", good.trigger(issued=-100, seconds=50, pulse_issued=-90, pulse_seconds=10))
    probe.provoke("from_future", good.trigger(issued=100, pulse_issued=101))
    probe.provoke("unknown_key", Forge(unknown, a, b).trigger())
    probe.provoke("wrong_namespace", Forge(querier, a, b).trigger())
    probe.provoke("bad_signature", flip(whole, 20 + 152 + 4 + 10))
    probe.provoke("bad_signature", Forge(site.key, a, b).trigger(name_space="query@fieldline"))
    probe.provoke("unknown_archive", good.trigger(archive=os.urandom(32)))
    # Echo requests: the answer carries the same bytes past the sensor once more.
    probe.provoke("bad_signature", flip(good.trigger(), 20 + 152 + 4 + 10), b, "--icmp", copies=2)
    a6, b6 = site.env["ADDR6_a"], site.env["ADDR6_b"]
    probe.provoke("bad_signature", flip(Forge(site.key, a6, b6).trigger(), 20 + 152 + 4 + 10), b6, "--icmp", copies=2)
    # A patient of the hospital, who is there and answers for himself.
    site.run("b", "ip", "addr", "add", "10.0.1.77/32", "dev", "l1")
    probe.provoke("denied", Forge(site.key, a, "10.0.1.77").trigger(), "10.0.1.77")
    assert "hospital" in site.daemons["s1"].text(), "the rule is not named in the log"
    # An address that no rule allows, from a host that really has it.
    site.run("a", "ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    probe.provoke("hosts_not_allowed", Forge(site.key, "192.0.2.1", b).trigger(), b, "--source", "192.0.2.1")
    assert probe.runs() == 0, "a refused trigger left an activation"


def refused_beside_a_run(probe, good):
    run = os.urandom(16)
    first = good.trigger(run=run)
    probe.send([first])
    wait_until("the right one is accepted", lambda: probe.runs() == 1)
    probe.provoke("duplicate", first)
    probe.provoke("grant_changed", good.trigger(run=run, sequence=2, pairs=((0, 20001),)))
    assert probe.runs() == 1


def flood(site, probe, good):
    """Right triggers, each of a run of its own: the bucket's burst and what flows into it meanwhile, no more."""
    triggers = [good.trigger(pairs=((30000 + n, 0),), seconds=60, pulse_seconds=60) for n in range(BURST)]

    def counts():
        sensor = site.status()["sensors"][0]
        return sensor["accepted"], sensor["refused"]
    accepted, refused = counts()
    begin = time.monotonic()
    probe.send(triggers)

    def outcome():
        now_accepted, now_refused = counts()
        out = {r: now_refused[r] - refused[r] for r in now_refused if now_refused[r] != refused[r]}
        out["accepted"] = now_accepted - accepted
        return out if sum(out.values()) >= BURST else None
    out = wait_until("all are answered for", outcome, 10)
    refilled = 20 * (time.monotonic() - begin)  # a second, sense::GateLimits
    print("   flood:", out, flush=True)
    assert sum(out.values()) == BURST and set(out) <= {"accepted", "rate_limited", "busy"}, out
    assert out["rate_limited"] >= BURST - 64 - refilled - out.get("busy", 0) and 0 < out["accepted"] <= 64 + refilled, out
    probe.seen.add("rate_limited")


def main():
    skip_unless_possible()
    site = Site("refusals", "--sensors", "1", "--ipv6")
    unknown = stranger(site, "unknown")
    querier = stranger(site, "querier", 'namespaces="query@fieldline"')
    site.start(deny='[[sensor.deny]]\nname = "hospital"\nhosts = ["10.0.1.77"]\n')
    good, probe = Forge(site.key, site.env["ADDR_a"], site.env["ADDR_b"]), Prober(site)
    refused_before_any_run(site, probe, good, unknown, querier)
    refused_beside_a_run(probe, good)
    flood(site, probe, good)
    log = site.daemons["s1"].text()
    for reason in probe.seen - {"duplicate"}:
        assert f"refused: {reason}" in log, f"{reason} is not in the log"
    print(f"{len(probe.seen)} reasons, each counted and logged", flush=True)
    return 0


sys.exit(main())
