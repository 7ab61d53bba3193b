# SPDX-License-Identifier: Apache-2.0
"""What a user has without Fieldline: tcpdump on a box's device, and the kernel's count of what it sent again."""
import json
import re
import signal

from process import wait_until


class Capture:
    """tcpdump on a device of a box; stop() waits until it has read all that the device counted."""

    def __init__(self, site, box, device):
        self.site, self.box, self.device = site, box, device
        # Logs are appended to: another capture's "listening" is not ours.
        name = f"{box}-{len(site.processes)}" if (site.folder / f"{box}.pcap").exists() else box
        self.file = site.folder / f"{name}.pcap"
        self.process = site.spawn(box, "tcpdump", "-i", device, "-s", "120", "-w", self.file, "-U", "-B", "65536", "-n",
                                  "--immediate-mode", "-Z", "root", log=f"{name}-tcpdump.log")
        wait_until("tcpdump listens", lambda: "listening on" in self.process.text())
        # IPv6 speaks by itself: what passed before tcpdump listened is not in its count.
        self.unseen = wait_until("a quiet moment", self.difference)[0]

    def passed(self):
        shown = self.site.run(self.box, "ip", "-j", "-s", "link", "show", "dev", self.device).stdout
        stats = json.loads(shown)[0]["stats64"]
        return stats["tx"]["packets"] + stats["rx"]["packets"]

    def reports(self):
        return re.findall(r"(\d+) packets? captured", self.process.text())

    def captured(self):
        before = len(self.reports())
        self.process.popen.send_signal(signal.SIGUSR1)
        wait_until("tcpdump's count", lambda: len(self.reports()) > before)
        return int(self.reports()[-1])

    def difference(self):
        """(packets that passed and tcpdump does not have,), or nothing while some pass."""
        passed, captured = self.passed(), self.captured()
        return (passed - captured,) if self.passed() == passed else None

    def stop(self):
        wait_until(f"tcpdump in {self.box} has read everything",
                   lambda: self.captured() >= self.passed() - self.unseen, 30)
        self.process.stop(signal.SIGINT)
        assert re.search(r"\n0 packets dropped by kernel", self.process.text()), self.process.text()
        return self.file


def kernel_retransmits(site):
    shown = site.run("a", "nstat", "-asz", "TcpRetransSegs").stdout
    return int(re.search(r"TcpRetransSegs\s+(\d+)", shown).group(1))
