// SPDX-License-Identifier: Apache-2.0
// Where live packets go: standard output, a file or a FIFO. Nothing here waits, so that whoever
// writes can be ended while the other end of a pipe does not read.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace fieldline::cli {

class PacketSink {
 public:
  // "" or "-": standard output, which must not be a terminal; command: for the hint. A FIFO waits
  // for its reader, until `end_by` is readable (closed) or half a minute is over (timeout).
  static Result<PacketSink> open(const std::string& path, const std::string& command, int end_by);

  int fd() const { return fd_.get(); }
  // At most as much as it takes now, once poll() said POLLOUT. closed: nobody reads any more.
  Result<std::size_t> write_some(ByteView bytes);

 private:
  explicit PacketSink(Fd fd);

  Fd fd_;
  std::size_t piece_ = 0;
};

}  // namespace fieldline::cli
