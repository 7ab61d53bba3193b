#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libfieldline in a lab: a program switches a run on for its own socket and writes events into it. What the library says
became of them is what the archive has; an archive that restarts loses none; nobody writes into a run that is not his."""
import json
import os
import subprocess
import sys

from library_build import compile_c, install, skip_if_sanitized
from process import wait_until
from site_lab import REPO, Site, skip_unless_possible
from transfer import Transfer


class Driver:
    """test/netns/library_driver.c on host a, one line in and one line out."""

    def __init__(self, site, program, port, buffer_bytes=1 << 20, key=None):
        self.site, self.server = site, site.spawn("b", sys.executable, Transfer.SCRIPT, "tcp-server", port, 1,
                                                  log=f"driver-{port}-server.log")
        wait_until("the receiver listens", lambda: "ready" in self.server.text())
        self.process = subprocess.Popen(site.inside("a", program, site.env["ADDR_b"], port, buffer_bytes), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=settings(site, key))
        self.run = self.process.stdout.readline().strip()
        assert len(self.run) == 32, self.run

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def counts(self, word="counts"):
        said, *pairs = self.say(word).split()
        return said, {name: int(value) for name, value in (pair.split("=") for pair in pairs)}

    def leave(self):
        self.process.stdin.write("leave\n")
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()
        wait_until("the receiver has ended", lambda: not self.server.running())


def settings(site, key=None):
    return dict(os.environ, FIELDLINE_ARCHIVE=f"{site.env['MGMT_arc']}:8621#{site.archive_key}",
                FIELDLINE_IDENTITY=str(key or site.key))


def events(site, run, *arguments, key=None):
    done = site.fieldline("events", run, "--event", "app", "--json", *arguments, key=key, check=False)
    assert done.returncode in (0, 4), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[1:]]


def summary(site, run):
    runs = json.loads(site.fieldline("runs", "--json").stdout)["runs"]
    return next((one for one in runs if one["run"] == run), None)


def example_program(site, program):
    """The example as people run it: its events around its writes, those and the socket's in one list, the run complete."""
    server = site.spawn("b", sys.executable, Transfer.SCRIPT, "tcp-server", 5201, 1, log="example-server.log")
    wait_until("the receiver listens", lambda: "ready" in server.text())
    done = site.run("a", program, site.env["ADDR_b"], "5201", "50", env=settings(site))
    assert done.returncode == 0 and done.stderr == "", done
    said = done.stdout.split()
    run, counts = said[1], dict(zip(said[2::2], map(int, said[3::2])))
    assert counts == {"events": 100, "acknowledged": 100, "dropped": 0}, said
    found = events(site, run)
    assert [e["event"] for e in found] == ["fieldline.on", *["example.write.start", "example.write.end"] * 50, "fieldline.off"]
    blocks = [dict(e["pairs"])["block"] for e in found if e["event"] == "example.write.start"]
    assert blocks == [str(i) for i in range(50)], blocks
    times = [e["utc_ns"] for e in found]
    assert times == sorted(times)
    assert dict(found[-1]["pairs"]) == {"written": "100", "dropped": "0"}, found[-1]
    assert {e["program"] for e in found} == {"example"} and {e["layer"] for e in found} == {"app"}
    wait_until("the run is complete", lambda: summary(site, run)["complete"])
    assert summary(site, run)["application_events"] == 102
    bp = site.fieldline("events", run, "--bp").stdout.splitlines()
    assert len(bp) == 102 and bp[1].startswith("ts=20") and " event=example.write.start " in bp[1], bp[:2]
    print("example: 100 events, run complete", flush=True)


def beside_the_socket(site, program):
    """Sensors and host are on for the socket; its records and the program's events are one list, joined by the cookie."""
    driver = Driver(site, program, 5207)
    wait_until("sensors and host are on", lambda: set((summary(site, driver.run) or {"sensors": []})["sensors"]) >= {"s1", "s2", "a"})
    assert driver.say("event block.start bytes=300000") == "ok"
    assert driver.say("send 300000") == "ok"
    assert driver.say("event block.end") == "ok"
    assert driver.counts("off")[0] == "ok"
    driver.leave()
    wait_until("the run is complete", lambda: summary(site, driver.run)["complete"])
    sockid = events(site, driver.run)[0]["sockid"]
    listed = site.fieldline("events", driver.run, "--json", "--sockid", sockid).stdout.splitlines()[1:]
    mixed = [json.loads(line) for line in listed]
    assert [e["utc_ns"] for e in mixed] == sorted(e["utc_ns"] for e in mixed)
    names = [e["event"] for e in mixed]
    between = names[names.index("block.start"):names.index("block.end")]
    assert between.count("SOCK_SEND") == -(-300000 // 4096), (between.count("SOCK_SEND"), names[:20])
    points = site.path(driver.run)["forward"]["points"]
    assert len(points) == 2 and all(p["recorded"] > 0 and p["final_counts"] for p in points), points
    print("beside the socket:", len(mixed), "lines of it,", between.count("SOCK_SEND"), "sends between two events", flush=True)


def archive_restarts(site, program):
    """Events before, while and after the archive is away: each once, in order."""
    driver = Driver(site, program, 5202)
    assert driver.say("event before.it n=1") == "ok"
    wait_until("it is acknowledged", lambda: driver.counts()[1]["acknowledged"] == 1)
    archive = site.daemons["arc"]
    archive.popen.kill()
    archive.popen.wait()
    assert driver.say("many 500 while.away") == "0"
    wait_until("the library has seen it go", lambda: driver.counts()[1]["connected"] == 0)
    pending = driver.counts()[1]
    assert pending["pending"] == 500 and pending["written"] == 501, pending
    site.start_daemon("arc")
    assert driver.say("event after.it n=2") == "ok"
    said, counts = driver.counts("off")
    driver.leave()
    assert said == "ok" and counts["acknowledged"] == counts["written"] == 502 and counts["dropped"] == 0, (said, counts)
    found = [e["event"] for e in events(site, driver.run)]
    assert found == ["fieldline.on", "before.it", *["while.away"] * 500, "after.it", "fieldline.off"], found[:5]
    numbers = [dict(e["pairs"])["i"] for e in events(site, driver.run) if e["event"] == "while.away"]
    assert numbers == [str(i) for i in range(500)]
    print("archive killed and restarted: 502 events, each once", flush=True)


def drops_are_counted(site, program):
    """Little room and no archive: what found none is said call by call, in the counts, in the run and to its reader."""
    driver = Driver(site, program, 5203, buffer_bytes=4096)
    wait_until("it is connected", lambda: driver.counts()[1]["connected"] == 1)
    archive = site.daemons["arc"]
    archive.popen.kill()
    archive.popen.wait()
    refused_at_once = int(driver.say("many 300 too.many"))
    said, counts = driver.counts()
    assert said == "ok" and counts["written"] == 300 and counts["dropped"] == refused_at_once > 0, counts
    assert counts["acknowledged"] + counts["dropped"] + counts["pending"] == 300, counts
    site.start_daemon("arc")
    said, counts = driver.counts("off")
    driver.leave()
    assert said == "partial" and counts["pending"] == 0 and counts["dropped"] == refused_at_once, (said, counts)
    done = site.fieldline("events", driver.run, "--event", "too.*", "--json")
    assert len(done.stdout.splitlines()) - 1 == counts["acknowledged"] == 300 - counts["dropped"], counts
    assert f"lost events: dropped {counts['dropped']}" in done.stderr, done.stderr
    print("little room:", counts, flush=True)


def hostile_words(site, program):
    """What may not stand in an event is refused with a code and is not written; a child of the program does nothing."""
    driver = Driver(site, program, 5204)
    assert driver.say("event good level=Debug k=\"a b\"") == "ok"
    assert driver.say("event bad k=\x1b[2J") == "invalid"
    assert driver.say("event bad k") == "invalid"
    assert driver.say("event bad level=loud") == "invalid"
    assert driver.say("event b\x07d") == "invalid"
    assert driver.say("event fieldline.off written=1") == "invalid"
    assert driver.say("event bad k=" + "v" * 2040) == "exhausted"
    assert driver.say("fork") == "ok"
    assert driver.say("send 100000") == "ok"
    said, counts = driver.counts("off")
    driver.leave()
    assert (said, counts["written"], counts["acknowledged"], counts["refused"]) == ("ok", 1, 1, 6), (said, counts)
    found = events(site, driver.run)
    assert [e["event"] for e in found] == ["fieldline.on", "good", "fieldline.off"], found
    assert found[1]["level"] == "Debug" and found[1]["pairs"] == [["k", "a b"]], found[1]


def strangers(site, program, stranger, other):
    """Nobody the archive does not know is taken, and is told why; a principal sees no events of another's run."""
    refused = Driver(site, program, 5205, key=stranger)
    assert refused.say("event x") == "ok"
    wait_until("it was refused", lambda: site.status()["archive"]["applications"]["refused_grants"] > 0)
    counts = refused.counts()[1]
    assert counts["acknowledged"] == 0 and counts["connected"] == 0, counts
    refused.process.kill()
    refused.process.wait()
    refused.server.stop()
    mine = Driver(site, program, 5206, key=other)
    assert mine.say("event mine.alone") == "ok"
    assert mine.counts("off")[0] == "ok"
    mine.leave()
    assert [e["event"] for e in events(site, mine.run, key=other)] == ["fieldline.on", "mine.alone", "fieldline.off"]
    done = site.fieldline("events", mine.run, key=site.third, check=False)
    assert done.returncode == 1 and "no run" in done.stderr, done
    assert site.status()["archive"]["applications"]["refused_items"] == 0


def main():
    skip_unless_possible()
    skip_if_sanitized()
    site = Site("library", "--sensors", "2")
    other = site.add_principal("dev@site-a")
    site.third = site.add_principal("guest@site-c")
    stranger = site.folder / "stranger_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    site.start(hosts=("a",))
    pc = install(site.folder / "prefix")
    example = compile_c(pc, REPO / "lib/example.c", site.folder / "example")
    driver = compile_c(pc, REPO / "test/netns/library_driver.c", site.folder / "driver")
    example_program(site, example)
    beside_the_socket(site, driver)
    hostile_words(site, driver)
    strangers(site, driver, stranger, other)
    archive_restarts(site, driver)
    drops_are_counted(site, driver)
    site.lab("drops")
    site.close()
    return 0


sys.exit(main())
