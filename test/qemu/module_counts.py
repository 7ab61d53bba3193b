# SPDX-License-Identifier: Apache-2.0
"""Events and bytes per layer against what the program sent and received, and what the kernel counted itself."""
import unittest

import rings
from guest_net import TcpPair, UdpPair, cookie
from measured import Measured, closed

LENGTH = 200_000
DATAGRAMS = [1, 100, 1000, 1400] * 25


class Counts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rings.insmod("ext=1 ring_kb=1024")

    @classmethod
    def tearDownClass(cls):
        rings.rmmod()

    def check_devices(self, measured, medium):
        """Frames and bytes of the interfaces; loopback counts its bytes without the link header of 14."""
        counted = measured.counted
        sent, received = measured.of(rings.DEV_SEND), measured.of(rings.DEV_RECV)
        names = ("lo",) if medium == "lo" else ("veth0", "veth1")
        extra = len(sent) - sum(counted[f"{name}.tx_packets"] for name in names)
        if medium == "lo":
            sent = [r for r in sent if r.ifindex == 1]
            received = [r for r in received if r.ifindex == 1]
        self.assertEqual(len(sent), sum(counted[f"{n}.tx_packets"] for n in names), extra)
        self.assertEqual(len(received), sum(counted[f"{n}.rx_packets"] for n in names))
        link = 14 if medium == "lo" else 0
        self.assertEqual(sum(r.size - link for r in sent), sum(counted[f"{n}.tx_bytes"] for n in names))
        self.assertEqual(sum(r.size - link for r in received), sum(counted[f"{n}.rx_bytes"] for n in names))

    def check_tcp(self, measured, client, server):
        measured.check_no_strays(self)
        for sockid in (client, server):
            self.assertEqual(len(measured.of(rings.SOCK_OPEN, sockid=sockid)), 1)
            self.assertEqual(len(measured.of(rings.SOCK_CLOSE, sockid=sockid)), 1)

    def tcp(self, medium, version):
        ids = []

        def action():
            pair = TcpPair(medium, version)
            ids.extend((cookie(pair.client), cookie(pair.server)))
            reader = pair.serve(LENGTH)
            sent = 0
            while sent < LENGTH:
                sent += pair.client.send(bytes(min(3000, LENGTH - sent)))
            reader.join()
            pair.end()

        measured = Measured(action, lambda records: len(ids) == 2 and closed(*ids)(records))
        client, server = ids
        self.assertEqual(measured.lost, 0)
        self.assertEqual([r.size for r in measured.of(rings.SOCK_SEND, sockid=client)],
                         [3000] * (LENGTH // 3000) + [LENGTH % 3000])
        self.assertEqual(measured.sizes(rings.SOCK_RECV, sockid=server), LENGTH)
        sent = LENGTH + measured.sizes(rings.TCP_RETRANS, sockid=client) # a slow guest probes for losses
        self.assertEqual(measured.sizes(rings.TCP_SEND, sockid=client), sent)
        self.assertEqual(measured.sizes(rings.TCP_RECV, sockid=server), sent)
        self.assertEqual(measured.sizes(rings.TCP_SEND, sockid=server), 0)
        self.check_tcp(measured, client, server)
        measured.check_ip(self, version)
        self.check_devices(measured, medium)

    def udp(self, medium, version):
        ids = []

        def action():
            pair = UdpPair(medium, version)
            ids.extend((cookie(pair.client), cookie(pair.server)))
            pair.client.connect(pair.to)
            for size in DATAGRAMS:
                pair.client.send(bytes(size))
            for size in DATAGRAMS:
                assert len(pair.server.recv(2000)) == size
            pair.close()

        measured = Measured(action, lambda records: True)
        client, server = ids
        counted, n = measured.counted, len(DATAGRAMS)
        prefix = "Udp" if version == 4 else "Udp6"
        for event, sockid in ((rings.SOCK_SEND, client), (rings.UDP_SEND, client), (rings.UDP_RECV, server),
                              (rings.SOCK_RECV, server)):
            self.assertEqual([r.size for r in measured.of(event, sockid=sockid)], DATAGRAMS)
        self.assertEqual(counted[f"{prefix}OutDatagrams"], n)
        self.assertEqual(counted[f"{prefix}InDatagrams"], n)
        self.assertEqual([r.event for r in measured.of(rings.SOCK_OPEN, rings.SOCK_CLOSE)],
                         [rings.SOCK_OPEN, rings.SOCK_CLOSE], "of the connected one")
        self.assertEqual({r.sockid for r in measured.of(rings.SOCK_OPEN, rings.SOCK_CLOSE)}, {client})
        measured.check_ip(self, version)
        self.check_devices(measured, medium)

    def test_known_traffic(self):
        for medium in ("lo", "veth"):
            for version in (4, 6):
                for protocol in (self.tcp, self.udp):
                    with self.subTest(f"{protocol.__name__} over IPv{version}, {medium}"):
                        protocol(medium, version)
