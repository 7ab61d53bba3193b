# SPDX-License-Identifier: Apache-2.0
"""The guest's own reader of MAGNeT's rings and of /proc/net/magnet: written from proto/magnet.h's words, so that it
shares nothing with the readers that it stands beside.
"""
import ctypes
import fcntl
import mmap
import os
import struct

SYSINFO, LOST = 0x0001, 0x0002
SOCK_OPEN, SOCK_CLOSE, SOCK_SEND, SOCK_RECV = 0x0101, 0x0102, 0x0103, 0x0104
TCP_SEND, TCP_RECV, TCP_RETRANS = 0x0201, 0x0202, 0x0203
UDP_SEND, UDP_RECV = 0x0301, 0x0302
IP_SEND, IP_RECV, IP6_SEND, IP6_RECV = 0x0401, 0x0402, 0x0403, 0x0404
DEV_SEND, DEV_RECV = 0x0501, 0x0502

IOC_INFO = 0x80504D01
INFO = struct.Struct("<4IQ2I3Q2I2Q")
INFO_NAMES = ("abi record_size slots cpu bytes next_slot cycles_khz cycles tai_ns realtime_ns error_ns layers recorded "
              "lost").split()
HEAD = struct.Struct("<QQIi")
EXT = {
    "sock": (struct.Struct("<7I2H2B6x"), "pid uid seq wqueue rqueue sndbuf rcvbuf local_port peer_port family protocol"),
    "tcp": (struct.Struct("<2H8I2BH"),
            "local_port peer_port seq ack cwnd ssthresh srtt_us snd_wnd in_flight wqueue flags ca_state gso_segs"),
    "packet": (struct.Struct("<2H4I4H3B9x"),
               "local_port peer_port seq ack payload ifindex ip_id fragment gso_size gso_segs family protocol flags"),
    "open": (struct.Struct("<16s16s2H3Bx"), "local peer local_port peer_port family protocol passive"),
    "lost": (struct.Struct("<Q32x"), "first"),
    "sysinfo": (struct.Struct("<3QI2HI2H"), "cycles tai_ns realtime_ns error_ns cpu abi slots record_size layers"),
}
KIND_OF = {SYSINFO: "sysinfo", LOST: "lost", SOCK_OPEN: "open", SOCK_CLOSE: "sock", SOCK_SEND: "sock",
           SOCK_RECV: "sock"}
KIND_OF_LAYER = {2: "tcp", 3: "packet", 4: "packet", 5: "packet"}


class Record:
    def __init__(self, cpu, raw):
        self.cpu, self.raw = cpu, raw
        self.sockid, self.timestamp, self.event, self.size = HEAD.unpack_from(raw)

    def __getattr__(self, name):
        """A field of the extension."""
        kind = KIND_OF.get(self.event) or KIND_OF_LAYER.get(self.event >> 8)
        if kind is None or len(self.raw) < 64:
            raise AttributeError(name)
        layout, names = EXT[kind]
        fields = dict(zip(names.split(), layout.unpack_from(self.raw, 24)))
        if name not in fields:
            raise AttributeError(name)
        return fields[name]

    @property
    def segments(self):
        return self.gso_segs or 1

    def __repr__(self):
        return f"<cpu {self.cpu} {self.event:#06x} sockid {self.sockid} size {self.size} at {self.timestamp}>"


class Ring:
    """One /dev/magnetN, open and mapped."""

    def __init__(self, cpu):
        self.cpu = cpu
        self.fd = os.open(f"/dev/magnet{cpu}", os.O_RDWR | os.O_CLOEXEC)
        self.map = mmap.mmap(self.fd, self.info()["bytes"], mmap.MAP_SHARED)
        info = self.info()
        self.size, self.slots = info["record_size"], info["slots"]
        self.sysinfo = Record(cpu, self.map[: self.size])
        # The oldest unread record is the first at or behind where the kernel writes next.
        order = [*range(info["next_slot"], self.slots), *range(1, info["next_slot"])]
        self.slot = next((slot for slot in order if self.stamp(slot)), info["next_slot"])
        self.lost = 0

    def info(self):
        answer = bytearray(INFO.size)
        fcntl.ioctl(self.fd, IOC_INFO, answer)
        return dict(zip(INFO_NAMES, INFO.unpack(answer)))

    def stamp(self, slot):
        return int.from_bytes(self.map[slot * self.size + 8 : slot * self.size + 16], "little")

    def drain(self, limit=1 << 30):
        """What is unread, in order; MAGNET_LOST is summed up in self.lost and left out."""
        records = []
        while len(records) < limit and self.stamp(self.slot):
            at = self.slot * self.size
            record = Record(self.cpu, self.map[at : at + self.size])
            self.map[at + 8 : at + 16] = bytes(8)
            self.slot = self.slot + 1 if self.slot + 1 < self.slots else 1
            if record.event == LOST:
                self.lost += record.size
            else:
                records.append(record)
        return records

    def close(self):
        self.map.close()
        os.close(self.fd)


class Rings:
    """All of them; `with Rings() as rings`."""

    def __init__(self):
        self.rings = []

    def __enter__(self):
        for cpu in range(os.cpu_count()):
            self.rings.append(Ring(cpu))
        self.drain()
        return self

    def __exit__(self, *unused):
        for ring in self.rings:
            ring.close()

    def drain(self):
        return [record for ring in self.rings for record in ring.drain()]

    @property
    def lost(self):
        return sum(ring.lost for ring in self.rings)


class Proc:
    """/proc/net/magnet, parsed."""

    def __init__(self, path="/proc/thread-self/net/magnet"):
        self.values, self.hooks, self.cpus = {}, [], {}
        with open(path) as file:
            self.text = file.read()
        for line in self.text.splitlines():
            key, *rest = line.split()
            if key == "hook":
                self.hooks.append(dict(zip(("events", "kind", "symbol", "state", "", "missed"), rest)))
            elif key == "cpu":
                self.cpus[int(rest[0])] = {name: int(value) for name, value in zip(rest[1::2], rest[2::2])}
            else:
                self.values[key] = " ".join(rest)
        self.recorded = sum(cpu["recorded"] for cpu in self.cpus.values())
        self.lost = sum(cpu["lost"] for cpu in self.cpus.values())
        self.missed = int(self.values["missed"])

    @property
    def events(self):
        return self.recorded + self.lost + self.missed

    def states(self):
        return {(hook["kind"], hook["symbol"]): hook["state"] for hook in self.hooks}


libc = ctypes.CDLL(None, use_errno=True)
SYS_DELETE_MODULE, SYS_FINIT_MODULE = 176, 313
MODULES = os.environ.get("MAGNET_MODULES", "")


def insmod(parameters="", name="magnet"):
    """Raises OSError as the kernel says."""
    with open(f"{MODULES}/{name}.ko", "rb") as file:
        if libc.syscall(SYS_FINIT_MODULE, file.fileno(), parameters.encode(), 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"insmod {name} {parameters}")


def rmmod(name="magnet"):
    if libc.syscall(SYS_DELETE_MODULE, name.encode(), os.O_NONBLOCK):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"rmmod {name}")


class loaded:
    """`with loaded("ext=1"):` the module is there, and gone behind it."""

    def __init__(self, parameters="", name="magnet"):
        self.parameters, self.name = parameters, name

    def __enter__(self):
        insmod(self.parameters, self.name)

    def __exit__(self, *unused):
        rmmod(self.name)
