# SPDX-License-Identifier: Apache-2.0
"""Connections of test_instruments.py that are written and not recorded, a port each."""
from pcap_maker import ACK, FIN, SYN, Connection, PcapMaker

WRAP, SIMULTANEOUS, COPIES, OVERTAKEN, PROBED, MIDSTREAM, OFFLOADED, CLOSED = range(6001, 6009)


def wrap(maker):
    """The sequence passes 2**32 twice where data is lost and sent again, at the wrap itself too."""
    one = Connection(maker, WRAP, sequences=(2**32 - 50_500, 2**32 - 1))
    one.open()
    for number in range(100):
        one.put(0, payload=1000)
        if number % 10 == 9:
            one.acknowledge(1, less=1000 if number == 49 else 0)
        if number == 49:  # begins below the wrap, ends above it
            one.again(0, 1000, 1000, after_ms=30)
            one.acknowledge(1)
        if number == 60:
            one.again(0, 1000, 1000, after_ms=30)
    one.end()


def simultaneous(maker):
    one = Connection(maker, SIMULTANEOUS)
    one.put(0, SYN, options=one.MSS)
    one.put(1, SYN, options=one.MSS)
    for end in (0, 1):
        one.acknowledged[end] = one.next[1 - end]
        one.again(end, 1, 0, after_ms=10, flags=SYN | ACK)
    for end in (0, 1):
        one.put(end, payload=700)
        one.acknowledge(1 - end)
    one.end()


def copies(maker):
    """The network makes a second one of each fifth packet."""
    one = Connection(maker, COPIES)
    one.open()
    for number in range(50):
        frame = one.put(0, payload=1000)
        if number % 5 == 0:
            maker.write(frame)
        if number % 10 == 9:
            one.acknowledge(1)
    one.again(0, 1000, 1000, after_ms=300)  # acknowledged, and yet
    one.end()


def overtaken(maker):
    """Each tenth packet comes behind the next one; one is lost before this point, and sent again."""
    one = Connection(maker, OVERTAKEN)
    one.open()
    for number in range(50):
        if number % 10 == 3:
            first = one.make(0, one.next[0], ACK, 1000)
            one.next[0] += 1000
            one.put(0, payload=1000)
            maker.write(first)
            continue
        one.put(0, payload=1000)
        if number % 10 == 9:
            one.acknowledge(1)
    one.next[0] += 1000  # not seen here
    one.put(0, payload=1000)
    one.acknowledge(1, less=2000)
    one.again(0, 2000, 1000, after_ms=200)
    one.acknowledge(1)
    one.end()


def probed(maker):
    """A closed window that is asked by single bytes, then an idle time with keep-alives of one byte of garbage."""
    one = Connection(maker, PROBED)
    one.open()
    one.put(0, payload=1000)
    one.window[1] = 0
    one.acknowledge(1)
    for _ in range(3):
        one.again(0, 0, 1, after_ms=500)
        one.acknowledge(1)
    one.window[1] = 60_000
    one.acknowledge(1)
    one.put(0, payload=1000)
    one.acknowledge(1)
    for _ in range(4):
        one.again(0, 1, 1, after_ms=1000)
        one.acknowledge(1)
    one.end()


def midstream(maker):
    """No handshake; what is sent again is sent again."""
    one = Connection(maker, MIDSTREAM)
    one.acknowledged = [one.next[1], one.next[0]]
    for number in range(20):
        one.put(0, payload=1000)
        if number == 10:
            one.again(0, 1000, 1000, after_ms=250)
        if number % 5 == 4:
            one.acknowledge(1)
    one.again(0, 0, 0, flags=FIN | ACK)


def offloaded(maker):
    """As a host with TSO records itself: packets of one, two and three segments."""
    one = Connection(maker, OFFLOADED)
    one.open()
    for number in range(30):
        one.put(0, payload=1460 * (1 + number % 3))
        if number % 6 == 5:
            one.acknowledge(1)
    one.end()


def closed(maker):
    """The acknowledgement that closes the window is lost behind this point: the sender, who does not know of it, sends
    its last packet again."""
    one = Connection(maker, CLOSED)
    one.open()
    for _ in range(3):
        one.put(0, payload=1000)
    one.window[1] = 0
    one.acknowledge(1)
    one.again(0, 1000, 1000, after_ms=250)
    one.acknowledge(1)
    one.window[1] = 60_000
    one.acknowledge(1)
    one.put(0, payload=1000)
    one.acknowledge(1)
    one.end()


def write_all(file):
    maker = PcapMaker(file)
    for make in (wrap, simultaneous, copies, overtaken, probed, midstream, offloaded,
                 closed):
        make(maker)
        maker.wait(1000)
    maker.close()
    return file
