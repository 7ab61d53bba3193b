# SPDX-License-Identifier: Apache-2.0
"""What the kernel's leak detector found in everything before: the last room of the suite."""
import os
import re
import time
import unittest

from guest_net import mount_debugfs
from rings import loaded

LEAKS = "/sys/kernel/debug/kmemleak"
PLANTED = 16
# The debug kernel has all but our modules built in: a frame without a name is one of theirs, unloaded by now.
OURS = re.compile(r"magnet|\b0xffffffff[0-9a-f]{8}\b")


def leaks():
    """Objects that nothing points to, each with the calls that made it, as the kernel prints them. It tells of none
    that is younger than 5 s or was changed since the scan before.
    """
    scans, enough = 0, time.monotonic() + 10
    while scans < 3 or time.monotonic() < enough:
        with open(LEAKS, "w") as file:
            file.write("scan")
        scans += 1
    with open(LEAKS) as file:
        return re.split(r"^(?=unreferenced object)", file.read(), flags=re.MULTILINE)


class Leaks(unittest.TestCase):
    def setUp(self):
        mount_debugfs()
        if not os.path.exists(LEAKS):
            self.skipTest("this kernel has no leak detector")

    def ours(self):
        return [leak for leak in leaks() if OURS.search(leak)]

    def test_nothing_leaked(self):
        """And what leaks is seen, also behind an unload: the detector switches itself off when its memory runs out."""
        self.assertEqual(self.ours(), [])
        with loaded(), loaded(f"leak={PLANTED}", "sample"):
            pass
        # A stale pointer on some stack hides one or two.
        self.assertGreater(len(self.ours()), PLANTED // 2)
