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
        self.file, self.before = site.folder / f"{box}.pcap", self.passed()
        self.process = site.spawn(box, "tcpdump", "-i", device, "-s", "120", "-w", self.file, "-U", "-B", "65536", "-n",
                                  "--immediate-mode", "-Z", "root", log=f"{box}-tcpdump.log")
        wait_until("tcpdump listens", lambda: "listening on" in self.process.text())

    def passed(self):
        shown = self.site.run(self.box, "ip", "-j", "-s", "link", "show", "dev", self.device).stdout
        stats = json.loads(shown)[0]["stats64"]
        return stats["tx"]["packets"] + stats["rx"]["packets"]

    def stop(self):
        def all_read():
            self.process.popen.send_signal(signal.SIGUSR1)
            counts = re.findall(r"(\d+) packets? captured", self.process.text())
            return counts and int(counts[-1]) >= self.passed() - self.before
        wait_until(f"tcpdump in {self.box} has read everything", all_read, 30)
        self.process.stop(signal.SIGINT)
        assert re.search(r"\n0 packets dropped by kernel", self.process.text()), self.process.text()
        return self.file


def kernel_retransmits(site):
    shown = site.run("a", "nstat", "-asz", "TcpRetransSegs").stdout
    return int(re.search(r"TcpRetransSegs\s+(\d+)", shown).group(1))
