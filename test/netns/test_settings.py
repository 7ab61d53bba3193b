#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each run keeps its hosts' settings: routes of the flow and queueing disciplines too, as iproute2 has them. `fieldline diff`
shows what of them changed. A tap, which carries copies, has no route of the flow."""
import json
import sys

from site_lab import Site, skip_unless_possible
from transfer import Transfer


def recorded(site):
    """A run with a transfer in it: its id, and the settings by sensor and host."""
    ping = site.ping(site.env["ADDR_b"], "--flow", "tcp:5201", "--for", "60s")
    assert Transfer.tcp(site, site.env["ADDR_b"], 100_000).finish() == 100_000
    assert ping.stop() == 0, ping.process.text()
    started = [e for e in ping.events() if e["event"] == "activation" and e["state"] == "started"]
    return ping.run(), {e["sensor"]: e["system"] for e in started}


def by_iproute(site, box, device, to):
    """The same from `ip` and `tc`."""
    route = json.loads(site.run(box, "ip", "-j", "route", "get", to).stdout)[0]
    qdiscs = json.loads(site.run(box, "tc", "-j", "qdisc", "show", "dev", device).stdout)
    root = next(q["kind"] for q in qdiscs if q.get("root"))
    return route, root


def main():
    skip_unless_possible()
    site = Site("settings", "--sensors", "1")
    try:
        site.start(hosts=("a", "b"))
        run, systems = recorded(site)
        a, b = site.env["ADDR_a"], site.env["ADDR_b"]
        for box, to, source in (("a", b, a), ("b", a, b)):
            route, root = by_iproute(site, box, site.device_of(box), to)
            told = systems[box]["routes"]
            assert told == {to: {"device": route["dev"], "gateway": route["gateway"], "source": source,
                                 "congestion_control": None, "metrics": {}}}, (told, route)
            assert systems[box]["interfaces"][route["dev"]]["qdisc"] == root, (systems[box]["interfaces"], root)
        assert systems["s1"]["routes"] == {} and set(systems["s1"]["interfaces"]) == {"fwd", "rev"}, systems["s1"]

        device, net = site.device_of("a"), b.rsplit(".", 1)[0] + ".0/24"
        gateway = systems["a"]["routes"][b]["gateway"]
        site.run("a", "ip", "route", "replace", net, "via", gateway, "dev", device, "initcwnd", "20", "advmss", "1200",
                 "congctl", "reno")
        site.run("a", "tc", "qdisc", "replace", "dev", device, "root", "pfifo", "limit", "500")
        changed, systems = recorded(site)
        report = json.loads(site.fieldline("diff", run, changed, "--json").stdout)
        settings = {d["subject"]: (d["before"], d["after"]) for d in report["differences"] if d["kind"] == "setting"}
        print(json.dumps(settings, indent=1), flush=True)
        route = f"a: routes.{b}."
        assert settings == {
            route + "metrics.initcwnd": (None, 20), route + "metrics.advmss": (None, 1200),
            route + "congestion_control": (None, "reno"), f"a: interfaces.{device}.qdisc": ("noqueue", "pfifo")}, settings
        table = site.fieldline("diff", run, changed).stdout
        assert "metrics.initcwnd" in table and "noqueue" in table, table
        print(table, flush=True)
    finally:
        site.close()
    return 0


sys.exit(main())
