# SPDX-License-Identifier: Apache-2.0
"""A whole Fieldline site in a lab: keys, sensors, an archive, traffic, independent captures.

The demo and the tests of this folder stand on it. Everything is waited for by a condition; close() ends what was
started, by process id, and takes the lab down; it also runs after Ctrl-C and SIGTERM.
"""

import atexit
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from process import Process, wait_until
from tap_capture import TapCapture

REPO = pathlib.Path(__file__).resolve().parents[2]
LAB = REPO / "test/netns/lab"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def build_folder():
    return pathlib.Path(os.environ.get("FIELDLINE_BUILD", REPO / "build/dev"))


def skip_unless_possible():
    """Exit status 77 with the reason where namespaces or BPF are not to be had."""
    reason = None
    if os.geteuid() != 0:
        reason = "needs root, for network namespaces and BPF"
    elif subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        reason = "network namespaces cannot be made here"
    if reason:
        print(f"SKIP: {reason}")
        sys.exit(77)


def end_once(number, frame):
    """The first request to end decides the exit status. A later one must find nothing to interrupt, and no default
    action either: Python restores those while it leaves, and would then die by the signal in its last moments."""
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(128 + number)


class Site:
    def __init__(self, name, *lab_options, folder=None, say=None):
        self.name = f"{name}-{os.getpid()}"
        self.say = say or (lambda text: None)
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix=f"fieldline-{name}."))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes, self.daemons, self.env, self.pings = [], {}, {}, 0
        self.closed, self.owns_folder = False, folder is None
        self.daemon_env = {}  # by box: more for the environment of its fieldlined
        self.hosts = []  # the boxes whose fieldlined records events
        self.in_path = []  # the hosts whose fieldlined is a sensor on the path's interface itself
        self.taps = {}  # a sensor's ports, where they are not fwd and rev
        atexit.register(self.close)
        for number in ENDING:
            signal.signal(number, end_once)
        self.lab("up", "--dir", str(self.folder / "lab"), *lab_options)
        self.read_env()
        self.make_keys()

    # -- the lab

    def lab(self, *arguments, check=True):
        done = subprocess.run([LAB, "--name", self.name, *arguments], capture_output=True, text=True,
                              env=dict(os.environ, FIELDLINE_BUILD=str(build_folder())))
        if check and done.returncode:
            raise RuntimeError(f"lab {' '.join(arguments)}: {done.stderr.strip()}")
        print(done.stderr, end="", file=sys.stderr)
        return done.stdout

    def read_env(self):
        self.env = dict(line.split("=", 1) for line in self.lab("env").splitlines())
        self.sensors = self.env["SENSORS"].split(",")

    def inside(self, box, *argv):
        """The command line that runs in a box; not `ip netns exec`, which hides /sys/fs/bpf."""
        return ["nsenter", f"--net={self.env['NETNS_' + box]}", "--", *map(str, argv)]

    def run(self, box, *argv, check=True, **kwargs):
        return subprocess.run(self.inside(box, *argv), check=check, capture_output=True, text=True, **kwargs)

    def spawn(self, box, *argv, log, **kwargs):
        process = Process(self.inside(box, *argv), self.folder / log, **kwargs)
        self.processes.append(process)
        return process

    def sent(self, box, device):
        """Packets that went out of a device, by its own count."""
        shown = self.run(box, "ip", "-j", "-s", "link", "show", "dev", device).stdout
        return json.loads(shown)[0]["stats64"]["tx"]["packets"]

    def device_of(self, host):
        """The interface by which a or b is on the path."""
        links = json.loads(self.run(host, "ip", "-j", "link", "show", "type", "veth").stdout)
        return next(link["ifname"] for link in links if link["ifname"].startswith("l"))

    # -- keys and configuration

    def make_keys(self):
        self.key = self.add_principal("ops@site-a")

    def add_principal(self, name):
        """Before the daemons start. Its private key."""
        key = self.folder / f"{name.split('@')[0]}_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True)
        kind, blob = key.with_suffix(".pub").read_text().split()[:2]
        with open(self.folder / "allowed_signers", "a") as signers:
            signers.write(f'{name} namespaces="grant@fieldline,query@fieldline" {kind} {blob}\n')
        return key

    def fingerprint(self, config):
        out = subprocess.run([build_folder() / "bin/fieldlined", "--config", config, "--fingerprint"],
                             check=True, capture_output=True, text=True).stdout
        return out.split()[1]

    def write_configs(self, allow="", deny="", sensor_extra="", archive_extra="", archive_key=None, host_extra="",
                      host_deny=""):
        """One TOML file per daemon; keys are made by fieldlined itself."""
        def role(kind, name, interfaces, extra, denied):
            (self.folder / f"{name}.toml").write_text(
                f'[{kind}]\nname = "{name}"\ndomain = "lab"\ninterfaces = {json.dumps(interfaces)}\n'
                f'identity = "{self.folder}/{name}.pem"\nallowed_signers = "{self.folder}/allowed_signers"\n'
                f'{extra}\n'
                f'[[{kind}.archive]]\naddress = "{self.env["MGMT_arc"]}:8621"\nkey = "{archive_key or self.archive_key}"\n'
                f'{denied}\n[[{kind}.allow]]\nname = "lab"\nprincipals = ["ops@site-a"]\n'
                f'{allow or "hosts = [" + chr(34) + "10.0.0.0/8" + chr(34) + ", " + chr(34) + "fd00::/16" + chr(34) + "]"}\n')
            key = self.fingerprint(self.folder / f"{name}.toml")
            return f'[[archive.producer]]\nname = "{name}"\nkey = "{key}"\n'

        archive = self.folder / "arc.toml"
        base = f'[archive]\naddress = "0.0.0.0"\ndirectory = "{self.folder}/archive"\n' \
               f'identity = "{self.folder}/arc.pem"\nreaders = "{self.folder}/allowed_signers"\n' \
               f'admins = ["ops@site-a"]\n{archive_extra}\n'
        archive.write_text(base)
        self.archive_key = self.fingerprint(archive)
        for sensor in self.sensors:
            base += role("sensor", sensor, self.taps.get(sensor, ["fwd", "rev"]), sensor_extra, deny)
        for host in self.in_path:
            base += role("sensor", host, [], f'in_path = ["{self.device_of(host)}"]\n{sensor_extra}', deny)
        for host in self.hosts:
            base += role("host", host, [self.device_of(host)], host_extra, host_deny)
        archive.write_text(base)

    # -- daemons

    def start_daemon(self, box):
        """Starts fieldlined in a box; returns when it tells READY=1 (sd_notify)."""
        path = self.folder / f"{box}.notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(0.1)
            daemon = self.spawn(box, build_folder() / "bin/fieldlined", "--config", self.folder / f"{box}.toml",
                                log=f"{box}.log", env=dict(os.environ, NOTIFY_SOCKET=str(path), **self.daemon_env.get(box, {})))

            def ready():
                if not daemon.running():
                    raise RuntimeError(f"fieldlined in {box} ended:\n{daemon.text()}")
                try:
                    return b"READY=1" in notify.recv(4096)
                except socket.timeout:
                    return False

            wait_until(f"fieldlined in {box} is ready", ready)
        path.unlink()
        self.daemons[box] = daemon
        return daemon

    def start(self, hosts=(), in_path=(), **configuration):
        self.hosts, self.in_path = list(hosts), list(in_path)
        self.write_configs(**configuration)
        self.start_daemon("arc")
        producers = self.sensors + self.in_path + self.hosts
        for box in producers:
            self.start_daemon(box)
        wait_until("sensors reach the archive", lambda: len(self.status()["sensors"]) == len(producers))

    # -- the command line

    def cli(self, *arguments, box="a", key=None):
        return self.inside(box, build_folder() / "bin/fieldline", "--archive",
                           f"{self.env['MGMT_arc']}:8621#{self.archive_key}", "--identity", key or self.key, *arguments)

    def fieldline(self, *arguments, box="a", key=None, check=True, **kwargs):
        done = subprocess.run(self.cli(*arguments, box=box, key=key), capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              **kwargs)
        if check and done.returncode:
            raise RuntimeError(f"fieldline {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def status(self):
        done = self.fieldline("status", "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {"archive": {}, "sensors": []}

    def refusals(self, sensor="s1"):
        for status in self.status()["sensors"]:
            if status["sensor"] == sensor:
                return status["refused"]
        return {}

    def ping(self, *arguments, box="a", sensors=None, wait=True, key=None):
        """fieldline ping in the background; returns when that many sensors confirmed their activation."""
        self.pings += 1
        ping = Ping(self, box, arguments, f"ping-{self.pings}.jsonl", key)
        self.processes.append(ping.process)
        if wait:
            ping.wait_activated(len(self.sensors + self.in_path + self.hosts) if sensors is None else sensors)
        return ping

    def path(self, run, key=None):
        return json.loads(self.fieldline("path", run, "--json", key=key).stdout)

    # -- traffic and independent evidence

    def tap_capture(self, sensor, ways=("fwd", "rev")):
        """tcpdump on the router's end of a tap, both ports: everything but triggers is what the sensor should see."""
        return TapCapture(self, sensor, ways)

    def close(self):
        """May be called again. Ctrl-C waits until nothing is left: it is blocked, here and in `lab down`."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            if self.closed:
                return
            for process in self.processes:
                process.ask_to_end()
            for process in self.processes:
                process.stop()
            try:
                self.lab("down", "--keep")
            except RuntimeError as error:
                print(error, file=sys.stderr)
            if self.owns_folder and not os.environ.get("FIELDLINE_KEEP"):
                shutil.rmtree(self.folder, ignore_errors=True)
            self.closed = True
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Ping:
    def __init__(self, site, box, arguments, log, key=None):
        self.site = site
        self.output = site.folder / log
        with open(self.output, "wb") as out:
            self.process = Process(site.cli("ping", "--json", *arguments, box=box, key=key),
                                   site.folder / (log + ".err"), stdout=out)

    def events(self):
        lines = self.output.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def granted(self):
        return next((e for e in self.events() if e["event"] == "granted"), None)

    def run(self):
        return wait_until("a grant", self.granted)["run"]

    def wait_activated(self, count):
        def confirmed():
            started = {e["sensor"] for e in self.events() if e["event"] == "activation" and e["state"] == "started"}
            if len(started) < count and not self.process.running():
                raise RuntimeError(f"ping ended: {self.process.text()}{self.output.read_text()}")
            return len(started) >= count
        wait_until(f"{count} sensors activated", confirmed)

    def stop(self):
        """Ctrl-C; returns when ping has printed its summary."""
        return self.process.stop(signal.SIGINT, 30)

    def wait(self, seconds):
        wait_until("ping's end", lambda: not self.process.running(), seconds)
        return self.process.stop()
