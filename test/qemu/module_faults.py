# SPDX-License-Identifier: Apache-2.0
"""Memory that runs out, on a kernel with fault injection."""
import ctypes
import errno
import os
import unittest

import rings
from guest_net import mount_debugfs, run
from rings import Proc, Rings, insmod, rmmod

SYS_INIT_MODULE = 175
SYSLOG_READ_CLEAR, SYSLOG_SIZE_BUFFER = 4, 10
COMPLAINT = r"BUG:|WARNING:|KASAN:|UBSAN:|Oops"


def take_kernel_log():
    """What the kernel said since the last call. A text as long as the kernel's buffer may lack its beginning."""
    room = rings.libc.klogctl(SYSLOG_SIZE_BUFFER, None, 0)
    text = ctypes.create_string_buffer(room)
    length = rings.libc.klogctl(SYSLOG_READ_CLEAR, text, room)
    assert 0 <= length < room * 3 // 4, f"{length} of {room} bytes: some of the log may be gone"
    return text.raw[:length].decode(errors="replace")


class Faults(unittest.TestCase):
    """On a kernel with fault injection: the n-th allocation of a load, or of an open, fails."""

    def test_memory_runs_out_at_load_and_open(self):
        mount_debugfs()
        if not os.path.exists("/proc/thread-self/fail-nth"):
            self.skipTest("this kernel has no fault injection")
        # By default an allocation that may sleep never fails, and of pages none but the large.
        for knob, value in (("failslab/ignore-gfp-wait", "N"), ("failslab/verbose", "0"),
                            ("fail_page_alloc/ignore-gfp-wait", "N"), ("fail_page_alloc/verbose", "0"),
                            ("fail_page_alloc/min-order", "0")):
            with open(f"/sys/kernel/debug/{knob}", "w") as file:
                file.write(value)
        # The kernel says at length, as a warning, what it could not allocate: that is no complaint. It hides real ones
        # from the console as well, so that each fault's share of the log is looked at (with_fault).
        take_kernel_log()  # the console had it
        run("dmesg", "-n", "4")
        self.addCleanup(run, "dmesg", "-n", "5")
        with open(f"{rings.MODULES}/magnet.ko", "rb") as file:
            image = file.read()

        def load():
            return rings.libc.syscall(SYS_INIT_MODULE, image, len(image), b"ring_kb=8")

        def unload(_):
            rmmod()

        errors = self.each_fault(load, unload)
        self.assertLessEqual(set(errors), {errno.ENOMEM, errno.EINVAL, errno.ENOENT, errno.ENOEXEC})
        self.assertGreater(errors.count(errno.ENOMEM), 50)
        insmod("ring_kb=8")
        # An open succeeds with what could be hooked; what could not is tried again at the next.
        errors = self.each_fault(lambda: rings.libc.open(b"/dev/magnet0", os.O_RDWR), os.close)
        self.assertLessEqual(set(errors), {errno.ENOMEM, errno.ENFILE, errno.EMFILE})
        with Rings():
            self.assertNotIn("failed", Proc().states().values())
        rmmod()
        self.assertNotRegex(take_kernel_log(), COMPLAINT)

    def each_fault(self, call, undo):
        """The errors of `call` with a fault at each of its last 300 allocations, and at some of those before (a load's
        are the kernel's own until init runs).
        """
        many, errors = 1_000_000, []
        _, left = self.with_fault(many, call, undo)
        total = many - left
        for number in [*range(1, total - 300, 41), *range(max(1, total - 300), total + 1)]:
            error, _ = self.with_fault(number, call, undo)
            if error:
                errors.append(error)
        print(f"  {total} allocations, {len(errors)} of the faults told", flush=True)
        return errors

    def with_fault(self, number, call, undo):
        """The call's errno or 0, and how many allocations were left to go."""
        nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        os.write(nth, str(number).encode())
        result = call()
        error = rings.ctypes.get_errno() if result < 0 else 0
        left = int(os.pread(nth, 20, 0))
        os.write(nth, b"0")
        os.close(nth)
        if result >= 0:
            undo(result)
        self.assertNotRegex(take_kernel_log(), COMPLAINT, f"allocation {number} failed")
        return error, left
