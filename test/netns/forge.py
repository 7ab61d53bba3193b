# SPDX-License-Identifier: Apache-2.0
"""Triggers made without Fieldline's own code, right ones and wrong ones: layouts from docs/format/trigger.md,
signatures by ssh-keygen and openssl."""
import base64
import hashlib
import ipaddress
import os
import pathlib
import struct
import subprocess
import tempfile
import time

SECOND = 10**9


def mapped(address):
    ip = ipaddress.ip_address(address)
    return ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed


class Forge:
    SEND = pathlib.Path(__file__).with_name("send_triggers.py")

    def __init__(self, key, host_a, host_b):
        self.key, self.host_a, self.host_b = pathlib.Path(key), host_a, host_b
        self.folder = tempfile.TemporaryDirectory(prefix="fieldline-forge.")
        self.run_key = pathlib.Path(self.folder.name) / "run.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.run_key], check=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.run_key, "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.run_public = der[-32:]
        blob = base64.b64decode(self.key.with_suffix(".pub").read_text().split()[1])
        self.key_id = hashlib.sha256(blob).digest()[:8]

    def sign_grant(self, grant, name_space="grant@fieldline"):
        file = pathlib.Path(self.folder.name) / "grant"
        file.write_bytes(grant)
        file.with_suffix(".sig").unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", name_space, "-f", self.key, file], check=True,
                       capture_output=True)
        lines = file.with_suffix(".sig").read_text().splitlines()
        return base64.b64decode("".join(lines[1:-1]))[-64:]

    def sign_pulse(self, run, pulse):
        file = pathlib.Path(self.folder.name) / "pulse"
        file.write_bytes(b"fieldline pulse 1" + run + pulse)
        return subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.run_key, "-in", file],
                              check=True, capture_output=True).stdout

    def trigger(self, *, run=None, pairs=((0, 20000),), protocol=17, issued=0, seconds=30, sequence=1, pulse_issued=0,
                pulse_seconds=10, snaplen=0, sample=1, archive=bytes(32), host_a=None, host_b=None, key_id=None,
                name_space="grant@fieldline", version=1, grant_version=1):
        now = time.time_ns()
        run = run or os.urandom(16)
        start = now + int(issued * SECOND)
        grant = struct.pack("!BBBB4x", grant_version, 1, protocol, len(pairs)) + run + (key_id or self.key_id)
        grant += self.run_public + struct.pack("!QQ", start, start + int(seconds * SECOND))
        grant += mapped(host_a or self.host_a) + mapped(host_b or self.host_b) + struct.pack("!BBHI", 128, 128, snaplen, sample)
        grant += archive + b"".join(struct.pack("!HH", *pair) for pair in pairs)
        begin = now + int(pulse_issued * SECOND)
        pulse = struct.pack("!I4xQQ", sequence, begin, begin + int(pulse_seconds * SECOND))
        signature = self.sign_grant(grant, name_space)
        header = b"\xf1LDLINE\n" + struct.pack("!BBHHHB3x", version, 0, 0, len(grant), len(signature), 1)
        return header + grant + signature + pulse + self.sign_pulse(run, pulse)

    def renewal(self, trigger, sequence, after, seconds):
        """The same grant with another pulse, issued `after` seconds from the first one's time."""
        grant_len, signature_len = struct.unpack("!HH", trigger[12:16])
        head = trigger[:20 + grant_len + signature_len]
        begin = struct.unpack("!Q", trigger[len(head) + 8:len(head) + 16])[0] + int(after * SECOND)
        pulse = struct.pack("!I4xQQ", sequence, begin, begin + int(seconds * SECOND))
        return head + pulse + self.sign_pulse(trigger[28:44], pulse)
