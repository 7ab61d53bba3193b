// SPDX-License-Identifier: Apache-2.0
// Frames put onto an interface of a lab by the kernel itself, from inside XDP: several million a
// second on one core, more than any socket gives. BPF_PROG_TEST_RUN in live mode (Linux 5.18).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace fieldline::bench {

// `length` bytes (60 at least) of Ethernet, IPv4 and UDP, from port 1024 + flow to port 9. An
// address that is not IPv4 is our own mistake.
Bytes frame_of(const Address& from, const Address& to, std::uint16_t flow, std::size_t length);

class LiveFrames {
 public:
  // Frames leave by this interface of the caller's network namespace, which takes frames from XDP:
  // a veth whose other end has an XDP program, or gro on.
  static Result<LiveFrames> open(const std::string& interface);

  // The same frame that many times; the driver drops what it has no room for, and counts it. The
  // kernel hands them on in batches of `batch` (64, its own default, of at most 256).
  Result<void> send(ByteView frame, std::uint32_t times, std::uint32_t batch = 64) const;

 private:
  explicit LiveFrames(Fd program) : program_(std::move(program)) {}
  Fd program_;
};

}  // namespace fieldline::bench
