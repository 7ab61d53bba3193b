#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A user's runs are among the interfaces of tshark (and so of Wireshark), capturing on one is to watch that run, and
nothing of ours is left when the capture stops. The extcap folder is that of a HOME of the test's own."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

FIELDS = ["-T", "fields", "-e", "frame.interface_name", "-e", "tcp.dstport"]

class Wireshark:
    """tshark in box a, with a HOME whose extcap folders (of Wireshark 4.0 and of later ones) have our link."""

    def __init__(self, site):
        self.site, self.home = site, site.folder / "home"
        for folder in (".config/wireshark/extcap", ".local/lib/wireshark/extcap"):
            (self.home / folder).mkdir(parents=True)
            (self.home / folder / "fieldline-extcap").symlink_to(build_folder() / "bin/fieldline")
        self.env = dict(os.environ, HOME=str(self.home), FIELDLINE_IDENTITY=str(site.key),
                        FIELDLINE_ARCHIVE=f"{site.env['MGMT_arc']}:8621#{site.archive_key}")

    def run(self, *arguments, **changes):
        return subprocess.run(self.site.inside("a", "tshark", "-n", *arguments), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=dict(self.env, **changes))

    def runs(self, **changes):
        done = self.run("-D", **changes)
        assert done.returncode == 0, done.stderr
        return re.findall(r"^\d+\. (fieldline-\w+) \((.*)\)$", done.stdout, re.M)

    def capture(self, name, *arguments):
        output = self.site.folder / f"{name}.txt"
        with open(output, "wb") as out:
            return self.site.spawn("a", "tshark", "-n", "-l", *arguments, *FIELDS, log=f"{name}.err", stdout=out,
                                   env=self.env), output

    def left(self):
        """Our programs that run for it."""
        found = []
        for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if line.read_bytes().startswith(str(self.home).encode()):
                    found.append(int(line.parent.name))
            except OSError:
                continue
        return found

def main():
    skip_unless_possible()
    site = Site("extcap", "--sensors", "2")
    try:
        site.start()
        shark = Wireshark(site)
        assert shark.runs() == [], "no runs, no interfaces, no error"
        address = site.env["ADDR_b"]
        before = site.ping(address, "--flow", "tcp:5300", "--for", "60s")
        over = before.run()
        assert before.stop() == 0, before.process.text()
        ping = site.ping(address, "--flow", "tcp:5201", "--for", "90s")
        run = ping.run()
        interface, listed = f"fieldline-{run[:8]}", dict(shark.runs())  # tshark sorts by name
        assert listed.keys() == {interface, f"fieldline-{over[:8]}"}, listed
        assert listed[interface].startswith("Fieldline run, on: tcp") and "5201" in listed[interface], listed
        assert listed[f"fieldline-{over[:8]}"].startswith("Fieldline run, over: tcp"), listed

        whole, output = shark.capture("whole", "-i", interface)
        stopped, partly = shark.capture("stopped", "-i", interface, "-f", "tcp:5201")
        other, nothing = shark.capture("other", "-i", interface, "-f", "tcp:7")
        paced = Transfer.tcp_paced(site, address, 4000, 200)
        points = {"s1:fwd", "s1:rev", "s2:fwd", "s2:rev"}
        wait_until("packets of all vantage points in Wireshark",
                   lambda: {line.split("\t")[0] for line in output.read_text().splitlines()} >= points, 30)
        wait_until("packets by the filter", lambda: len(partly.read_text().splitlines()) > 20, 30)
        wait_until("each capture has one of ours", lambda: len(shark.left()) == 3)
        # tshark removes the FIFO and ends what wrote to it.
        stopped.stop(signal.SIGINT)
        wait_until("one capture less", lambda: len(shark.left()) == 2, 30)
        killed, _ = shark.capture("killed", "-i", interface)
        wait_until("another", lambda: len(shark.left()) == 3 and "s1" in _.read_text(), 30)
        killed.stop(signal.SIGKILL)  # its dumpcap sees that, and leaves the FIFO without a reader
        wait_until("nothing is left of a capture that was killed", lambda: len(shark.left()) == 2, 30)

        paced.end_early()
        assert ping.stop() == 0, ping.process.text()
        for name, process in (("whole", whole), ("other", other)):
            wait_until(f"{name} has ended with the run", lambda p=process: not p.running(), 30)
            process.stop()
        wait_until("nothing is left", lambda: not shark.left(), 30)
        packets = output.read_text().splitlines()
        stored = json.loads(site.fieldline("query", run, "-o", site.folder / "stored.pcapng", "--json").stderr)
        assert len(packets) == stored["records"] > 0, (len(packets), stored)
        assert nothing.read_text() == "", nothing.read_text()[:200]

        done = shark.run("-i", interface, *FIELDS)  # over: at once, and whole
        assert len(done.stdout.splitlines()) == len(packets), done.stderr
        fault = subprocess.run([shark.home / ".config/wireshark/extcap/fieldline-extcap", "--extcap-interface", interface,
                                "--extcap-capture-filter", "port 5201"], capture_output=True, text=True)
        assert fault.returncode == 0 and "port 5201" in fault.stdout, fault
        assert shark.runs(FIELDLINE_ARCHIVE="") == [], "without an archive Wireshark goes on"
        print(f"{len(packets)} packets of {listed}", flush=True)
    finally:
        site.close()
    return 0

sys.exit(main())
