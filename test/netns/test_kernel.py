#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernel does when the daemon cannot: SIGSTOP, and the deadline still holds; SIGKILL, and nothing remains."""
import difflib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from process import wait_until
from site_lab import Site, skip_unless_possible
from transfer import Transfer


def maps_of(pid):
    """Ids of the BPF maps that a process holds open."""
    ids = set()
    for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        ids |= {int(line.split()[1]) for line in entry.read_text().splitlines() if line.startswith("map_id:")}
    return ids


def bpftool(*arguments):
    return json.loads(subprocess.run(["bpftool", "-j", *map(str, arguments)], check=True, capture_output=True,
                                     text=True).stdout)


def flow_packets(pid):
    """Sum over the flow counters of the daemon's map, read beside it."""
    for number in maps_of(pid):
        if bpftool("map", "show", "id", number).get("name", "").startswith("flow_counters"[:15]):
            table = bpftool("map", "dump", "id", number)
            return sum(int.from_bytes(bytes(int(b, 16) for b in cpu["value"][:8]), "little") if isinstance(cpu["value"], list)
                       else cpu["value"]["packets"] for e in table for cpu in e["values"])
    raise RuntimeError("the daemon holds no flow counters")


def deadline_holds_while_stopped(site):
    address = site.env["ADDR_b"]
    ping = site.ping(address, "--flow", "udp:20000", "--for", "3s")
    pid = site.daemons["s1"].popen.pid  # nsenter execs
    os.kill(pid, signal.SIGSTOP)
    # 1,000 a second for longer than the grant holds: counting goes on in the kernel, then it freezes.
    transfer = Transfer.udp(site, address, 9000, per_second=1000)
    wait_until("the kernel counts while the daemon is stopped", lambda: flow_packets(pid) > 0)
    deadline = ping.granted()["grant"]["not_after_ns"]
    wait_until("the grant's end", lambda: time.time_ns() > deadline + 10**8)
    frozen = flow_packets(pid)
    sent = site.sent("a", "l0")
    wait_until("traffic goes on", lambda: site.sent("a", "l0") > sent + 500)
    assert flow_packets(pid) == frozen, "the kernel counted past the deadline"
    assert 0 < frozen < 9000
    transfer.finish()
    os.kill(pid, signal.SIGCONT)
    print(f"stopped daemon: counters froze at {frozen}", flush=True)
    run = ping.run()
    wait_until("final counts after the daemon went on", lambda: site.path(run)["complete"])


def changed(before, after):
    if not isinstance(before, str):
        return f"{before} before, {after} after"
    return "; ".join(line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-")


def state_of(site, port):
    """What a sensor could leave on its port."""
    link = json.loads(site.run("s1", "ip", "-j", "-d", "link", "show", "dev", port).stdout)[0]
    return {"features": site.run("s1", "ethtool", "-k", port).stdout, "xdp": link.get("xdp"),
            "promiscuity": link.get("promiscuity", 0), "flags": link["flags"],
            "qdiscs": site.run("s1", "tc", "qdisc", "show", "dev", port).stdout,
            "filters": [site.run("s1", "tc", "filter", "show", "dev", port, way, check=False).stdout
                        for way in ("ingress", "egress")]}


def machine_state(site):
    pinned = sorted(str(p) for p in pathlib.Path("/sys/fs/bpf").rglob("*") if p.is_file())
    return {"pinned": pinned, **{port: state_of(site, port) for port in ("fwd", "rev")}}


def kill_leaves_nothing(site, untouched):
    ping = site.ping(site.env["ADDR_b"], "--flow", "udp:20000", "--for", "20s")
    assert state_of(site, "fwd")["xdp"] and state_of(site, "rev")["xdp"], "no XDP program while the sensor runs"
    daemon = site.daemons["s1"]
    daemon.popen.kill()
    daemon.popen.wait()
    wait_until("no program on the ports", lambda: not any(state_of(site, p)["xdp"] for p in ("fwd", "rev")))
    now = machine_state(site)
    assert now["pinned"] == untouched["pinned"], changed("\n".join(untouched["pinned"]), "\n".join(now["pinned"]))
    for port in ("fwd", "rev"):
        for what, value in untouched[port].items():
            assert now[port][what] == value, f"{port} {what}: {changed(value, now[port][what])}"
    site.start_daemon("s1")
    # The pulses of the same run switch the new process on, with no hand on the sensor.
    def active_again():
        return any(s["sensor"] == "s1" and s["runs"] == 1 for s in site.status()["sensors"])
    wait_until("the next pulse activates the restarted sensor", active_again)
    ping.stop()
    print("killed daemon: nothing left, next pulse activates its successor", flush=True)


def main():
    skip_unless_possible()
    site = Site("kernel", "--sensors", "1")
    untouched = machine_state(site)
    site.start(sensor_extra="max_flows = 16")  # a small table: it is dumped whole, over and over
    deadline_holds_while_stopped(site)
    kill_leaves_nothing(site, untouched)
    return 0


sys.exit(main())
