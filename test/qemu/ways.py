# SPDX-License-Identifier: Apache-2.0
"""Ways to send and receive beside send() and recv(): each moves bytes and says how many calls it took."""
import ctypes
import errno
import mmap
import os
import select
import socket
import struct
import tempfile

from rings import libc

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
SYS_IO_URING_SETUP, SYS_IO_URING_ENTER = 425, 426
IORING_OP_SEND, IORING_OP_RECV = 26, 27


def sendfile(sock, length):
    with tempfile.TemporaryFile() as file:
        file.write(bytes(length))
        file.flush()
        sent = 0
        while sent < length:
            sent += os.sendfile(sock.fileno(), file.fileno(), sent, length - sent)


def zerocopy(sock, length):
    sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    data, sent, calls = bytes(20_000), 0, 0
    while sent < length:
        sent += sock.send(data[: length - sent], MSG_ZEROCOPY)
        calls += 1
    # The kernel gives the pages back by a message each call, several joined into one.
    done = 0
    while done < calls:
        poller = select.poll()
        poller.register(sock, 0)
        assert poller.poll(10_000), f"{done} of {calls} calls were completed"
        for _, _, data in sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)[1]:
            first, last = struct.unpack_from("<II", data, 8)
            done += last - first + 1


def splice_in(sock, length):
    """From a pipe into the socket."""
    reader, writer = os.pipe()
    sent = 0
    while sent < length:
        left = os.write(writer, bytes(min(40_000, length - sent)))
        while left:
            moved = os.splice(reader, sock.fileno(), left)
            left, sent = left - moved, sent + moved
    os.close(reader)
    os.close(writer)


def splice_out(sock):
    """A read function: from the socket into a pipe."""
    reader, writer = os.pipe()

    def read():
        got = os.splice(sock.fileno(), writer, 40_000)
        left = got
        while left:
            left -= len(os.read(reader, left))
        return got

    return read


class Uring:
    """An io_uring of 8 entries, one operation at a time. Raises FileNotFoundError's kin if the kernel has none."""

    def __init__(self):
        params = (ctypes.c_uint32 * 30)()
        self.fd = libc.syscall(SYS_IO_URING_SETUP, 8, params)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "io_uring_setup")
        self.sq, self.cq = params[10:20], params[20:30]
        self.sq_ring = mmap.mmap(self.fd, self.sq[6] + params[0] * 4, offset=0)
        self.cq_ring = mmap.mmap(self.fd, self.cq[5] + params[1] * 16, offset=0x8000000)
        self.sqes = mmap.mmap(self.fd, params[0] * 64, offset=0x10000000)

    @staticmethod
    def word(ring, at):
        return struct.unpack_from("<I", ring, at)[0]

    def run(self, opcode, fd, buffer):
        """The operation's result; ctypes buffers alone stay where they are."""
        # head, tail, ring_mask, ..., array of the submission ring; head, tail, ring_mask, ..., cqes of the other.
        tail = self.word(self.sq_ring, self.sq[1])
        slot = tail & self.word(self.sq_ring, self.sq[2])
        struct.pack_into("<BBHiQQIIQ24x", self.sqes, slot * 64, opcode, 0, 0, fd, 0, ctypes.addressof(buffer),
                         len(buffer), 0, 0)
        struct.pack_into("<I", self.sq_ring, self.sq[6] + slot * 4, slot)
        struct.pack_into("<I", self.sq_ring, self.sq[1], tail + 1)
        while libc.syscall(SYS_IO_URING_ENTER, self.fd, 1, 1, 1, None, 0) < 0:
            assert ctypes.get_errno() == errno.EINTR, os.strerror(ctypes.get_errno())
        head = self.word(self.cq_ring, self.cq[0])
        at = self.cq[5] + (head & self.word(self.cq_ring, self.cq[2])) * 16
        result = struct.unpack_from("<Qi", self.cq_ring, at)[1]
        struct.pack_into("<I", self.cq_ring, self.cq[0], head + 1)
        assert result >= 0, os.strerror(-result)
        return result

    def send(self, sock, length):
        buffer, sent = ctypes.create_string_buffer(20_000), 0
        while sent < length:
            part = (ctypes.c_char * min(len(buffer), length - sent)).from_buffer(buffer)
            sent += self.run(IORING_OP_SEND, sock.fileno(), part)

    def reader(self, sock):
        buffer = ctypes.create_string_buffer(65536)
        return lambda: self.run(IORING_OP_RECV, sock.fileno(), buffer)

    def close(self):
        for ring in (self.sq_ring, self.cq_ring, self.sqes):
            ring.close()
        os.close(self.fd)


def ktls(pair):
    """Both ends of a TcpPair speak TLS 1.2, AES-GCM-128, with keys of zeros. OSError where the kernel cannot."""
    keys = struct.pack("<HH8s16s4s8s", 0x0303, 51, bytes(8), bytes(16), bytes(4), bytes(8))
    for sock, way in ((pair.client, TLS_TX), (pair.server, TLS_RX)):
        sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        sock.setsockopt(SOL_TLS, way, keys)
