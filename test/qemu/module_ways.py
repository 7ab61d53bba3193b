# SPDX-License-Identifier: Apache-2.0
"""Bytes at the socket and below it for each way to move them; and what the kernel counts that is no record, or that
has a record and is not counted: docs/magnet-module.md has the same list.
"""
import errno
import os
import select
import socket
import tempfile
import time
import unittest

import rings
import ways
from guest_net import ADDRESS, TcpPair, UdpPair, cookie, entries, kernel_has, netns, run
from measured import FIN, SYN, Measured, closed

LENGTH = 150_000
PAGE = 4096
TLS_OVERHEAD = 29  # a record's header, explicit nonce and tag
FIN_WAIT2 = 5
MSG_FASTOPEN = 0x20000000
SO_TIMESTAMPING, TX_SOFTWARE, SOFTWARE = 37, 1 << 1, 1 << 4  # asm-generic/socket.h, linux/net_tstamp.h


def wait_for_state(name, port, state):
    """Of the IPv4 socket with that local port, time-wait sockets among them."""
    with netns(name):
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            with open("/proc/thread-self/net/tcp") as file:
                for line in list(file)[1:]:
                    local, found = line.split()[1], line.split()[3]
                    if int(local.split(":")[1], 16) == port and int(found, 16) == state:
                        return
    raise AssertionError(f"port {port} never came into state {state}")


class Ways(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rings.insmod("ext=1 ring_kb=1024")

    @classmethod
    def tearDownClass(cls):
        rings.rmmod()

    def transfer(self, send, reader=lambda sock: None, prepare=lambda pair: None, medium="veth", version=4):
        ids = []

        def action():
            pair = TcpPair(medium, version)
            ids.extend((cookie(pair.client), cookie(pair.server)))
            prepare(pair)
            serving = pair.serve(LENGTH, reader(pair.server))
            send(pair.client, LENGTH)
            serving.join()
            pair.end()

        measured = Measured(action, lambda records: len(ids) == 2 and closed(*ids)(records))
        client, server = ids
        self.assertEqual(measured.lost, 0)
        self.assertEqual(measured.sizes(rings.SOCK_SEND, sockid=client), LENGTH)
        self.assertEqual(measured.sizes(rings.SOCK_RECV, sockid=server), LENGTH)
        measured.check_no_strays(self)
        measured.check_ip(self, version)
        return measured, client, server

    def plain(self, *args):
        """Over each medium and family: loopback copies where a wire is given pages, and the families' calls are two."""
        for medium, version in ADDRESS:
            with self.subTest(f"IPv{version}, {medium}"):
                measured, client, server = self.transfer(*args, medium=medium, version=version)
                self.below(measured, client, server, LENGTH)

    def below(self, measured, client, server, length):
        sent = length + measured.sizes(rings.TCP_RETRANS, sockid=client)
        self.assertEqual(measured.sizes(rings.TCP_SEND, sockid=client), sent)
        self.assertEqual(measured.sizes(rings.TCP_RECV, sockid=server), sent)

    def test_sendfile(self):
        self.plain(ways.sendfile)

    def test_zerocopy(self):
        self.plain(ways.zerocopy)

    def test_splice_into_a_socket(self):
        self.plain(ways.splice_in)

    def test_splice_out_of_a_socket(self):
        self.plain(lambda sock, length: sock.sendall(bytes(length)), ways.splice_out)

    def test_io_uring(self):
        try:
            sender, receiver = ways.Uring(), ways.Uring()
        except OSError as error:
            self.skipTest(f"io_uring: {error}")
        self.plain(sender.send, receiver.reader)
        sender.close()
        receiver.close()

    def test_ktls(self):
        try:
            pair = TcpPair("veth", 4)
            ways.ktls(pair)
        except OSError as error:
            self.skipTest(f"this kernel has no kTLS with AES-GCM: {error}")
        for sock in (pair.client, pair.server, pair.listener):
            sock.close()

        def send(sock, length):
            for at in range(0, length, 10_000):
                sock.sendall(bytes(min(10_000, length - at)))

        measured, client, server = self.transfer(send, prepare=ways.ktls)
        self.below(measured, client, server, LENGTH + LENGTH // 10_000 * TLS_OVERHEAD)

    def test_retransmissions(self):
        """Every retransmitted segment is one record's; it is a TCP_SEND as well."""
        def send(sock, length):
            with netns("left"):
                run("tc", "qdisc", "add", "dev", "veth0", "root", "netem", "loss", "10%", "limit", "10000")
                try:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for _ in range(length // 1000):
                        sock.sendall(bytes(1000))
                    while int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[24:28], "little"):
                        pass  # until tcpi_unacked is 0
                finally:
                    run("tc", "qdisc", "del", "dev", "veth0", "root")

        with netns("left"):
            try:
                run("tc", "qdisc", "add", "dev", "veth0", "root", "netem", "loss", "0%")
                run("tc", "qdisc", "del", "dev", "veth0", "root")
            except Exception as error:
                self.skipTest(f"netem: {error}")
        measured, client, server = self.transfer(send)
        again = measured.of(rings.TCP_RETRANS)
        self.assertGreater(len(again), 0)
        self.assertEqual({r.sockid for r in again}, {client})
        self.assertEqual(sum(r.segments for r in again), measured.counted["TcpRetransSegs"])
        self.assertEqual(measured.sizes(rings.TCP_SEND, sockid=client), LENGTH + sum(r.size for r in again))
        of_client = measured.of(rings.TCP_SEND, rings.TCP_RETRANS, sockid=client)
        for before, record in zip(of_client, of_client[1:]):
            if record.event == rings.TCP_RETRANS:
                self.assertEqual((before.event, before.seq, before.size), (rings.TCP_SEND, record.seq, record.size))

    def udp_file(self, medium, version):
        """sendfile() of more than one page to a connected UDP socket: sizes at each layer, in order, and whether the
        kernel appended pages to the datagram below udp_sendmsg().
        """
        def action():
            pair = UdpPair(medium, version)
            pair.client.connect(pair.to)
            with tempfile.TemporaryFile() as file:
                file.write(bytes(PAGE + 904))
                file.flush()
                assert os.sendfile(pair.client.fileno(), file.fileno(), 0, PAGE + 904) == PAGE + 904
            got = 0
            while got < PAGE + 904:
                got += len(pair.server.recv(PAGE + 904))
            pair.close()

        with entries("ip_append_page") as appended:
            measured = Measured(action, lambda records: True)
            below = appended() > 0
        self.assertEqual(measured.lost, 0)
        return [[r.size for r in measured.of(event)]
                for event in (rings.SOCK_SEND, rings.UDP_SEND, rings.UDP_RECV, rings.SOCK_RECV)], below

    def test_sendfile_of_udp(self):
        """A kernel with sendpage() (up to 6.4) gives each page by a call of its own. IPv6 has no udp_sendpage(): each is
        a datagram. IPv4's hands them to udp_sendmsg(); or, on older kernels, begins the datagram by udp_sendmsg() without
        data and appends the pages below it.
        """
        whole, split = [PAGE + 904], [PAGE, 904]
        pages = kernel_has("inet_sendpage")
        for medium, version in ADDRESS:
            with self.subTest(f"IPv{version}, {medium}"):
                sizes, below = self.udp_file(medium, version)
                sent = split if pages else whole
                got = split if pages and version == 6 else whole
                self.assertEqual(sizes, [sent, [0] if below else sent, got, got])

    def test_sendfile_of_udp_to_a_device_that_does_not_gather(self):
        """Where pages are appended: then they are not, and the call that sends each instead is inside another's."""
        whole, split = [PAGE + 904], [PAGE, 904]
        with netns("left"):
            run("ethtool", "-K", "veth0", "sg", "off")
        try:
            sizes, below = self.udp_file("veth", 4)
        finally:
            with netns("left"):
                run("ethtool", "-K", "veth0", "sg", "on", "gso", "on", "tso", "on")
        sent = split if kernel_has("inet_sendpage") else whole
        expected = [[PAGE, PAGE, 904, 904], [0, *split]] if below else [sent, sent]
        self.assertEqual(sizes, [*expected, whole, whole])

    def test_fast_open(self):
        """What a SYN brings is the listener's tcp-recv: the connection's own socket has it at recv() alone."""
        ids = []

        def action():
            pair = TcpPair.__new__(TcpPair)
            with netns("left"):
                with open("/proc/sys/net/ipv4/tcp_fastopen", "r+") as file:
                    before = file.read()
                    file.seek(0)
                    file.write(str(0x207))  # both sides, without a cookie
                try:
                    pair.listener = socket.create_server(("127.0.0.1", 0))
                    pair.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 1)
                    pair.client = socket.socket()
                    pair.client.sendto(bytes(700), MSG_FASTOPEN, pair.listener.getsockname())
                    pair.server, _ = pair.listener.accept()
                    assert len(pair.server.recv(1000)) == 700
                finally:
                    with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as file:
                        file.write(before)
            ids.extend(cookie(sock) for sock in (pair.client, pair.server, pair.listener))
            pair.end()

        measured = Measured(action, lambda records: len(ids) == 3 and closed(*ids[:2])(records))
        client, server, listener = ids
        self.assertEqual([r.size for r in measured.of(rings.TCP_SEND, sockid=client, flags=SYN)], [700])
        self.assertEqual([r.size for r in measured.of(rings.TCP_RECV, sockid=listener)], [700])
        self.assertEqual(measured.sizes(rings.TCP_RECV, sockid=server), 0)
        self.assertEqual(measured.sizes(rings.SOCK_RECV, sockid=server), 700)
        measured.check_no_strays(self)

    def test_an_orphan_is_no_socket_any_more(self):
        """Who closes before the peer has ended leaves a time-wait socket behind: what that gets and answers is counted
        by the kernel, and passes IP, and is no TCP record. (Sometimes the kernel keeps the socket: then it is as ever.)
        """
        for _ in range(5):
            if self.orphan():
                return
        self.fail("the kernel kept the socket each time")

    def orphan(self):
        ids = []

        def action():
            pair = TcpPair("veth", 4)
            ids.extend((cookie(pair.client), cookie(pair.server)))
            port = pair.client.getsockname()[1]
            pair.client.close()
            assert pair.server.recv(1) == b""
            wait_for_state("left", port, FIN_WAIT2)  # or the server's ACK and FIN would be one segment
            pair.server.close()
            pair.listener.close()

        measured = Measured(action, lambda records: len(ids) == 2 and closed(*ids)(records))
        by_nobody = not [r for r in measured.of(rings.TCP_RECV, sockid=ids[0]) if r.flags & FIN]
        strays = measured.check_segments(self)
        self.assertGreaterEqual(strays, by_nobody, "the last FIN, perhaps again")
        self.assertEqual(len(measured.of(rings.IP_SEND)), measured.counted["IpOutRequests"])
        return by_nobody

    def test_a_refused_connection(self):
        """The reset comes from no socket: the kernel counts it, IP has it, TCP has no record."""
        def action():
            with netns("left"), socket.socket() as sock:
                self.assertEqual(sock.connect_ex(("10.77.0.2", 1)), errno.ECONNREFUSED)

        measured = Measured(action, lambda records: True)
        self.assertEqual(len(measured.of(rings.TCP_SEND)), 1, "the SYN")
        self.assertEqual(len(measured.of(rings.TCP_RECV)), 1, "the reset")
        self.assertEqual(measured.counted["TcpOutSegs"], 2)
        self.assertEqual(measured.counted["TcpOutRsts"], 1)
        self.assertEqual(measured.of(rings.SOCK_OPEN, rings.SOCK_CLOSE), [], "its addresses were never confirmed")

    def test_fragments(self):
        """Handed to IP as one datagram; IP's hooks see each fragment on the way out only where IP made none yet."""
        ids = []

        def action():
            pair = UdpPair("veth", 4)
            ids.append(cookie(pair.client))
            pair.client.sendto(bytes(4000), pair.to)
            assert len(pair.server.recv(5000)) == 4000
            pair.close()

        measured = Measured(action, lambda records: True)
        counted = measured.counted
        self.assertEqual(counted["IpReasmOKs"], 1)
        self.assertEqual([r.size for r in measured.of(rings.UDP_SEND)], [4000])
        self.assertEqual([r.size for r in measured.of(rings.UDP_RECV)], [4000])
        self.assertEqual(len(measured.of(rings.IP_SEND)), 1)
        self.assertEqual(len(measured.of(rings.IP_RECV)), 1, "after reassembly")
        self.assertEqual(counted["IpInDelivers"], 1)
        self.assertEqual(counted["IpInReceives"], 3, "fragments")
        self.assertEqual(len(measured.of(rings.DEV_SEND, protocol=17)), 3)

    def test_udp_that_is_refused_or_corked(self):
        """UDP_SEND is what was handed to UDP: a refused call and each part of a corked datagram are records as well."""
        def action():
            pair = UdpPair("veth", 4)
            for part, more in ((10, socket.MSG_MORE), (20, 0)):
                pair.client.sendto(bytes(part), more, pair.to)
            assert len(pair.server.recv(100)) == 30
            with self.assertRaises(OSError):
                pair.client.sendto(bytes(65_530), pair.to)
            pair.close()

        measured = Measured(action, lambda records: True)
        self.assertEqual([r.size for r in measured.of(rings.UDP_SEND)], [10, 20, 65_530])
        self.assertEqual([r.size for r in measured.of(rings.SOCK_SEND)], [10, 20, -errno.EMSGSIZE])
        self.assertEqual(measured.counted["UdpOutDatagrams"], 1)
        self.assertEqual([r.size for r in measured.of(rings.UDP_RECV)], [30])

    def test_a_full_receive_queue(self):
        """UDP_RECV is what came to the socket's queue, also where that was full."""
        def action():
            pair = UdpPair("veth", 4)
            pair.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(60):
                pair.client.sendto(bytes(1000), pair.to)
            pair.server.settimeout(0.2)  # the queue is at its end when nothing comes
            with self.assertRaises(TimeoutError):
                while True:
                    pair.server.recv(2000)
            pair.close()

        measured = Measured(action, lambda records: True)
        counted = measured.counted
        self.assertEqual(len(measured.of(rings.UDP_RECV)), 60)
        self.assertGreater(counted["UdpRcvbufErrors"], 0)
        self.assertEqual(counted["UdpInDatagrams"] + counted["UdpRcvbufErrors"], 60)

    def test_a_mapped_address_is_recorded_once(self):
        """IPv4 through an IPv6 socket passes the functions of both families."""
        def action():
            with netns("right"):
                server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            server.bind(("::", 0))
            with netns("left"):
                client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            client.connect(("::ffff:10.77.0.2", server.getsockname()[1]))
            client.send(b"one")
            assert server.recv(10) == b"one"
            client.close()
            server.close()
            pair = TcpPair.__new__(TcpPair)
            with netns("right"):
                pair.listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
            with netns("left"):
                pair.client = socket.socket(socket.AF_INET6)
            pair.client.connect(("::ffff:10.77.0.2", pair.listener.getsockname()[1]))
            pair.server, _ = pair.listener.accept()
            tcp.extend((cookie(pair.client), cookie(pair.server)))
            pair.client.sendall(b"two!")
            assert pair.server.recv(10) == b"two!"
            pair.end()

        tcp = []
        measured = Measured(action, lambda records: len(tcp) == 2 and closed(*tcp)(records))
        for event in (rings.UDP_SEND, rings.UDP_RECV):
            self.assertEqual([r.size for r in measured.of(event)], [3])
        opened = measured.of(rings.SOCK_OPEN)
        self.assertEqual([r.protocol for r in opened].count(17), 1)
        self.assertEqual({r.peer for r in opened if r.protocol == 17},
                         {socket.inet_pton(socket.AF_INET6, "::ffff:10.77.0.2")})
        self.assertEqual(measured.sizes(rings.TCP_RECV, sockid=tcp[1]), 4)
        measured.check_no_strays(self)

    def test_a_peek_takes_nothing(self):
        def action():
            pair = UdpPair("lo", 4)
            pair.client.sendto(bytes(77), pair.to)
            pair.server.recv(100, socket.MSG_PEEK)
            pair.server.recv(100)
            pair.server.setblocking(False)
            with self.assertRaises(BlockingIOError):
                pair.server.recv(100)
            pair.close()

        self.assertEqual([r.size for r in Measured(action, lambda records: True).of(rings.SOCK_RECV)],
                         [0, 77, -errno.EAGAIN])

    def test_the_error_queue_gives_what_nobody_received(self):
        """A transmit's time comes with the packet that was sent: its 542 bytes stood there as received."""

        def action():
            pair = UdpPair("lo", 4)
            pair.client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE)
            pair.client.sendto(bytes(500), pair.to)
            poller = select.poll()
            poller.register(pair.client, 0)
            self.assertEqual(poller.poll(10_000), [(pair.client.fileno(), select.POLLERR)])
            self.assertGreaterEqual(len(pair.client.recvmsg(1000, 200, socket.MSG_ERRQUEUE)[0]), 500)
            pair.server.recv(1000)
            pair.close()

        self.assertEqual([r.size for r in Measured(action, lambda records: True).of(rings.SOCK_RECV)], [0, 500])
