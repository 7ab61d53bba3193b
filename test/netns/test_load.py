#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The load of others: while a run is on, what each port carried stands in the archive, 10 ms by 10 ms, and adds up to the
port's own counters; `path` tells others' traffic beside the flow's, as the generators counted it."""
import json
import signal
import sys

from chunk_reports import CLOCK_QUALITY, CONFIGURATION, documents, port_totals, read_reports
from process import wait_until
from site_lab import Site, build_folder, skip_unless_possible
from transfer import Transfer

FRAME = 200  # bytes of a generator's packet
RATES = {"s1": 20_000, "s2": 8_000}
SECONDS = 8


def counters(site):
    """{sensor: counters of its port fwd}"""
    return {s["sensor"]: next(p["counters"] for p in s["ports"] if p["interface"] == "fwd")
            for s in site.status()["sensors"]}


def check_clocks(said, session, covered):
    """One a second, as far as the machine let its daemon."""
    own = [document for document in said if document["session"] == session]
    assert covered / 3 - 1 <= len(own) <= covered + 1, (len(own), covered)
    assert all(b["at_ns"] - a["at_ns"] > 900_000_000 for a, b in zip(own, own[1:])), own
    for document in own:
        assert document["schema"] == "fieldline.clock_quality/1" and not document["steps"], document
        assert document["by"] == "kernel" and document["error_ns"] >= document["kernel"]["max_error_ns"], document


def check_switched_off(site, address):
    """What a sensor's operator switched off and reloaded is read no more; a run has none."""
    for sensor in RATES:
        config = site.folder / f"{sensor}.toml"
        config.write_text(config.read_text().replace("[sensor]", "[sensor]\nport_totals = false", 1))
        site.daemons[sensor].popen.send_signal(signal.SIGHUP)
    wait_until("sensors that tell no load",
               lambda: not any(s["port_totals"]["enabled"] for s in site.status()["sensors"]), 30)
    periods = [s["port_totals"]["periods"] for s in site.status()["sensors"]]
    ping = site.ping(address, "--flow", "tcp:5201", "--for", "30s")
    assert Transfer.tcp_paced(site, address, 50, 100).finish() > 0
    assert ping.stop() == 0, ping.process.text()
    assert periods == [s["port_totals"]["periods"] for s in site.status()["sensors"]]
    report = site.path(ping.run())
    points = report["forward"]["points"] + report["reverse"]["points"]
    assert report["complete"] and len(points) == 4 and all(p["load"] is None for p in points), points
    assert "BUSY" not in site.fieldline("path", ping.run()).stdout


def check_sums(site, run, before, after):
    """Of the whole run: each port's differences are its counter's, but for triggers outside the run's time."""
    answer = site.folder / "answer.pcapng"
    site.fieldline("query", run, "-o", answer)
    reports = read_reports(answer)
    sensors = {c["session"]: c["sensor"] for c in documents(reports, CONFIGURATION)}
    totals = port_totals(reports)
    assert set(totals) == set(sensors) and len(totals) == len(RATES), (totals.keys(), sensors)
    for session, periods in totals.items():
        sensor = sensors[session]
        packets, size = (sum(p.ports[0][i] for p in periods) for i in (0, 1))
        outside = after[sensor]["packets"] - before[sensor]["packets"] - packets
        triggers = after[sensor]["triggers"] - before[sensor]["triggers"]
        assert 0 <= outside <= triggers, (sensor, outside, triggers)
        assert 0 <= after[sensor]["bytes"] - before[sensor]["bytes"] - size <= outside * 1500, sensor
        # They leave no time out, and are as many as seconds have hundredths unless the machine was busy.
        for one, other in zip(periods, periods[1:]):
            assert abs(other.begin_ns - one.begin_ns - one.length_ns) < 20_000_000, (one, other)
        covered = sum(p.length_ns for p in periods) / 1e9
        short = sum(p.length_ns < 9_000_000 for p in periods)
        assert len(periods) <= 101 * covered + 2 and short <= len(periods) / 4, (len(periods), covered, short)
        check_clocks(documents(reports, CLOCK_QUALITY), session, covered)
        longest = max(p.length_ns for p in periods) / 1e6
        print(f"{sensor}: {packets} packets in {len(periods)} periods of {covered:.2f} s, the longest {longest:.1f} ms, "
              f"{outside} of {triggers} triggers outside", flush=True)


def main():
    skip_unless_possible()
    site = Site("load", "--sensors", "2")
    try:
        site.start()
        address = site.env["ADDR_b"]
        before = counters(site)
        ping = site.ping(address, "--flow", "tcp:5201", "--for", "60s")
        blasts = {}
        for sensor, rate in RATES.items():
            device = site.env[f"TAP_{sensor}_FWD"]
            blasts[sensor] = site.spawn(site.env[f"TAP_{sensor}_BOX"], build_folder() / "test/support/blast", device,
                                        rate * SECONDS, rate, log=f"blast-{sensor}.log")
        begun = {sensor: site.sent(site.env[f"TAP_{sensor}_BOX"], site.env[f"TAP_{sensor}_FWD"]) for sensor in RATES}
        for sensor in RATES:
            box, device = site.env[f"TAP_{sensor}_BOX"], site.env[f"TAP_{sensor}_FWD"]
            wait_until("others' traffic", lambda b=box, d=device, s=sensor: site.sent(b, d) > begun[s] + RATES[s] / 10)
        assert Transfer.tcp_paced(site, address, 300, 100, size=1000).finish() > 0
        assert all(blast.running() for blast in blasts.values()), "the flow outlasted the generators"
        truth = {}
        for sensor, blast in blasts.items():
            wait_until("the generator's end", lambda b=blast: not b.running(), 40)
            assert blast.stop() == 0, blast.text()
            sent, seconds = (float(word) for word in blast.text().split()[:2])
            truth[sensor] = sent * FRAME * 8 / seconds
        assert ping.stop() == 0, ping.process.text()
        run = ping.run()
        wait_until("counters of after the run",
                   lambda: all(s["runs"] == 0 for s in site.status()["sensors"]), 30)
        seen = max(s["at_ns"] for s in site.status()["sensors"])
        wait_until("newer counters", lambda: all(s["at_ns"] > seen for s in site.status()["sensors"]), 30)
        check_sums(site, run, before, counters(site))

        report = site.path(run)
        for point in report["forward"]["points"]:
            load, wanted = point["load"], truth[point["sensor"]]
            print(f"{point['name']}: others {load['others_bps'] / 1e6:.2f} Mb/s, generated {wanted / 1e6:.2f}, p99 "
                  f"{load['others_p99_bps'] / 1e6:.2f}, peak {load['others_peak_bps'] / 1e6:.2f}", flush=True)
            assert abs(load["others_bps"] - wanted) < 0.05 * wanted, (load, wanted)
            # Told by ms: what falls between two readings of the clock is in neither period.
            for own, whole in (("own_packets", "recorded"), ("own_bytes", "bytes")):
                assert 0.99 * point[whole] <= load[own] <= 1.01 * point[whole], (load, point)
            assert load["others_bps"] <= load["others_peak_bps"], load
            assert load["covered_ns"] > 2_000_000_000, load
        for point in report["reverse"]["points"]:
            assert point["load"]["others_bps"] < 10_000, point  # triggers' replies at most
        text = site.fieldline("path", run).stdout
        assert "-> BUSY Mb/s" in text and "<- BUSY Mb/s" in text, text
        print(text, flush=True)
        owd = json.loads(site.fieldline("owd", run, "--json", check=False).stdout)
        assert owd["clocks"][0]["recorded_course"] and owd["clocks"][0]["recorded_error_ns"] > 0, owd["clocks"]
        sent = {s["sensor"]: s["port_totals"] for s in site.status()["sensors"]}
        assert all(t["periods"] > 0 and t["dropped_spool"] == t["read_errors"] == 0 for t in sent.values()), sent
        check_switched_off(site, address)
    finally:
        site.close()
    return 0


sys.exit(main())
