#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: a real transfer over a path that drops known packets; Fieldline says where. Called by ./demo."""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from packets import read_pcap
from process import wait_until
from site_lab import Site, build_folder

NTH = 2000
IPERF_COOKIE = 37  # bytes by which iperf3 opens its data connection, and does not count


def say(text=""):
    print(text, file=sys.stderr if ARGUMENTS.json else sys.stdout, flush=True)


def transfer(site):
    """iperf3 from a to b; how many bytes the receiver got and how fast."""
    server = site.spawn("b", "iperf3", "-s", "-1", "-p", "5201", "--forceflush", log="iperf3-server.log")
    wait_until("iperf3 listens", lambda: "listening" in server.text())
    done = site.run("a", "iperf3", "-c", site.env["ADDR_b"], "-p", "5201", "-n", ARGUMENTS.bytes, "-J", timeout=120)
    wait_until("iperf3 has ended", lambda: not server.running())
    end = json.loads(done.stdout)["end"]
    return {"bytes": end["sum_received"]["bytes"], "bits_per_second": end["sum_received"]["bits_per_second"],
            "retransmits": end["sum_sent"]["retransmits"], "written": end["sum_sent"]["bytes"]}


def is_flow(packet):
    return packet.protocol == 6 and 5201 in (packet.sport, packet.dport)


def identity(packet):
    return (packet.sport, packet.dport, packet.sequence, packet.payload)


def compare(site, report, captured):
    """tcpdump's counts on the routers' ends of the taps beside ours."""
    rows = []
    for way, direction in (("fwd", "forward"), ("rev", "reverse")):
        for point in report[direction]["points"]:
            theirs = sum(1 for p in captured[point["sensor"]][way] if is_flow(p))
            rows.append({"sensor": point["sensor"], "direction": direction, "fieldline": point["recorded"],
                         "tcpdump": theirs, "equal": theirs == point["recorded"]})
    return rows


def host_half(site, run, lost_packets, last_ns):
    """What the sockets at both ends say: the data connection's calls and bytes, and what was sent again."""
    lines = site.fieldline("events", run, "--json").stdout.splitlines()
    hosts = {h["host"]: h for h in json.loads(lines[0])["hosts"]}
    calls, sizes = collections.Counter(), collections.Counter()
    again, records = [], 0
    unread = {}  # by socket, when it was closed: received and never read
    for line in lines[1:]:
        record = json.loads(line)
        records += 1
        if record["event"] in ("SOCK_SEND", "SOCK_RECV") and record["size"] > 0:
            key = (record["host"], record["event"], record["sockid"])
            calls[key] += 1
            sizes[key] += record["size"]
        elif record["event"] == "SOCK_CLOSE":
            unread[(record["host"], "SOCK_RECV", record["sockid"])] = record["ext"]["rqueue"]
        elif record["event"] == "TCP_RETRANS" and record["host"] == "a":
            again.append((record["ext"]["local_port"], record["ext"]["seq"], max(1, record["size"]),
                          max(1, record["ext"]["gso_segs"])))

    def data_socket(host, event):
        return max((key for key in sizes if key[:2] == (host, event)), key=sizes.get, default=None)

    def covered(packet):
        return any(port == packet["sport"] and (packet["sequence"] - seq) % 2**32 < size for port, seq, size, _ in again)
    wrote, read = data_socket("a", "SOCK_SEND"), data_socket("b", "SOCK_RECV")
    return {"records": records, "source": {name: host["source"] for name, host in hosts.items()},
            "absent": sorted(set().union(*(host["absent"] for host in hosts.values()))),
            "losses": {name: host["losses"] for name, host in hosts.items()},
            "wrote": {"bytes": sizes[wrote], "calls": calls[wrote]}, "read": {"bytes": sizes[read], "calls": calls[read]},
            "unread": unread.get(read, 0),
            "sent_again": sum(segments for *_, segments in again),
            "lost_sent_again": sum(1 for packet in lost_packets if covered(packet)),
            # What was lost in the last moments, when iperf3 ended the connection, need not be sent again.
            "never_sent_again": sum(1 for packet in lost_packets
                                    if packet["timestamp_ns"] < last_ns - 500_000_000 and not covered(packet))}


def readable(file):
    """Does tshark and does tcpdump read it, and how many packets?"""
    tshark = subprocess.run(["tshark", "-r", file, "-T", "fields", "-e", "frame.number"], capture_output=True, text=True)
    tcpdump = subprocess.run(["tcpdump", "-nr", file], capture_output=True, text=True)
    return {"file": str(file), "tshark": len(tshark.stdout.splitlines()) if tshark.returncode == 0 else None,
            "tcpdump": len(tcpdump.stdout.splitlines()) if tcpdump.returncode == 0 else None}


def judge(site, report, captured):
    injected = collections.Counter(identity(p) for p in read_pcap(site.env["INJECTED_l1_fwd"]) if is_flow(p))
    points = report["forward"]["points"]
    section = next((i for i, s in enumerate(report["forward"]["sections"]) if s["lost"]), None)
    named = report["forward"]["sections"][section] if section is not None else {"lost": 0, "lost_packets": []}
    lost = collections.Counter((p["sport"], p["dport"], p["sequence"], p["payload"]) for p in named["lost_packets"])
    sides = ("?", "?") if section is None else (
        points[section - 1]["sensor"] if section > 0 else "a", points[section]["sensor"] if section < len(points) else "b")
    return {"injected": sum(injected.values()), "lost": named["lost"], "between": sides, "same_packets": lost == injected,
            "retrans": json.loads(site.fieldline("retrans", report["run"], "--json").stdout)["totals"],
            "why": waited(site, report["run"]),
            "tcpdump": compare(site, report, captured), "hosts": host_half(site, report["run"], named["lost_packets"], report["last_ns"])}


def waited(site, run):
    """What the transfer waited for, and the losses that the answer holds against each of iperf3's connections."""
    flows = json.loads(site.fieldline("why", run, "--json").stdout)["flows"]
    losses = collections.Counter()
    for loss in (loss for flow in flows if flow["direction"] == "forward" for loss in flow["losses"]):
        losses[loss["from"], loss["to"]] += loss["packets"]
    return {"host": flows[0]["host"], "percent": {name: limit["percent"] for name, limit in flows[0]["limits"].items()},
            "losses": [{"from": a, "to": b, "packets": count} for (a, b), count in losses.items()]}


def why_less(hosts):
    """Why B read less than A wrote: iperf3's server stops reading when the client says that it has sent enough."""
    missing = hosts["wrote"]["bytes"] - hosts["read"]["bytes"]
    if missing == 0:
        return "all of them"
    unread = min(missing, hosts["unread"])
    return f"iperf3 ended first: {unread:,} unread in B's buffer, {missing - unread:,} not sent yet or under way"


def show_hosts(verdict):
    hosts, lost = verdict["hosts"], verdict["lost"]
    among = "the" if hosts["lost_sent_again"] == lost else f"{hosts['lost_sent_again']} of the"
    say(f"HOST A    wrote {hosts['wrote']['bytes']:,} bytes in {hosts['wrote']['calls']:,} send() calls; its kernel sent "
        f"{hosts['sent_again']} segments again, {among} {lost} lost ones among them")
    say(f"HOST B    read {hosts['read']['bytes']:,} bytes in {hosts['read']['calls']:,} recv() calls ({why_less(hosts)})")
    say(f"          {hosts['records']:,} event records of both hosts, by "
        f"{' and '.join(sorted(set(hosts['source'].values())))}")


def show(report, verdict, files, folder, run, seconds):
    between, count = verdict["between"], verdict["injected"]
    same = "the same packets" if verdict["same_packets"] else "NOT the same packets"
    say(f"ANSWER    {verdict['lost']} lost between {between[0]} and {between[1]}; injected {count}: {same}")
    for way, arrow in (("forward", "->"), ("reverse", "<-")):
        rows = [r for r in verdict["tcpdump"] if r["direction"] == way]
        ours = "  ".join(f"{r['sensor']} {r['fieldline']:,}" for r in rows)
        theirs = "  ".join(f"{r['tcpdump']:,}" for r in rows)
        say(f"CHECK  {arrow} fieldline {ours}   independent tcpdump {theirs}"
            + ("" if all(r["equal"] for r in rows) else "   DIFFERENT"))
    show_hosts(verdict)
    link = next((s["delay"]["min_ns"] for s in report["forward"]["sections"] if s["lost"] and s["delay"]["samples"]), None)
    if link is not None:
        say(f"DELAY     injected 10 ms; the least that {between[0]} - {between[1]} took is {link / 1e6:.2f} ms, what is above it "
            "is queueing on this machine")
    say(f"EVIDENCE  {'complete' if report['complete'] else 'incomplete: ' + '; '.join(report['incomplete'])}")
    for entry in files:
        say(f"FILE      {entry['file']} ({entry['tcpdump']:,} packets, read by tshark and by tcpdump)"
            if entry["tshark"] is not None and entry["tcpdump"] is not None else f"FILE      {entry['file']} NOT READABLE")
    say(f"TOOK      {seconds:.0f} s")
    say(f"NEXT      {build_folder()}/bin/fieldline path {files[0]['file']} --lost")
    captures = " ".join(str(pathlib.Path(f["file"]).name) for f in files[1:] if f["file"].endswith("-fwd.pcap"))
    say(f"          cd {folder} && {build_folder()}/bin/fieldline path {captures}     # without any sensor")
    say(f"          tshark -r {files[0]['file']}     # each packet is there once for each sensor that saw it")
    say("          README.md, \"First use on your own machines\"")


def main():
    begin = time.monotonic()
    folder = pathlib.Path(ARGUMENTS.folder or tempfile.mkdtemp(prefix="fieldline-demo."))
    site = Site("demo", "--sensors", "2", "--far-tap", "l1", "--drop", f"l1:{NTH}", "--delay", "l1:10", folder=folder)
    order = "A -- router 1 -[s1]==x==[s3]- router 2 -[s2]-- B"
    say(order)
    say(f"      link 1 delays by 10 ms and drops every {NTH:,}th data packet from A to B; s1 .. s3 are passive taps")
    site.start(hosts=("a", "b"))
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5201", "--for", "50s")
    run = ping.run()
    say(f"$ fieldline ping {site.env['ADDR_b']} --flow tcp:5201     run {run[:6]}: {len(site.sensors)} sensors and both hosts "
        "switched on")
    captures = {sensor: site.tap_capture(sensor) for sensor in site.sensors}
    sent = transfer(site)
    say(f"$ iperf3 -c {site.env['ADDR_b']}     {sent['bytes'] / 1e6:,.0f} MB at {sent['bits_per_second'] / 1e6:,.0f} Mb/s, "
        f"{sent['retransmits']} retransmitted")
    captured = {sensor: capture.stop() for sensor, capture in captures.items()}
    status = ping.stop()
    if status:
        raise RuntimeError(f"fieldline ping: exit {status}: {ping.process.text()}")
    report = site.path(run)
    say(f"$ fieldline path {run[:6]}")
    say("\n".join(line for line in site.fieldline("path", run).stdout.rstrip().splitlines() if not line.startswith("NEXT")))
    say()
    say(f"$ fieldline retrans {run[:6]} | head -n 4")
    say("\n".join(site.fieldline("retrans", run).stdout.splitlines()[:4]))
    say()
    say(f"$ fieldline coverage {run[:6]}")
    say(site.fieldline("coverage", run, check=False).stdout.rstrip())
    say()
    say(f"$ fieldline why {run[:6]}")
    say(site.fieldline("why", run).stdout.rstrip())
    say()
    archive = folder / "run.pcapng"
    site.fieldline("query", run, "-o", archive)
    files = [readable(file) for file in [archive, *sorted(folder.glob("tcpdump-*.pcap"))]]
    verdict = judge(site, report, captured)
    site.lab("drops")
    site.close()
    show(report, verdict, files, folder, run, time.monotonic() - begin)
    hosts = verdict["hosts"]
    why = verdict["why"]
    explained = why["host"] == "a" and abs(sum(why["percent"].values()) - 100) < 0.01 and why["losses"] == [
        {"from": verdict["between"][0], "to": verdict["between"][1], "packets": verdict["lost"]}]
    both = hosts["wrote"]["bytes"] == sent["written"] + IPERF_COOKIE and hosts["never_sent_again"] == 0
    good = both and explained and verdict["same_packets"] and 0 < verdict["retrans"]["lost"] <= verdict["lost"] and verdict["injected"] > 0 and report["complete"] and all(
        row["equal"] for row in verdict["tcpdump"]) and all(f["tshark"] is not None and f["tcpdump"] is not None for f in files)
    if ARGUMENTS.json:
        print(json.dumps({"schema": "fieldline.demo/1", "ok": good, "run": run, "folder": str(folder),
                          "transfer": sent,
                          "path": report, "verdict": verdict, "files": files}))
    if not good:
        say("demo: the answer is not what was injected; see the lines above")
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output (docs/format/json.md)")
    parser.add_argument("--folder", help="where captures and logs stay (default: a new one in $TMPDIR)")
    parser.add_argument("--bytes", default="60M", help="what iperf3 sends (default 60M)")
    ARGUMENTS = parser.parse_args()
    sys.exit(main())
