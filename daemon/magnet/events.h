// SPDX-License-Identifier: Apache-2.0
// Where a host's event records come from: the module's rings, or eBPF where no module may be
// loaded. Whoever takes events knows no more than this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/magnet.h"

namespace fieldline::magnet {

// Since the source was opened (eBPF) or the module was loaded; events = recorded + lost + missed.
struct Accounting {
  std::uint64_t recorded = 0;
  std::uint64_t lost = 0;    // found no room in a ring
  std::uint64_t missed = 0;  // the hook did not run (nmissed of a kprobe)
};

class EventSource {
 public:
  virtual ~EventSource() = default;

  // Records of one CPU, in the order in which they happened there; timestamps are UTC in ns. With
  // `has_extension` false only `head` of each is set. SYSINFO is not handed on, LOST is.
  struct Batch {
    unsigned cpu = 0;
    bool has_extension = false;
    std::span<const magnet_record_ext> records;
  };
  using OnBatch = std::function<void(const Batch&)>;
  // Everything that stands in the rings now; the number of records given. Never waits.
  virtual Result<std::size_t> drain(const OnBatch& on_batch) = 0;

  virtual const char* kind() const = 0;  // "module" or "ebpf"
  // Names of the events that this source cannot give, as magnet-parse prints them ("TCP_SEND").
  virtual std::vector<std::string> absent() const = 0;
  virtual Result<Accounting> accounting() const = 0;
};

}  // namespace fieldline::magnet
