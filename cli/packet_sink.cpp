// SPDX-License-Identifier: Apache-2.0
#include "cli/packet_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "cli/text.h"

namespace fieldline::cli {

namespace {

constexpr int kTryEveryMs = 20, kTries = 1500;
constexpr std::size_t kFilePiece = 1 << 20;

mode_t kind_of(int fd) {
  struct stat found {};
  return ::fstat(fd, &found) == 0 ? found.st_mode & S_IFMT : 0;
}

// A FIFO without a reader cannot be opened without waiting (ENXIO): it is tried again.
Result<Fd> open_path(const std::string& path, int end_by) {
  for (int tries = 0; tries < kTries; ++tries) {
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK;
    Fd fd(::open(path.c_str(), flags, 0666));
    if (fd) return fd;
    if (errno != ENXIO)
      return fail_errno("opening " + path + "; is its folder there and writable?");
    pollfd end{end_by, POLLIN, 0};
    if (::poll(&end, 1, kTryEveryMs) > 0) return fail(Code::closed, "ended");
  }
  return fail(Code::timeout, path + ": nobody opened this FIFO to read within 30 s");
}

}  // namespace

// A pipe that polls as writable takes PIPE_BUF bytes without waiting, and one that is not ours may
// not be made non-blocking: others have the same open file.
PacketSink::PacketSink(Fd fd)
    : fd_(std::move(fd)), piece_(S_ISREG(kind_of(fd_.get())) ? kFilePiece : PIPE_BUF) {}

Result<PacketSink> PacketSink::open(const std::string& path, const std::string& command,
                                    int end_by) {
  if (!path.empty() && path != "-") {
    auto fd = open_path(path, end_by);
    if (!fd) return fd.error();
    return PacketSink(std::move(*fd));
  }
  if (is_terminal(STDOUT_FILENO)) {
    return fail(Code::invalid, command + " writes pcapng, which a terminal cannot show; give -w " +
                                   "FILE, or pipe it: fieldline " + command +
                                   " RUN | wireshark -k -i -");
  }
  Fd fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!fd) return fail_errno("writing to standard output; is it open?");
  return PacketSink(std::move(fd));
}

Result<std::size_t> PacketSink::write_some(ByteView bytes) {
  const ssize_t n = ::write(fd_.get(), bytes.data(), std::min(bytes.size(), piece_));
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
  if (errno == EPIPE) return fail(Code::closed, "nobody reads the packets any more");
  return fail_errno("writing packets; is the disk full?");
}

}  // namespace fieldline::cli
