# SPDX-License-Identifier: Apache-2.0
"""Table I between two real hosts, reached by ssh: Mb/s of iperf3 transfers, and how busy each whole host was.

Whatever is started on a host ends when its ssh session does: its shell waits for the end of its standard input and
then ends the program and removes its files, so that neither Ctrl-C here nor a lost connection leaves anything behind.
"""
import contextlib
import json
import re
import shlex
import statistics
import subprocess
import time

# Student's t for a 95 % interval, by degrees of freedom.
T95 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26]
LIMIT = 30  # seconds for what takes one when all is well


class Unable(Exception):
    """What was to be measured cannot run there; says why."""


# A program until standard input ends. "ready" or "ended: ..." is its first line; the last is "there" if it ran to the
# end. It may be another user's (sudo), which kill -0 would not find.
BESIDE = """
d=$(mktemp -d) && cd "$d" || exit 1
{program} </dev/null >log 2>&1 & p=$!
runs() {{ [ -e /proc/$p ] && ! grep -q '^State:.*Z' /proc/$p/status; }}
ended() {{ echo "ended: $(tail -n 3 log | tr '\\n' ' ')"; }}
n=0
until {ready}; do
  n=$((n + 1))
  if ! runs; then ended; break; fi
  if [ $n -gt 300 ]; then echo "ended: not ready in 30 s"; break; fi
  sleep 0.1
done
{ready} && echo ready
cat >/dev/null
if runs; then echo there; else ended; fi
{sudo}kill $p 2>/dev/null; wait $p; cd /; rm -rf "$d"
"""
# A program whose end is waited for, and that is ended when standard input ends first.
TO_ITS_END = """
exec 3<&0
{program} </dev/null & p=$!
{{ cat <&3 >/dev/null 2>&1; kill $p; }} >/dev/null 2>&1 & c=$!
wait $p; s=$?; kill $c; exit $s
"""


class Host:
    def __init__(self, ssh, name):
        self.ssh, self.name = [*shlex.split(ssh), "-T", "-o", "BatchMode=yes"], name
        said = subprocess.run([*self.ssh, "-G", name], stdout=subprocess.PIPE, text=True)
        found = re.search(r"^hostname (.+)$", said.stdout, re.M)
        if said.returncode or not found:
            raise Unable(f"{ssh} knows no host {name}; see --ssh")
        self.address = found[1]
        self.sudo = "" if self.run("id -u").strip() == "0" else "sudo -n "
        self.boot = self.run("cat /proc/sys/kernel/random/boot_id").strip()

    def run(self, command, limit=LIMIT):
        """What the command printed; Unable with its words if it fails."""
        with subprocess.Popen([*self.ssh, self.name, TO_ITS_END.format(program=command)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as session:
            try:
                out, said = communicate(session, limit)
            except subprocess.TimeoutExpired:
                session.kill()
                raise Unable(f"{self.name}: no answer to '{command}' within {limit} s") from None
            except BaseException:
                session.kill()
                raise
        if session.returncode:
            raise Unable(f"{self.name}: {' '.join((said.strip() or out.strip() or command).split())[-200:]}")
        return out

    @contextlib.contextmanager
    def beside(self, name, program, ready):
        session = subprocess.Popen([*self.ssh, self.name, BESIDE.format(program=program, ready=ready, sudo=self.sudo)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            said = session.stdout.readline().strip()
            if said != "ready":
                raise Unable(f"{self.name}: {name} {said or 'did not start'}")
            yield
        except BaseException:
            self.end(session)
            raise
        said = self.end(session)
        if said != "there":
            raise Unable(f"{self.name}: {name} did not run to the end: {said or 'its login ended'}")

    @staticmethod
    def end(session):
        """Its last line."""
        session.stdin.close()
        try:
            session.wait(LIMIT)
        except subprocess.TimeoutExpired:
            session.kill()
            session.wait()
        return "".join(session.stdout.read().splitlines()[-1:]).strip()

    def device_to(self, address):
        return re.search(r" dev (\S+)", self.run(f"ip -o route get {shlex.quote(address)}"))[1]

    def jiffies(self):
        """(busy, all) of the whole host since its boot."""
        fields = [int(n) for n in self.run("head -n 1 /proc/stat").split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)

    @contextlib.contextmanager
    def module(self):
        if self.run("test ! -e /sys/module/magnet || echo loaded"):
            raise Unable(f"{self.name}: magnet is loaded already; unload it first (rmmod magnet)")
        self.run(f"{self.sudo}modprobe magnet always=1")
        try:
            yield
        finally:
            self.run(f"{self.sudo}rmmod magnet")

    def iperf3(self):
        return self.beside("iperf3", "iperf3 -s --forceflush", "grep -q 'Server listening' log")

    def magnet_read(self):
        return self.beside("magnet-read", f"{{ mkmagnet trace 1G && exec {self.sudo}magnet-read trace; }}",
                           f"{self.sudo}sh -c 'ls -l /proc/[0-9]*/fd' 2>/dev/null | grep -q /dev/magnet0")

    def tcpdump(self, peer):
        return self.beside("tcpdump", f"{self.sudo}tcpdump -Z root -n -i {self.device_to(peer.address)} -s 68 -w pcap",
                           "grep -q 'listening on' log")


def communicate(session, limit):
    """As communicate(), but standard input stays open until the end."""
    end = time.monotonic() + limit
    stdin, session.stdin = session.stdin, None
    try:
        return session.communicate(timeout=max(0.1, end - time.monotonic()))
    finally:
        stdin.close()


def transfer(sender, receiver, seconds):
    """(Mb/s, % of the sender's CPUs, % of the receiver's): one iperf3 transfer, with its two logins in the CPU time."""
    before = sender.jiffies(), receiver.jiffies()
    said = sender.run(f"iperf3 -c {shlex.quote(receiver.address)} -t {seconds} -J", seconds + LIMIT)
    after = sender.jiffies(), receiver.jiffies()
    busy = [100 * (a[0] - b[0]) / max(1, a[1] - b[1]) for a, b in zip(after, before)]
    return json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e6, *busy


def configurations(sender, receiver):
    """Table I's rows: name, the paper's name, and the context managers that set it up."""
    both = [sender.module, receiver.module]
    return [
        ("nothing", "Linux 2.4.3", []),
        ("MAGNeT at both, nobody reads (always=1)", "MAGNeT", both),
        ("magnet-read at the receiver", "magnet-read/rcv", [*both, receiver.magnet_read]),
        ("magnet-read at the sender", "magnet-read/snd", [*both, sender.magnet_read]),
        ("tcpdump -s 68 at the receiver", "tcpdump/rcv", [lambda: receiver.tcpdump(sender)]),
        ("tcpdump -s 68 at the sender", "tcpdump/snd", [lambda: sender.tcpdump(receiver)]),
    ]


def interval(figures):
    """Mean and half the width of its 95 % interval, None of one figure."""
    mean = statistics.mean(figures)
    if len(figures) < 2:
        return mean, None
    t = T95[min(len(figures) - 2, len(T95) - 1)]
    return mean, t * statistics.stdev(figures) / len(figures) ** 0.5


def measure(ssh, names, seconds, repeats, tell):
    """A result per configuration: mbps, send_cpu, receive_cpu as (mean, half interval), or skipped with the reason."""
    sender, receiver = (Host(ssh, name) for name in names)
    results = []
    for name, paper, parts in configurations(sender, receiver):
        tell(f"{name}: {repeats} x {seconds} s")
        try:
            with contextlib.ExitStack() as stack:
                for part in [receiver.iperf3, *parts]:
                    stack.enter_context(part())
                figures = [transfer(sender, receiver, seconds) for _ in range(repeats)]
        except Unable as reason:
            results.append({"configuration": name, "paper": paper, "skipped": str(reason)})
            continue
        mbps, send, receive = (interval([f[i] for f in figures]) for i in range(3))
        results.append({"configuration": name, "paper": paper, "mbps": mbps, "send_cpu": send, "receive_cpu": receive})
    return results, sender.boot == receiver.boot
