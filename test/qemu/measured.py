# SPDX-License-Identifier: Apache-2.0
"""What an action left in the rings and in the kernel's counters."""
import time

import rings
from guest_net import counters, difference
from rings import Rings

TCP, ICMP6 = 6, 58
FIN, SYN = 1, 2


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

    def check_ip(self, test, version):
        """IP's records are the packets that the kernel counted, and their bytes. All multicast is the kernel's own: it
        reports its groups when it likes, by ICMPv6, and hears reports that are delivered to nobody.
        """
        counted = self.counted
        sent, received = ((rings.IP_SEND, rings.IP_RECV), (rings.IP6_SEND, rings.IP6_RECV))[version == 6]
        out, into = ([r for r in self.of(event) if r.protocol != ICMP6] for event in (sent, received))
        size_out, size_into = (sum(r.size for r in records) for records in (out, into))
        if version == 4:
            test.assertEqual(len(out), counted["IpOutRequests"])
            test.assertEqual(len(into), counted["IpInDelivers"])
            test.assertEqual(len(into), counted["IpInReceives"])
            test.assertEqual(size_out, counted["IpExtOutOctets"])
            test.assertEqual(size_into, counted["IpExtInOctets"])
        else:
            test.assertEqual(len(out), counted["Ip6OutRequests"] - counted["Ip6OutMcastPkts"])
            test.assertEqual(len(into), counted["Ip6InDelivers"] - counted["Icmp6InMsgs"])
            test.assertEqual(len(into), counted["Ip6InReceives"] - counted["Ip6InMcastPkts"])
            test.assertEqual(size_out, counted["Ip6OutOctets"] - counted["Ip6OutMcastOctets"])
            test.assertEqual(size_into, counted["Ip6InOctets"] - counted["Ip6InMcastOctets"])

    def check_segments(self, test, accepted=1):
        """TcpOutSegs, TcpInSegs and TcpRetransSegs against TCP's and IP's records. The returned number is of segments
        that came for no socket, each of which was answered by none: a peer that did not hear the last ACK, on a slow
        guest, sends its FIN again to a time-wait socket.
        """
        counted = self.counted
        out = sum(r.segments for r in self.of(rings.IP_SEND, rings.IP6_SEND, protocol=TCP))
        into = len(self.of(rings.IP_RECV, rings.IP6_RECV, protocol=TCP))
        sent, again = (sum(r.segments for r in self.of(event)) for event in (rings.TCP_SEND, rings.TCP_RETRANS))
        syn_acks_again = counted["TcpExtTCPSynRetrans"] - len(self.of(rings.TCP_RETRANS, flags=SYN))
        test.assertEqual(again + syn_acks_again, counted["TcpRetransSegs"])
        test.assertEqual(out, counted["TcpOutSegs"] + again, "the kernel does not count what is sent again")
        test.assertEqual(into, counted["TcpInSegs"])
        # A SYN-ACK has no socket yet; segments that wait for a busy socket are joined.
        answers = out - sent - accepted - syn_acks_again
        strays = into - len(self.of(rings.TCP_RECV)) - counted["TcpExtTCPBacklogCoalesce"]
        test.assertEqual(answers, strays)
        return strays

    def check_no_strays(self, test):
        strays = self.check_segments(test)
        test.assertLessEqual(strays, len([r for r in self.of(rings.TCP_RETRANS) if r.flags & FIN]))


def closed(*cookies):
    return lambda records: {r.sockid for r in records if r.event == rings.SOCK_CLOSE} >= set(cookies)
