// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace fieldline::magnet {

// While it lives, a page of the mapping that the file cannot give (cut by somebody, a disk that
// over-promised, a medium's error) does not end the process with SIGBUS: the page is replaced by
// zeros of nobody's, and struck() says so. At most kMost at a time in a process.
class BusGuard {
 public:
  static constexpr std::size_t kMost = 8;

  BusGuard(const std::uint8_t* begin, std::size_t bytes);
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;

  bool struck() const;

 private:
  std::size_t place_ = kMost;
};

}  // namespace fieldline::magnet
