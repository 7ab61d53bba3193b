# SPDX-License-Identifier: Apache-2.0
"""What an action left in the rings and in the kernel's counters."""
import time

import rings
from guest_net import counters, difference
from rings import Rings


class Measured:
    """The records of an action and what the kernel counted in the meantime."""

    def __init__(self, action, until):
        """until(records): has the last of them come?"""
        with Rings() as taken:
            before = counters("left", "right")
            action()
            self.records = taken.drain()
            limit = time.monotonic() + 30
            while not until(self.records):
                assert time.monotonic() < limit, f"still waiting; the last records: {self.records[-20:]}"
                self.records += taken.drain()
            self.counted = difference(counters("left", "right"), before)
            self.records += taken.drain()
            self.records.sort(key=lambda record: record.timestamp)
            self.lost = taken.lost

    def of(self, *events, **fields):
        return [r for r in self.records
                if r.event in events and all(getattr(r, name) == value for name, value in fields.items())]

    def sizes(self, *events, **fields):
        """Bytes; a negative size is an error and none."""
        return sum(max(r.size, 0) for r in self.of(*events, **fields))

    def segments_out(self):
        """As TcpOutSegs counts: the segments of TCP's records, without those that were sent again."""
        return sum(r.segments for r in self.of(rings.TCP_SEND)) - sum(r.segments for r in self.of(rings.TCP_RETRANS))


def closed(*cookies):
    return lambda records: {r.sockid for r in records if r.event == rings.SOCK_CLOSE} >= set(cookies)
