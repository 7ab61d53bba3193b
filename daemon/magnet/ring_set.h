// SPDX-License-Identifier: Apache-2.0
// The rings of all CPUs of this host.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "magnet/device.h"
#include "magnet/ring.h"

namespace fieldline::magnet {

class RingSet {
 public:
  // All of them or none: a trace without one CPU would look like a quiet CPU.
  static Result<RingSet> open(Devices& devices);

  std::vector<Ring>& rings() { return rings_; }
  const std::vector<Ring>& rings() const { return rings_; }
  std::size_t record_size() const { return rings_.front().record_size(); }
  std::uint32_t cycles_khz() const { return rings_.front().cycles_khz(); }
  std::uint32_t layers() const { return rings_.front().layers(); }

  struct Totals {
    std::uint64_t recorded = 0, lost = 0;  // of all rings, since the module was loaded
  };
  Result<Totals> totals();

 private:
  std::vector<Ring> rings_;
};

}  // namespace fieldline::magnet
