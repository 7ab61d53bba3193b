#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fieldline why: flows that are held back by something known, each by one thing, and what it says of them. By eBPF, on a
path of 20 ms."""
import json
import re
import sys

from packets import read_pcap
from process import wait_until
from site_lab import REPO, Site, skip_unless_possible

FLOW = REPO / "test/netns/limited_flow.py"
PORTS = iter(range(5201, 5300))


def transfer(site, serve=(), send=()):
    """The run, when both ends have ended."""
    port = next(PORTS)
    ping = site.ping(site.env["ADDR_b"], "--flow", f"tcp:{port}", "--for", "50s")
    run = ping.run()
    server = site.spawn("b", sys.executable, FLOW, "serve", port, *serve, log=f"serve-{port}.log")
    wait_until("it listens", lambda: "listening" in server.text())
    client = site.spawn("a", sys.executable, FLOW, "send", site.env["ADDR_b"], port, *send, log=f"send-{port}.log")
    wait_until("both have ended", lambda: not client.running() and not server.running(), 60)
    sent, received = (re.search(r"(?:sent|received) (\d+)", p.text()) for p in (client, server))
    assert sent and received and sent[1] == received[1], (client.text(), server.text())
    assert ping.stop() == 0
    return run


def judged(site, run, host="a"):
    """The one sender of a run, and what it says for people."""
    report = json.loads(site.fieldline("why", run, "--json").stdout)
    assert report["schema"] == "fieldline.why/1" and len(report["flows"]) == 1, report["flows"]
    flow = report["flows"][0]
    assert flow["host"] == host and flow["direction"] == "forward", flow
    assert abs(sum(l["percent"] for l in flow["limits"].values()) - 100) < 0.01
    in_intervals = {}
    for interval in flow["intervals"]:
        for name, ns in interval["ns"].items():
            in_intervals[name] = in_intervals.get(name, 0) + ns
    assert in_intervals == {name: l["ns"] for name, l in flow["limits"].items()}
    return flow, site.fieldline("why", run).stdout


def share(flow, *names, since=0):
    """Percent of the time behind `since` seconds."""
    first = flow["intervals"][0]["from_ns"]
    times = [i["ns"] for i in flow["intervals"] if i["from_ns"] >= first + since * 1e9]
    return 100 * sum(t.get(n, 0) for t in times for n in names) / sum(sum(t.values()) for t in times)


def expect(site, what, names, serve=(), send=(), since=0.0, host="a"):
    run = transfer(site, serve, send)
    flow, text = judged(site, run, host)
    got = share(flow, *names, since=since)
    print(f"{what}: {got:.1f} % {' + '.join(names)}\n{text}", flush=True)
    assert got >= 90, (what, names, got, flow["limits"])
    return flow, text, run


def modulated(site, run, writes):
    """The slow writer's 5,000 bytes at a time, as every layer and point had them."""
    report = json.loads(site.fieldline("modulation", run, "--json").stdout)
    assert report["schema"] == "fieldline.modulation/1" and len(report["flows"]) == 1, report["flows"]
    rows = report["flows"][0]["rows"]
    print(site.fieldline("modulation", run).stdout, flush=True)
    at = [(r["host"], r["layer"]) if r["host"] else r["point"] for r in rows]
    assert at == [("a", "send()"), ("a", "device"), "s1", "s2", ("b", "device"), ("b", "tcp"), ("b", "recv()")], at
    assert {r["bytes"] for r in rows} == {5000 * writes}, [(r["host"], r["point"], r["bytes"]) for r in rows]
    wrote, point, read = rows[0], rows[2], rows[-1]
    assert wrote["count"] == writes and wrote["size"]["min"] == wrote["size"]["max"] == 5000, wrote
    assert wrote["gap_ns"]["min"] >= 25e6, wrote
    assert point["size"]["max"] <= 1448 and point["count"] >= 4 * writes and point["gap_ns"]["p50"] < 10e6, point
    assert read["size"]["max"] >= 1448, read


def unharmed(site):
    flow, _, run = expect(site, "slow writer", ["application"], send=["--seconds", 3, "--write", 5000, "--every", 25])
    modulated(site, run, flow["facts"]["writes"])
    expect(site, "small SO_SNDBUF", ["send_buffer"], send=["--seconds", 6, "--sndbuf", 4608], since=2)
    expect(site, "small receive window", ["receive_window"], serve=["--rcvbuf", 8192], send=["--seconds", 3], since=0.5)
    expect(site, "slow reader", ["receiver"], serve=["--rcvbuf", 65536, "--read", 8192, "--every", 40],
           send=["--seconds", 3], since=0.5)
    expect(site, "paced socket", ["pacing"], send=["--seconds", 3, "--pace", 500_000], since=0.5)
    expect(site, "idle", ["idle"], send=["--seconds", 0.3, "--write", 5000, "--every", 25, "--pause", 6])


def section(of):
    return (of["from"], of["to"]) == ("s1", "s2")


def rate_limited(site, host="a"):
    """r1 sends on to r2 at 16 Mbit/s, behind the tap, with room for 150 ms."""
    site.run("r1", "tc", "qdisc", "add", "dev", "l1", "root", "tbf", "rate", "16mbit", "burst", "5kb", "limit", "300kb")
    flow, _, _ = expect(site, "rate-limited link", ["queue"], send=["--seconds", 7], since=1, host=host)
    site.run("r1", "tc", "qdisc", "del", "dev", "l1", "root")
    assert flow["queues"] and all(section(q) for q in flow["queues"]), flow["queues"]
    assert flow["queues"][0]["ns"] > 0.9 * flow["limits"]["queue"]["ns"], flow["queues"]


def compared(site):
    """Two runs alike, and a third with another setting and a narrow link."""
    send = ["--seconds", 8, "--pace", 500_000]
    runs = [transfer(site, send=send) for _ in range(2)]
    site.run("b", "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 100000 200000")
    site.run("r1", "tc", "qdisc", "add", "dev", "l1", "root", "tbf", "rate", "2mbit", "burst", "5kb", "limit", "60kb")
    runs.append(transfer(site, send=send))
    site.run("r1", "tc", "qdisc", "del", "dev", "l1", "root")

    def differences(a, b):
        report = json.loads(site.fieldline("diff", a, b, "--json").stdout)
        assert report["schema"] == "fieldline.diff/1" and report["settings_equal"] > 40, report
        return {(d["kind"], d["subject"], d["measure"]): d for d in report["differences"]}

    print(site.fieldline("diff", runs[0], runs[2]).stdout, flush=True)
    alike, other = differences(*runs[:2]), differences(runs[0], runs[2])
    assert not [d for d in alike if d[0] in ("setting", "path")], alike
    assert [d[1] for d in other if d[0] == "setting"] == ["b: net.ipv4.tcp_rmem"], other
    rmem = other["setting", "b: net.ipv4.tcp_rmem", None]
    assert rmem["after"] == "4096 100000 200000" != rmem["before"], rmem
    delay = other["delay", "-> s1 - s2", "mean above the least"]
    assert delay["outside_noise"] and delay["after"] > delay["before"] + 20, delay
    assert other["limit", "pacing", "share of the time"]["outside_noise"], other
    assert other["flow", "throughput", None]["after"] < 2.1 and other["flow", "throughput", None]["outside_noise"] is None
    pacing = alike["limit", "pacing", "share of the time"]
    assert pacing["before"] > 80 and pacing["after"] > 80, pacing  # the start is in it


def losses(site, flow):
    """All of the injector's, and where."""
    injected = len([p for p in read_pcap(site.env["INJECTED_l1_fwd"]) if p.protocol == 6])
    assert [section(l) for l in flow["losses"]] == [True] and flow["losses"][0]["packets"] == injected > 0, flow["losses"]
    assert flow["facts"]["retransmitted"] >= injected
    return injected


def by_headers(site):
    """No host records: what headers tell, and nothing that they do not."""
    expect(site, "headers, small receive window", ["receive_window"], serve=["--rcvbuf", 8192], send=["--seconds", 3],
           since=0.5, host=None)
    rate_limited(site, host=None)
    flow, text, _ = expect(site, "headers, slow writer", ["application", "sender"],
                        send=["--seconds", 3, "--write", 5000, "--every", 25], host=None)
    assert "headers alone do not tell" in text and "headers at s1" in text, text
    flow, _, _ = expect(site, "headers, small SO_SNDBUF", ["sender"], send=["--seconds", 3, "--sndbuf", 16384], since=0.5, host=None)
    assert flow["sockid"] is None and flow["point"] == "s1", flow


def a_site(*lab, hosts=("a", "b")):
    site = Site("why", "--delay", "l1:10", *lab)
    site.start(hosts=hosts)
    return site


def main():
    skip_unless_possible()
    site = a_site()
    unharmed(site)
    rate_limited(site)
    compared(site)
    site.lab("drops")
    site.close()
    site = a_site("--drop", "l1:@60")
    flow, text, _ = expect(site, "window cut by one loss", ["cwnd_cut"], send=["--seconds", 4], since=0.7)
    assert losses(site, flow) == 1 and "1 lost s1 - s2" in text, text
    site.close()
    site = a_site("--drop", "l1:40")
    flow, text, _ = expect(site, "lossy link", ["cwnd_cut", "loss"], send=["--seconds", 4], since=0.5)
    assert losses(site, flow) > 10
    site.close()
    site = a_site(hosts=())
    by_headers(site)
    site.close()
    return 0


sys.exit(main())
