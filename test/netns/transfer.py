# SPDX-License-Identifier: Apache-2.0
"""Bounded traffic from a to b of a site, by traffic.py at both ends."""
import pathlib
import signal
import sys

from process import wait_until


class Transfer:
    """Bounded traffic from a to b, by traffic.py at both ends."""

    SCRIPT = pathlib.Path(__file__).with_name("traffic.py")

    def __init__(self, site, server, client, label):
        self.site, self.arguments, self.clients = site, client, []
        label += f"-{len(site.processes)}"  # logs are appended to: another transfer's "ready" is not ours
        self.server = site.spawn("b", sys.executable, self.SCRIPT, *server, log=f"{label}-server.log")
        wait_until("the receiver listens", lambda: "ready" in self.server.text())
        self.client = self.another()

    def another(self):
        """A further sender of the same kind; the receiver must expect it."""
        self.clients.append(self.site.spawn("a", sys.executable, self.SCRIPT, *self.arguments,
                                            log=f"client-{len(self.site.processes)}.log"))
        return self.clients[-1]

    def finish(self, seconds=60):
        for process in (*self.clients, self.server):
            wait_until("traffic has ended", lambda p=process: not p.running(), seconds)
            if process.stop():
                raise RuntimeError(f"{process.argv}: {process.text()}")
        return int(self.server.text().split()[-1])

    def end_early(self):
        """Ends paced senders in the middle of their count; a UDP receiver ends after 2 s of silence."""
        for client in self.clients:
            if not client.running() or client.stop(signal.SIGTERM):
                raise RuntimeError(f"a sender had ended by itself: {client.text()}")
        return self.finish()

    @classmethod
    def tcp(cls, site, address, size, port=5201, from_port=0, label="tcp"):
        return cls(site, ["tcp-server", port, 1], ["tcp-client", address, port, size, from_port], label)

    @classmethod
    def tcp_paced(cls, site, address, count, per_second, connections=1, size=200, port=5201, label="tcp-paced"):
        """One connection that lasts; another() opens further ones, up to `connections`."""
        return cls(site, ["tcp-server", port, connections], ["tcp-paced", address, port, count, per_second, size], label)

    @classmethod
    def tcp_many(cls, site, address, connections, size, first=20000, port=5201, label="tcp-many"):
        """That many connections at once, from as many source ports."""
        return cls(site, ["tcp-server", port, connections],
                   ["tcp-clients", address, port, first, connections, size], label)

    @classmethod
    def udp(cls, site, address, count, per_second=5000, first=20000, ports=1, size=200, label="udp"):
        return cls(site, ["udp-server", first, ports, count, 2],
                   ["udp-client", address, first, ports, count, per_second, size], label)
