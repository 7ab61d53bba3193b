# SPDX-License-Identifier: Apache-2.0
"""Processes that a test starts, and waiting for a condition."""
import pathlib
import signal
import subprocess
import time


def wait_until(what, condition, seconds=20):
    """Polls a condition; its first true value. The poll is the clock's only part in it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(f"{what}: not within {seconds} s")


class Process:
    """One process in a box, its output in a file."""

    def __init__(self, argv, log, **kwargs):
        self.argv, self.log = argv, pathlib.Path(log)
        self.file = open(self.log, "ab")
        kwargs.setdefault("stdout", self.file)
        self.popen = subprocess.Popen(argv, stderr=self.file, stdin=subprocess.DEVNULL, **kwargs)

    def running(self):
        return self.popen.poll() is None

    def ask_to_end(self):
        if self.running():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()

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
