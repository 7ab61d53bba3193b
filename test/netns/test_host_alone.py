#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host and its archive in one fieldlined, on the loopback of a namespace of their own: event records of a known transfer,
from the module where $MAGNET_MODULES names its folder (in a guest), else by eBPF."""
import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from process import Process, wait_until
from site_lab import REPO, build_folder, skip_unless_possible

BYTES = 400_000
HELD = REPO / "test/netns/held_socket.py"


class Alone:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fieldline-alone."))
        self.processes = []
        subprocess.run(["ip", "link", "set", "dev", "lo", "up"], check=True)
        self.key = self.folder / "ops_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        kind, blob = self.key.with_suffix(".pub").read_text().split()[:2]
        (self.folder / "signers").write_text(f"ops@site-a {kind} {blob}\n")
        self.write_config("0" * 64, "0" * 64)
        said = subprocess.run([build_folder() / "bin/fieldlined", "--config", self.folder / "alone.toml", "--fingerprint"],
                              check=True, capture_output=True, text=True).stdout
        keys = dict(line.split(" SHA256:") for line in said.splitlines())
        self.archive = f"127.0.0.1:8621#SHA256:{keys['archive']}"
        self.write_config(keys["archive"], keys["host"])

    def write_config(self, archive, host):
        f = self.folder
        (f / "alone.toml").write_text(
            f'[archive]\naddress = "127.0.0.1"\ndirectory = "{f}/archive"\nidentity = "{f}/arc.pem"\nreaders = "{f}/signers"\n'
            f'[[archive.producer]]\nname = "me"\nkey = "SHA256:{host}"\n'
            f'[host]\nname = "me"\ninterfaces = ["lo"]\nidentity = "{f}/host.pem"\nallowed_signers = "{f}/signers"\n'
            f'[[host.archive]]\naddress = "127.0.0.1"\nkey = "SHA256:{archive}"\n'
            f'[[host.allow]]\nhosts = ["127.0.0.0/8"]\n')

    def spawn(self, name, *argv):
        process = Process([str(a) for a in argv], self.folder / f"{name}.log")
        self.processes.append(process)
        return process

    def fieldline(self, *arguments):
        return [build_folder() / "bin/fieldline", "--archive", self.archive, "--identity", self.key, *arguments]

    def ask(self, *arguments):
        return subprocess.run(list(map(str, self.fieldline(*arguments))), check=True, capture_output=True, text=True).stdout

    def close(self):
        for process in self.processes:
            process.ask_to_end()
        for process in self.processes:
            process.stop()


def transfer(site):
    server = site.spawn("served", sys.executable, HELD, "serve", 5201)
    wait_until("it listens", lambda: "listening" in server.text(), 120)
    go = site.folder / "go"
    client = site.spawn("held", sys.executable, HELD, "send", "127.0.0.1", 5201, BYTES, go)
    cookie = wait_until("its cookie", lambda: re.search(r"cookie (\d+)", client.text()), 120)[1]
    for word, done in (("send", lambda: "sent 1" in client.text()), ("end", lambda: not server.running())):
        part = site.folder / "part"
        part.write_text(word)
        os.rename(part, go)
        wait_until(word, done, 120)
    assert f"received {BYTES}" in server.text()
    return int(cookie)


def run(site):
    daemon = site.spawn("daemon", build_folder() / "bin/fieldlined", "--config", site.folder / "alone.toml")
    wait_until("it is connected to itself", lambda: "connected" in daemon.text(), 60)
    out = site.folder / "ping.jsonl"
    with open(out, "wb") as file:
        ping = Process(list(map(str, site.fieldline("ping", "127.0.0.1", "--flow", "tcp:5201", "--for", "300s", "--json"))),
                       site.folder / "ping.log", stdout=file)
    site.processes.append(ping)

    def events_of(kind):
        return [e for e in map(json.loads, out.read_text().splitlines()) if e["event"] == kind]
    wait_until("the host is on", lambda: events_of("activated"), 60)
    cookie = transfer(site)

    def armed():
        return [sensor["events"]["state"] for sensor in json.loads(site.ask("status", "--json"))["sensors"]] == ["armed"]
    wait_until("status says that its hooks are armed", armed, 60)
    assert ping.stop(signal.SIGINT, 60) == 0, ping.text() + daemon.text()
    final = [e for e in events_of("counts") if e["final"]][0]["events"]
    return daemon, cookie, final


def main():
    if "FIELDLINE_ALONE" not in os.environ:
        skip_unless_possible()
        modules = os.environ.get("MAGNET_MODULES")
        if modules:
            subprocess.run(["insmod", pathlib.Path(modules) / "magnet.ko", "ext=1"], check=True)
        return subprocess.run(["unshare", "--net", "--", sys.executable, __file__],
                              env=dict(os.environ, FIELDLINE_ALONE="1")).returncode
    wanted = "module" if os.environ.get("MAGNET_MODULES") else "ebpf"
    site = Alone()
    try:
        daemon, cookie, final = run(site)
        lines = [json.loads(line) for line in site.ask("events", "last", "--json").splitlines()]
        listed = json.loads(site.ask("runs", "--json"))["runs"][0]
    finally:
        site.close()
    assert lines[0]["hosts"][0]["source"] == final["source"] == wanted, (lines[0], daemon.text())
    records = [r for r in lines[1:] if r["event"] != "TCP_INFO"]
    assert final["recorded"] == sum(r["event"] != "LOST" for r in records), (final, len(records))
    assert (listed["records"], listed["events"]) == (0, final["recorded"]), listed
    assert final["seen"] == final["recorded"] + final["lost"] + final["missed"] + final["dropped_spool"]
    sums, mine = collections.Counter(), [r for r in records if r["sockid"] == cookie]
    for record in mine:
        sums[record["event"]] += record["size"]
    print(f"{wanted}: {len(records)} records, of the client's socket " +
          ", ".join(f"{event} {size:,}" for event, size in sorted(sums.items())) + f"; lost {final['lost']}", flush=True)
    assert sums["SOCK_SEND"] == BYTES, sums
    assert len([r for r in mine if r["event"] == "SOCK_OPEN"]) == 1
    if wanted == "module":
        assert sums["TCP_SEND"] >= BYTES and "TCP_SEND" not in final["absent"], (sums, final)
        assert any(r["event"] == "IP_SEND" for r in records) and any(r["event"] == "IP_RECV" for r in records)
    return 0


sys.exit(main())
