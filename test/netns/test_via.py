#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fieldline ping --via ssh:HOST`: the key signs on one host, the pulses leave from the one that has the flow. By a real
sshd; its end ends the run, and nothing of it outlives the ping."""
import os
import signal
import subprocess
import sys

from process import wait_until
from site_lab import Site, skip_unless_possible
from ssh_server import SshServer
from transfer import Transfer


MOTD = ["Welcome to far!", '{"schema":"motd/1","id":1}', "{", "\x1b[31mquota: 93 %\x1b[0m"] + [f"notice {n}" for n in range(400)]

# Adds to each answer about sockets one to a host that nobody asked for.
LIAR = """import json, subprocess, sys
far = subprocess.Popen(["fieldline", "send-pulses"], stdout=subprocess.PIPE)
for line in far.stdout:
    document = json.loads(line)
    if document.get("sockets"):
        document["sockets"].append(dict(document["sockets"][0], remote="10.99.0.1", cookie=1))
    sys.stdout.write(json.dumps(document) + "\\n")
    sys.stdout.flush()
sys.exit(far.wait())
"""


def granted_hosts(ping):
    return {e["grant"]["host_b"].split("/")[0] for e in ping.events() if e["event"] == "granted"}


def far_ends(site, server, address):
    """One that says much before it begins, and one that names sockets to a host that nobody asked for."""
    (server.folder / "motd").write_text("\n".join(MOTD) + "\n")
    server.add_host("loud", f"cat {server.folder}/motd; exec $SSH_ORIGINAL_COMMAND")
    (server.folder / "liar.py").write_text(LIAR)
    server.add_host("liar", f"exec {sys.executable} {server.folder}/liar.py")
    for host in ("loud", "liar"):
        ping = site.ping(address, "--via", f"ssh:{host}", "--for", "60s", box="arc")
        wait_until("three pulses", lambda: sum(e["event"] == "pulse" for e in ping.events()) >= 3, 30)
        assert ping.stop() == 0, (host, ping.process.text())
        assert granted_hosts(ping) == {address}, (host, granted_hosts(ping))
        wait_until("the far end has ended with the ping", lambda: not server.sessions(), 30)


def main():
    skip_unless_possible()
    site = Site("via", "--sensors", "2")
    try:
        site.start()
        server = SshServer(site, "a")
        os.environ["FIELDLINE_SSH"] = str(server.client)
        address = site.env["ADDR_b"]
        via = [address, "--via", "ssh:far", "--for", "60s"]

        none = site.fieldline("ping", *via, box="arc", check=False)
        assert none.returncode == 4 and "no connected TCP or UDP socket" in none.stderr, none
        paced = Transfer.tcp_paced(site, address, 20_000, 200, connections=2)
        flow = wait_until("a connection", lambda: site.run("a", "ss", "-Htn", "dst", address).stdout.split())
        ping = site.ping(*via, box="arc")
        granted = ping.granted()
        assert granted["grant"]["host_a"].split("/")[0] == flow[3].rsplit(":", 1)[0], (granted, flow)
        assert granted["grant"]["pairs"] == [[int(flow[3].rsplit(":", 1)[1]), 5201]], (granted, flow)
        assert any("python3" in owner for owner in granted["owners"]), granted["owners"]
        assert len(server.sessions()) == 1
        paced.another()
        wait_until("a later socket of the far host has a run of its own",
                   lambda: len({e["run"] for e in ping.events() if e["event"] == "granted"}) == 2, 30)
        assert ping.stop() == 0, ping.process.text()
        assert not server.sessions(), "the far end has ended with the ping"
        ended = {e["sensor"]: e["reason"] for e in ping.events() if e["event"] == "activation" and e["state"] == "ended"}
        assert ended == {"s1": "pulse", "s2": "pulse"}, ended
        report = site.path(granted["run"])
        assert report["complete"] and all(p["seen"] > 0 for p in report["forward"]["points"]), report["incomplete"]

        # The far host has others too: sshd's own, for one.
        assert granted_hosts(ping) == {address}, granted_hosts(ping)
        far_ends(site, server, address)

        killed = site.ping(*via, "--flow", "tcp:5201", box="arc")
        assert killed.process.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_until("the far end has ended with its ping", lambda: not server.sessions(), 30)
        lost = site.ping(*via, "--flow", "tcp:5201", box="arc")
        os.kill(server.sessions()[0], signal.SIGKILL)
        assert lost.wait(30) == 5, lost.process.text()
        assert "connection to far has ended" in lost.process.text(), lost.process.text()
        summary = lost.events()[-1]
        assert summary["event"] == "summary" and summary["reason"] == "connection lost", summary
        paced.end_early()

        for where, code, words in (("telnet:far", 2, "ssh:HOST"), ("ssh:-oProxyCommand=true", 2, "ssh:HOST"),
                                   ("ssh:nowhere", 1, "nowhere")):
            refused = site.fieldline("ping", address, "--via", where, box="arc", check=False)
            assert refused.returncode == code and words in refused.stderr, (where, refused)
        lone = subprocess.run(site.cli("send-pulses")[3:], input='{"id":1,"op":"send","sender":0,"trigger":"AAAA"}\n[]\n',
                              capture_output=True, text=True)
        assert lone.returncode == 1 and '"no such sender"' in lone.stdout and "no JSON object" in lone.stderr, lone
        print(f"{granted['grant']['pairs']} of {granted['owners']} by way of sshd", flush=True)
    finally:
        site.close()
    return 0


sys.exit(main())
