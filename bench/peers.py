# SPDX-License-Identifier: Apache-2.0
"""What magnet.ko is compared with, each at the module's hooks as far as it can have them and with as many bytes of
ring per CPU. A recorder is a context manager that gives (what goes before the measured command, account), where
account(), asked once the traffic is over, says (events recorded, events lost as the peer itself counts, bytes of its
trace)."""
import contextlib
import os
import re
import shutil
import struct
import subprocess
import time

from guest import RING_KB, Failed, counters, program, run, wait_for

TRACEFS = "/sys/kernel/tracing"
PERF_DATA = "/mnt/perf.data"
# The module's hooks: the same functions, and tracepoints where it has them.
PROBES = {
    "sock_send": "inet_sendmsg", "sock_recv": "inet_recvmsg", "tcp_send": "__tcp_transmit_skb",
    "tcp_recv": "tcp_v4_do_rcv", "ip_send": "ip_output", "ip_recv": "ip_local_deliver",
}
TRACEPOINTS = ["net:net_dev_start_xmit", "net:netif_receive_skb"]
EVENTS_PER_TRIP = 2 * (len(PROBES) + len(TRACEPOINTS))


@contextlib.contextmanager
def kprobes():
    """The peers' kprobes as trace events magnetpeer:*."""
    if not os.path.exists(f"{TRACEFS}/kprobe_events"):
        run("mount", "-t", "tracefs", "tracefs", TRACEFS)
    with open(f"{TRACEFS}/kprobe_events", "w") as file:
        file.write("\n".join(f"p:magnetpeer/{name} {symbol}" for name, symbol in PROBES.items()) + "\n")
    try:
        yield [f"magnetpeer:{name}" for name in PROBES] + TRACEPOINTS
    finally:
        with open(f"{TRACEFS}/kprobe_events", "w") as file:
            file.write("")


@contextlib.contextmanager
def magnet(guest, size="160M", ring_kb=RING_KB, **parameters):
    """The module with magnet-read, whose delay is its own choice."""
    with guest.loaded(ring_kb=ring_kb, **parameters), guest.read(size=size):
        def account():
            recorded, lost = counters()
            return recorded, lost, recorded * (64 if parameters.get("ext") else 24)
        yield (), account


@contextlib.contextmanager
def perf(ring_kb=RING_KB):
    """perf records all CPUs for as long as the measured command runs."""
    with kprobes() as events:
        chosen = [word for event in events for word in ("-e", event)]
        yield ("perf", "record", "-q", "-a", "-m", f"{ring_kb}K", "-o", PERF_DATA, *chosen, "--"), count_perf
    if os.path.exists(PERF_DATA):
        os.unlink(PERF_DATA)


def count_perf():
    """Walks perf.data: a sample is type 9, a lost record type 2 with its count behind an id."""
    with open(PERF_DATA, "rb") as file:
        data = file.read()
    at, size = struct.unpack_from("<QQ", data, 40)
    end, recorded, lost = at + size, 0, 0
    while at < end:
        kind, _, length = struct.unpack_from("<IHH", data, at)
        if kind == 9:
            recorded += 1
        elif kind == 2:
            lost += struct.unpack_from("<Q", data, at + 16)[0]
        if length < 8:
            raise Failed(f"perf.data: a record of {length} bytes at {at}")
        at += length
    return recorded, lost, size


@contextlib.contextmanager
def bpftrace():
    """Counts per hook: less than a record each, which is to its favour."""
    script = " ".join(f"kprobe:{symbol} {{ @[probe] = count(); }}" for symbol in PROBES.values())
    script += " ".join(f" tracepoint:{point} {{ @[probe] = count(); }}" for point in TRACEPOINTS)
    log = "/mnt/bpftrace.log"
    with program("bpftrace", "-e", f'BEGIN {{ printf("attached\\n"); }} {script}',
                 ready=lambda _: b"attached" in open(log, "rb").read(), what="bpftrace"):
        yield (), None


@contextlib.contextmanager
def tcpdump():
    log = "/mnt/tcpdump.log"
    with program("tcpdump", "-Z", "root", "-n", "-i", "lo", "-s", "68", "-w", "/mnt/peer.pcap",
                 ready=lambda _: b"listening on" in open(log, "rb").read(), what="tcpdump"):
        yield (), None
    os.unlink("/mnt/peer.pcap")


class Lttng:
    """LTTng's session daemon and one session at a time. Tracepoints where its own probes have them: net_dev_xmit and
    net_if_receive_skb, which always carries the packet's headers."""
    TRACE = "/mnt/lttng-trace"
    SUB_BUFFERS = 4  # its own default; it hands on whole ones

    def __init__(self, place):
        # Copied to memory first: under -icount the guest's clock leaps while a read from the host's disk is waited for,
        # and the daemon's own time limits with it.
        self.place = shutil.copytree(place, "/mnt/lttng", symlinks=True)
        tools = os.path.join(self.place, "tools/usr")
        self.libraries = os.path.join(tools, "lib/x86_64-linux-gnu")
        self.bin = os.path.join(tools, "bin")
        self.environment = {
            **os.environ, "LD_LIBRARY_PATH": self.libraries, "LTTNG_HOME": "/mnt", "HOME": "/mnt",
            "LTTNG_SESSION_CONFIG_XSD_PATH": os.path.join(tools, "share/xml/lttng/"),
        }
        # The host's root is read-only and has no /lib/modules of this kernel, where the daemon looks.
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.place}:/usr/lib", "/usr/lib")
        if not os.path.isdir("/dev/shm"):
            os.mkdir("/dev/shm")
            run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
        self.log = open("/mnt/lttng-sessiond.log", "w+b")
        consumer = os.path.join(self.libraries, "lttng/libexec/lttng-consumerd")
        self.daemon = subprocess.Popen(
            [os.path.join(self.bin, "lttng-sessiond"), f"--consumerd64-path={consumer}",
             f"--consumerd64-libdir={self.libraries}", "--kmod-probes=net"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            wait_for(self.answers, "LTTng's session daemon", 600)
        except Failed:
            self.close()
            raise

    def answers(self):
        if self.daemon.poll() is not None:
            self.log.seek(0)
            raise Failed(f"lttng-sessiond ended: {self.log.read().decode(errors='replace').strip()[-300:]}")
        return subprocess.run([os.path.join(self.bin, "lttng"), "list"], env=self.environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def close(self):
        if self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(120)
        self.log.close()

    def command(self, *arguments):
        return run(os.path.join(self.bin, "lttng"), *arguments, env=self.environment)

    @contextlib.contextmanager
    def recording(self, *channel, ring_kb=RING_KB):
        """channel: further options of the channel, as its read timer."""
        self.command("create", "bench", f"--output={self.TRACE}")
        try:
            self.command("enable-channel", "-k", "--discard", f"--subbuf-size={ring_kb // self.SUB_BUFFERS}K",
                         f"--num-subbuf={self.SUB_BUFFERS}", *channel, "hooks")
            for name, symbol in PROBES.items():
                self.command("enable-event", "-k", f"--probe={symbol}", name, "-c", "hooks")
            self.command("enable-event", "-k", "net_dev_xmit,net_if_receive_skb", "-c", "hooks")
            self.command("start")
            yield (), self.account
        finally:
            self.command("destroy", "bench")
            shutil.rmtree(self.TRACE, ignore_errors=True)

    def account(self):
        self.command("stop")
        lost = int(re.search(r"Discarded events:\s*(\d+)", self.command("list", "bench"))[1])
        counted = run("babeltrace2", "-c", "sink.utils.counter", self.TRACE)
        recorded = re.findall(r"(\d+) Event messages", counted)
        size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(self.TRACE)
                   for name in names if name.startswith("hooks"))
        return int(recorded[-1]) if recorded else 0, lost, size


@contextlib.contextmanager
def lttng(place):
    """LTTng from bench/lttng's folder; Failed if it does not run."""
    daemon = Lttng(place)
    try:
        yield daemon
    finally:
        daemon.close()
