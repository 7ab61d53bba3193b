#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The host role: fieldlined in a and b records the sockets of a run, theirs alone, and the archive has what the daemons
counted. Here by eBPF, for the machine's kernel has no module."""
import collections
import json
import os
import re
import signal
import subprocess
import sys

from packets import read_pcap
from process import wait_until
from site_lab import REPO, Site, skip_unless_possible

HELD = REPO / "test/netns/held_socket.py"


def events(site, run, *options):
    """Host by session, and the records."""
    lines = site.fieldline("events", run, "--json", *options).stdout.splitlines()
    head = json.loads(lines[0])
    assert head["schema"] == "fieldline.events/1"
    return head["hosts"], [json.loads(line) for line in lines[1:]]


def finals(ping):
    return {e["sensor"]: e for e in ping.events() if e["event"] == "counts" and e["final"] and e["role"] == "host"}


def of(records, host, *names):
    return [r for r in records if r["host"] == host and r["event"] in names]


def total(records):
    return sum(r["size"] for r in records if r["size"] > 0)


def retransmitted(site, box):
    text = site.run(box, "cat", "/proc/net/snmp").stdout
    names, values = [line.split() for line in text.splitlines() if line.startswith("Tcp:")]
    return int(values[names.index("RetransSegs")])


def put(site, file, word):
    """Whole at once: whoever waits for the file reads it when it is there."""
    (site.folder / f"{file}.part").write_text(word)
    os.rename(site.folder / f"{file}.part", site.folder / file)


class Held:
    """A connection from a to b on which a test sends when it likes."""

    def __init__(self, site, port, count):
        self.site, self.go, self.rounds = site, f"go-{port}", 0
        self.server = site.spawn("b", sys.executable, HELD, "serve", port, log=f"served-{port}.log")
        wait_until("it listens", lambda: "listening" in self.server.text())
        self.client = site.spawn("a", sys.executable, HELD, "send", site.env["ADDR_b"], port, count,
                                 site.folder / self.go, log=f"held-{port}.log")
        self.cookie = int(wait_until("its cookie", lambda: re.search(r"cookie (\d+)", self.client.text()))[1])

    def send(self):
        self.rounds += 1
        put(self.site, self.go, "send")
        wait_until("it has sent", lambda: f"sent {self.rounds}" in self.client.text())

    def end(self):
        put(self.site, self.go, "end")
        wait_until("both have ended", lambda: not self.client.running() and not self.server.running())


def status_names_source_and_absent_events(site):
    hosts = {s["sensor"]: s for s in site.status()["sensors"] if s["role"] == "host"}
    assert set(hosts) == {"a", "b"}, hosts.keys()
    for name, host in hosts.items():
        told = host["events"]
        assert told["source"] == "ebpf" and "magnet0" in told["why"], told
        assert {"TCP_SEND", "IP_RECV"} <= set(told["absent"]) and "SOCK_SEND" not in told["absent"], told
    text = site.fieldline("status").stdout
    assert "events: ebpf" in text and "absent: TCP_SEND" in text, text
    print("status: eBPF, why, and what it cannot give", flush=True)


def a_transfer_and_its_neighbour(site):
    """Sums, retransmissions and counts of a transfer, with another one beside it that is nobody's run."""
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5201", "--for", "50s")
    run = ping.run()
    mine, other = Held(site, 5201, 3_000_000), Held(site, 5301, 500_000)
    before = retransmitted(site, "a")
    mine.send()
    mine.end()
    again = retransmitted(site, "a") - before
    other.send()
    other.end()
    assert ping.stop() == 0
    assert "received 3000000" in mine.server.text()
    hosts, records = events(site, run)
    assert {h["host"] for h in hosts} == {"a", "b"}

    sent = of(records, "a", "SOCK_SEND")
    assert len(sent) == 3000 and total(sent) == 3_000_000, (len(sent), total(sent))
    assert {r["sockid"] for r in sent} == {mine.cookie}
    assert total(of(records, "b", "SOCK_RECV")) == 3_000_000
    assert total(of(records, "b", "TCP_RECV")) >= 3_000_000  # what came twice is twice there
    opened = {h: of(records, h, "SOCK_OPEN") for h in "ab"}
    assert [len(o) for o in opened.values()] == [1, 1] and opened["b"][0]["ext"]["passive"] == 1
    ports = {port for r in records for port in (r["ext"].get("local_port"), r["ext"].get("peer_port")) if port}
    assert 5201 in ports and 5301 not in ports and other.cookie not in {r["sockid"] for r in records}

    lost = [p for p in read_pcap(site.env["INJECTED_l1_fwd"]) if p.protocol == 6 and p.dport == 5201]
    retrans = of(records, "a", "TCP_RETRANS")
    assert sum(max(1, r["ext"]["gso_segs"]) for r in retrans) == again > 0, (len(retrans), again)
    for packet in lost:
        covered = [r for r in retrans if (packet.sequence - r["ext"]["seq"]) % 2**32 < max(1, r["size"])]
        assert covered, f"sequence {packet.sequence} was lost, and no record says that it was sent again"
    times = [r["utc_ns"] for r in records]
    assert times == sorted(times)
    counted = collections.Counter(r["host"] for r in records if r["event"] not in ("LOST", "TCP_INFO"))
    for host, final in finals(ping).items():
        told = final["events"]
        assert told["recorded"] == counted[host] > 0, (host, told, counted)
        assert told["seen"] == told["recorded"] + told["lost"] + told["missed"] + told["dropped_spool"]
        assert told["samples"] == len(of(records, host, "TCP_INFO")), told
    assert set(finals(ping)) == {"a", "b"}

    one = events(site, run, "--sockid", str(mine.cookie))[1]
    assert of(one, "a", "SOCK_SEND") == sent and not of(one, "b", "SOCK_RECV") and of(one, "a", "DEV_RECV")
    assert events(site, run, "--event", "tcp-retrans", "--host", "a")[1] == retrans
    report = site.path(run)
    assert report["complete"], report["incomplete"]
    assert [p["sensor"] for p in report["forward"]["points"]] == ["s1"], "a host is no vantage point"
    print(f"transfer: {counted['a']} + {counted['b']} records, {again} segments sent again, {len(lost)} lost, "
          "all in the archive; the neighbour nowhere", flush=True)


def a_socket_from_before(site):
    held = Held(site, 5202, 100_000)
    held.send()
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5202", "--for", "50s")
    run = ping.run()
    held.send()

    def sampled():
        done = site.fieldline("events", run, "--json", "--event", "TCP_INFO", check=False)
        return done.stdout.count('"host":"a"') > 3
    wait_until("samples of tcp_info", sampled)
    assert ping.stop() == 0
    records = events(site, run)[1]
    sent = of(records, "a", "SOCK_SEND")
    assert total(sent) == 100_000 and {r["sockid"] for r in sent} == {held.cookie}, total(sent)
    assert not of(records, "a", "SOCK_OPEN") and not of(records, "b", "SOCK_OPEN")
    samples = of(records, "a", "TCP_INFO")
    assert {r["sockid"] for r in samples} == {held.cookie}
    last = samples[-1]["ext"]
    assert last["state"] == 1 and last["bytes_acked"] >= 200_000 and last["rtt_us"] > 0 and last["cwnd"] > 0, last
    assert total(of(records, "b", "SOCK_RECV")) == 100_000
    held.send()  # behind the run's end
    held.end()
    assert len(events(site, run)[1]) == len(records)
    print(f"a socket from before: joined by its cookie, {len(samples)} samples, nothing behind the end", flush=True)


def deny_is_obeyed_and_counted(site):
    config = site.folder / "a.toml"
    good, daemon = config.read_text(), site.daemons["a"]
    config.write_text(good + '\n[[host.deny]]\nname = "payroll"\nhosts = ["10.0.0.0/24"]\n')
    daemon.popen.send_signal(signal.SIGHUP)
    wait_until("it has reloaded", lambda: "host: reloaded trust" in daemon.text())
    before = site.refusals("a")["denied"]
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5203", "--for", "20s", sensors=2)
    run = ping.run()
    held = Held(site, 5203, 10_000)
    held.send()
    held.end()
    wait_until("the denial is told", lambda: any(
        e["event"] == "activation" and e["state"] == "refused" and e["sensor"] == "a" for e in ping.events()))
    assert ping.stop() == 5  # partial
    records = events(site, run)[1]
    assert total(of(records, "b", "SOCK_RECV")) == 10_000 and not [r for r in records if r["host"] == "a"]
    wait_until("the denial is counted", lambda: site.refusals("a")["denied"] > before)
    config.write_text(good)
    daemon.popen.send_signal(signal.SIGHUP)
    wait_until("the old policy again", lambda: daemon.text().count("host: reloaded trust") == 2)
    print("deny: refused, counted, told; the other host goes on", flush=True)


def programs_of(pid):
    """Ids of the BPF programs and links that a process holds."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii", errors="replace") as file:
            found.update(int(n) for n in re.findall(r"prog_id:\s+(\d+)", file.read()))
    return found


def is_loaded(program):
    return subprocess.run(["bpftool", "prog", "show", "id", str(program)], capture_output=True).returncode == 0


def a_killed_daemon_leaves_nothing(site):
    daemon = site.daemons["a"]
    programs = programs_of(daemon.popen.pid)
    assert len(programs) >= 5 and all(is_loaded(p) for p in programs), programs
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5204", "--for", "50s")
    held = Held(site, 5204, 200_000)
    held.send()
    daemon.stop(signal.SIGKILL)
    held.send()  # its interface still carries every packet
    held.end()
    assert "received 400000" in held.server.text()
    wait_until("no program of it is left", lambda: not any(is_loaded(p) for p in programs))
    filters = site.run("a", "tc", "filter", "show", "dev", site.device_of("a"), "egress").stdout
    assert "fl_host" not in filters, filters
    run = ping.run()
    assert ping.stop() == 5
    report = site.path(run)
    assert not report["complete"] and any("sensor a" in line for line in report["incomplete"]), report["incomplete"]
    print(f"killed: {len(programs)} programs gone, traffic goes on, the run says what is missing", flush=True)


def main():
    skip_unless_possible()
    site = Site("host", "--sensors", "1", "--drop", "l1:400")
    site.start(hosts=("a", "b"))
    status_names_source_and_absent_events(site)
    a_transfer_and_its_neighbour(site)
    a_socket_from_before(site)
    deny_is_obeyed_and_counted(site)
    a_killed_daemon_leaves_nothing(site)
    site.lab("drops")
    return 0


sys.exit(main())
