# SPDX-License-Identifier: Apache-2.0
"""A whole Fieldline site in a lab: keys, sensors, an archive, traffic, independent captures.

The demo and the tests of this folder stand on it. Everything is waited for by a condition; close() ends what was
started, by process id, and takes the lab down; it also runs after Ctrl-C and SIGTERM.
"""

import atexit
import ipaddress
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
LAB = REPO / "test/netns/lab"
TRIGGER_MAGIC = b"\xf1LDLINE\n"


def build_folder():
    return pathlib.Path(os.environ.get("FIELDLINE_BUILD", REPO / "build/dev"))


def wait_until(what, condition, seconds=20):
    """Polls a condition; its first true value. The poll is the clock's only part in it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(f"{what}: not within {seconds} s")


def skip_unless_possible():
    """Exit status 77 with the reason where namespaces or BPF are not to be had."""
    reason = None
    if os.geteuid() != 0:
        reason = "needs root, for network namespaces and BPF"
    elif subprocess.run(["ip", "netns", "add", f"fl-probe-{os.getpid()}"], capture_output=True).returncode:
        reason = "network namespaces cannot be made here"
    else:
        subprocess.run(["ip", "netns", "del", f"fl-probe-{os.getpid()}"], check=True)
    if reason:
        print(f"SKIP: {reason}")
        sys.exit(77)


class Process:
    """One process in a box, its output in a file."""

    def __init__(self, argv, log, **kwargs):
        self.argv, self.log = argv, pathlib.Path(log)
        self.file = open(self.log, "ab")
        kwargs.setdefault("stdout", self.file)
        self.popen = subprocess.Popen(argv, stderr=self.file, stdin=subprocess.DEVNULL, **kwargs)

    def running(self):
        return self.popen.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=15):
        if self.running():
            self.popen.send_signal(sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()
        self.file.close()
        return self.popen.returncode

    def text(self):
        return self.log.read_text(errors="replace")


class Site:
    def __init__(self, name, *lab_options, folder=None, say=None):
        self.name = f"{name}-{os.getpid()}"
        self.say = say or (lambda text: None)
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix=f"fieldline-{name}."))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes, self.daemons, self.env, self.pings = [], {}, {}, 0
        self.closed, self.owns_folder = False, folder is None
        atexit.register(self.close)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, frame: sys.exit(128 + n))
        self.lab("up", "--dir", str(self.folder / "lab"), *lab_options)
        self.read_env()
        self.make_keys()

    # -- the lab

    def lab(self, *arguments, check=True):
        done = subprocess.run([LAB, "--name", self.name, *arguments], capture_output=True, text=True,
                              env=dict(os.environ, FIELDLINE_BUILD=str(build_folder())))
        if check and done.returncode:
            raise RuntimeError(f"lab {' '.join(arguments)}: {done.stderr.strip()}")
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

    # -- keys and configuration

    def make_keys(self):
        self.key = self.folder / "ops_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ops@site-a", "-f", self.key], check=True)
        kind, blob = self.key.with_suffix(".pub").read_text().split()[:2]
        (self.folder / "allowed_signers").write_text(
            f'ops@site-a namespaces="grant@fieldline,query@fieldline" {kind} {blob}\n')

    def fingerprint(self, config):
        out = subprocess.run([build_folder() / "bin/fieldlined", "--config", config, "--fingerprint"],
                             check=True, capture_output=True, text=True).stdout
        return out.split()[1]

    def write_configs(self, allow="", deny="", sensor_extra="", archive_extra="", archive_key=None):
        """One TOML file per daemon; keys are made by fieldlined itself."""
        archive = self.folder / "arc.toml"
        base = f'[archive]\naddress = "0.0.0.0"\ndirectory = "{self.folder}/archive"\n' \
               f'identity = "{self.folder}/arc.pem"\nreaders = "{self.folder}/allowed_signers"\n' \
               f'admins = ["ops@site-a"]\n{archive_extra}\n'
        archive.write_text(base)
        self.archive_key = self.fingerprint(archive)
        for sensor in self.sensors:
            (self.folder / f"{sensor}.toml").write_text(
                f'[sensor]\nname = "{sensor}"\ndomain = "lab"\ninterfaces = ["fwd", "rev"]\n'
                f'identity = "{self.folder}/{sensor}.pem"\nallowed_signers = "{self.folder}/allowed_signers"\n'
                f'{sensor_extra}\n'
                f'[[sensor.archive]]\naddress = "{self.env["MGMT_arc"]}:8621"\nkey = "{archive_key or self.archive_key}"\n'
                f'{deny}\n[[sensor.allow]]\nname = "lab"\nprincipals = ["ops@site-a"]\n'
                f'{allow or "hosts = [" + chr(34) + "10.0.0.0/8" + chr(34) + ", " + chr(34) + "fd00::/16" + chr(34) + "]"}\n')
            key = self.fingerprint(self.folder / f"{sensor}.toml")
            base += f'[[archive.producer]]\nname = "{sensor}"\nkey = "{key}"\n'
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
                                log=f"{box}.log", env=dict(os.environ, NOTIFY_SOCKET=str(path)))

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

    def start(self, **configuration):
        self.write_configs(**configuration)
        self.start_daemon("arc")
        for sensor in self.sensors:
            self.start_daemon(sensor)
        wait_until("sensors reach the archive", lambda: len(self.status()["sensors"]) == len(self.sensors))

    # -- the command line

    def cli(self, *arguments, box="a"):
        return self.inside(box, build_folder() / "bin/fieldline", "--archive",
                           f"{self.env['MGMT_arc']}:8621#{self.archive_key}", "--identity", self.key, *arguments)

    def fieldline(self, *arguments, box="a", check=True, **kwargs):
        done = subprocess.run(self.cli(*arguments, box=box), capture_output=True, text=True, stdin=subprocess.DEVNULL,
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

    def ping(self, *arguments, box="a", sensors=None, wait=True):
        """fieldline ping in the background; returns when that many sensors confirmed their activation."""
        self.pings += 1
        ping = Ping(self, box, arguments, f"ping-{self.pings}.jsonl")
        self.processes.append(ping.process)
        if wait:
            ping.wait_activated(len(self.sensors) if sensors is None else sensors)
        return ping

    def path(self, run):
        return json.loads(self.fieldline("path", run, "--json").stdout)

    # -- traffic and independent evidence

    def tap_capture(self, sensor):
        """tcpdump on the router's end of a tap, both ports: everything but triggers is what the sensor should see."""
        return TapCapture(self, sensor)

    def close(self):
        if self.closed:
            return
        self.closed = True
        for process in reversed(self.processes):
            if process.running():
                process.popen.send_signal(signal.SIGCONT)
            process.stop()
        self.lab("down", "--keep", check=False)
        if self.owns_folder and not os.environ.get("FIELDLINE_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)


class Ping:
    def __init__(self, site, box, arguments, log):
        self.site = site
        self.output = site.folder / log
        with open(self.output, "wb") as out:
            self.process = Process(site.cli("ping", "--json", *arguments, box=box),
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


class TapCapture:
    def __init__(self, site, sensor):
        self.site, self.sensor, self.router = site, sensor, site.env[f"TAP_{sensor}_BOX"]
        self.parts = {}
        for way in ("fwd", "rev"):
            device = site.env[f"TAP_{sensor}_{way.upper()}"]
            file = site.folder / f"tcpdump-{sensor}-{way}.pcap"
            process = site.spawn(self.router, "tcpdump", "-i", device, "-w", file, "-s", "256", "-U", "-B", "65536",
                                 "-n", "--immediate-mode", "--time-stamp-precision=nano", "-Z", "root",
                                 log=f"tcpdump-{sensor}-{way}-{site.pings}.err")
            wait_until("tcpdump listens", lambda p=process: "listening on" in p.text())
            self.parts[way] = (process, file, device, site.sent(self.router, device))

    def stop(self):
        """Ends both; {"fwd": [Packet], "rev": [Packet]} without triggers. Fails if tcpdump itself dropped any."""
        out = {}
        for way, (process, file, device, before) in self.parts.items():
            # What the kernel handed over but tcpdump has not read yet would be gone with it: ask until all is read.
            def all_read():
                process.popen.send_signal(signal.SIGUSR1)
                counts = re.findall(r"(\d+) packets? captured", process.text())
                return counts and int(counts[-1]) >= self.site.sent(self.router, device) - before
            wait_until(f"tcpdump on {self.sensor} {way} has read everything", all_read, 30)
            process.stop(signal.SIGINT)
            report = process.text()
            dropped = re.search(r"(\d+) packets? dropped by kernel\s*$", report)
            if not dropped or int(dropped.group(1)):
                raise RuntimeError(f"tcpdump on {self.sensor} {way} lost packets: {report}")
            out[way] = [p for p in read_pcap(file) if not p.is_trigger]
        return out


class Packet:
    """What one captured Ethernet frame says, as far as the tests compare it."""

    def __init__(self, data, wire_len, timestamp_ns):
        self.data, self.wire_len, self.timestamp_ns = data, wire_len, timestamp_ns
        self.protocol = self.source = self.target = self.sport = self.dport = self.sequence = self.ip_id = None
        self.payload, at = 0, 14
        kind = struct.unpack("!H", data[12:14])[0]
        if kind == 0x0800:
            head = (data[14] & 15) * 4
            total, self.ip_id = struct.unpack("!HH", data[16:20])
            self.protocol = data[23]
            self.source, self.target = ipaddress.ip_address(data[26:30]), ipaddress.ip_address(data[30:34])
            at, length = 14 + head, total - head
        elif kind == 0x86DD:
            length, self.protocol = struct.unpack("!H", data[18:20])[0], data[20]
            self.source, self.target = ipaddress.ip_address(data[22:38]), ipaddress.ip_address(data[38:54])
            at = 54
        else:
            length = 0
        self.transport_end, self.is_trigger = at, False
        if self.protocol == 6 and len(data) >= at + 20:
            self.sport, self.dport, self.sequence = struct.unpack("!HHI", data[at:at + 8])
            self.transport_end = at + (data[at + 12] >> 4) * 4
        elif self.protocol == 17 and len(data) >= at + 8:
            self.sport, self.dport = struct.unpack("!HH", data[at:at + 4])
            self.transport_end = at + 8
            self.is_trigger = data[at + 8:at + 16] == TRIGGER_MAGIC
        elif self.protocol in (1, 58):
            self.transport_end = at + 8
            self.is_trigger = data[at + 8:at + 16] == TRIGGER_MAGIC
        if self.protocol:
            self.payload = length - (self.transport_end - at)

    def headers(self):
        return self.data[:self.transport_end]

    def identity(self):
        return (self.protocol, self.sport, self.dport, self.ip_id, self.sequence, self.payload)


def read_pcap(file):
    """Classic pcap, micro- or nanoseconds, as tcpdump and the lab's wire write it."""
    data = pathlib.Path(file).read_bytes()
    magic = struct.unpack("<I", data[:4])[0]
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[magic]
    at, packets = 24, []
    while at + 16 <= len(data):
        seconds, part, kept, wire = struct.unpack("<IIII", data[at:at + 16])
        if at + 16 + kept > len(data):
            break
        packets.append(Packet(data[at + 16:at + 16 + kept], wire, seconds * 10**9 + part * scale))
        at += 16 + kept
    return packets


def read_pcapng(file):
    """[(interface comment as dict, Packet)] of a pcapng that `fieldline query` wrote; a reader of the tests' own."""
    data, at, interfaces, packets = pathlib.Path(file).read_bytes(), 0, [], []
    while at + 12 <= len(data):
        kind, length = struct.unpack("<II", data[at:at + 8])
        body = data[at + 8:at + length - 4]
        if kind == 1:
            comment, option = {}, 8
            while option + 4 <= len(body):
                code, size = struct.unpack("<HH", body[option:option + 4])
                if code == 1:
                    comment = json.loads(body[option + 4:option + 4 + size])
                if code == 0:
                    break
                option += 4 + (size + 3) // 4 * 4
            interfaces.append(comment)
        elif kind == 6:
            number, high, low, kept, wire = struct.unpack("<IIIII", body[:20])
            packets.append((interfaces[number], Packet(body[20:20 + kept], wire, high << 32 | low)))
        at += length
    return packets


class Transfer:
    """Bounded traffic from a to b, by traffic.py at both ends."""

    SCRIPT = REPO / "test/netns/traffic.py"

    def __init__(self, site, server, client, label):
        self.site = site
        label += f"-{len(site.processes)}"  # logs are appended to: another transfer's "ready" is not ours
        self.server = site.spawn("b", sys.executable, self.SCRIPT, *server, log=f"{label}-server.log")
        wait_until("the receiver listens", lambda: "ready" in self.server.text())
        self.client = site.spawn("a", sys.executable, self.SCRIPT, *client, log=f"{label}-client.log")

    def finish(self, seconds=60):
        for process in (self.client, self.server):
            wait_until("traffic has ended", lambda p=process: not p.running(), seconds)
            if process.stop():
                raise RuntimeError(f"{process.argv}: {process.text()}")
        return int(self.server.text().split()[-1])

    @classmethod
    def tcp(cls, site, address, size, port=5201, from_port=0, label="tcp"):
        return cls(site, ["tcp-server", port, 1], ["tcp-client", address, port, size, from_port], label)

    @classmethod
    def udp(cls, site, address, count, per_second=5000, first=20000, ports=1, label="udp"):
        return cls(site, ["udp-server", first, ports, count, 2],
                   ["udp-client", address, first, ports, count, per_second], label)
