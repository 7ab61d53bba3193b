# SPDX-License-Identifier: Apache-2.0
"""An independent witness: tcpdump on the router's end of a sensor's tap."""
import re
import signal

from packets import read_pcap
from process import wait_until


class TapCapture:
    def __init__(self, site, sensor, ways=("fwd", "rev")):
        self.site, self.sensor, self.router = site, sensor, site.env[f"TAP_{sensor}_BOX"]
        self.parts = {}
        for way in ways:
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
