# SPDX-License-Identifier: Apache-2.0
"""A real sshd in a box of the lab, with throw-away keys: OpenSSH's own, installed here or unpacked beside the system.

It is no dependency of the project's: to install it would start a service on whoever's machine runs the tests.
"""
import os
import pathlib
import shutil
import subprocess
import sys

from process import wait_until
from site_lab import REPO, build_folder

PACKAGES = ["openssh-server", "libwrap0"]
PORT = 2222


def find_sshd():
    """sshd's path and the folder of its libraries; exit status 77 where it is not to be had."""
    installed = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    if installed:
        return installed, None
    cache = pathlib.Path(os.environ.get("FIELDLINE_CACHE", REPO / ".cache")) / "sshd"
    if not (cache / "whole").exists():
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        fetched = subprocess.run(["apt-get", "download", "-o", "APT::Sandbox::User=root", *PACKAGES], cwd=cache,
                                 capture_output=True, text=True)
        if fetched.returncode:
            print("SKIP: sshd is not installed and cannot be fetched: " + fetched.stderr.strip().replace("\n", " "))
            sys.exit(77)
        for package in cache.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, cache], check=True)
            package.unlink()
        (cache / "whole").touch()
    return str(cache / "usr/sbin/sshd"), str(cache / "usr/lib/x86_64-linux-gnu")


class SshServer:
    """In a mount namespace of its own, where /run/sshd and the user sshd are."""

    def __init__(self, site, box):
        sshd, libraries = find_sshd()
        self.site, self.folder = site, site.folder / "ssh"
        self.folder.mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        known = (self.folder / "host.pub").read_text()
        address = self.address = site.env["MGMT_" + box]
        (self.folder / "known").write_text(f"[{address}]:{PORT} {known}")
        passwd = pathlib.Path("/etc/passwd").read_text()
        if "\nsshd:" not in passwd:
            passwd += "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
        (self.folder / "passwd").write_text(passwd)
        (self.folder / "sshd_config").write_text(
            f"ListenAddress {address}\nPort {PORT}\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nPermitRootLogin yes\n"
            f"Banner {self.folder}/banner\nSetEnv PATH={build_folder()}/bin:/usr/bin:/bin\n")
        (self.folder / "banner").write_text("Authorized use only.\n" * 3)
        self.name("far", address, "user")
        self.client = self.folder / "client"
        self.client.write_text(f'#!/bin/sh\nexec ssh -F {self.folder}/config "$@"\n')
        self.client.chmod(0o755)
        prepare = (f"mount --bind {self.folder}/passwd /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd "
                   f"&& exec {sshd} -D -e -f {self.folder}/sshd_config")
        env = dict(os.environ, LD_LIBRARY_PATH=libraries) if libraries else None
        self.process = site.spawn(box, "unshare", "--mount", "sh", "-c", prepare, log="sshd.log", env=env)
        wait_until("sshd listens", self.listens)

    def name(self, host, address, key):
        """What the client calls the server when it comes with this key."""
        with open(self.folder / "config", "a") as config:
            config.write(f"Host {host}\n  HostName {address}\n  Port {PORT}\n  User root\n  IdentityFile {self.folder}/{key}\n"
                         f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.folder}/known\n  BatchMode yes\n")

    def add_host(self, host, command):
        """The same server, which for this name runs another command; it has what was asked for in $SSH_ORIGINAL_COMMAND."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / host], check=True)
        with open(self.folder / "authorized", "a") as authorized:
            authorized.write(f'command="{command}" {(self.folder / (host + ".pub")).read_text()}')
        self.name(host, self.address, host)

    def listens(self):
        if not self.process.running():
            raise RuntimeError(f"sshd ended: {self.process.text()}")
        return "Server listening" in self.process.text()

    def sessions(self):
        """The far ends' processes: those that have this build's program as `fieldline send-pulses`."""
        found = []
        for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes().split(b"\0")
                exe = os.readlink(line.with_name("exe"))
            except OSError:
                continue
            if words[1:2] == [b"send-pulses"] and exe == str(build_folder() / "bin/fieldline"):
                found.append(int(line.parent.name))
        return found
