// SPDX-License-Identifier: Apache-2.0
// The body of a frame of port totals (proto/frame.h): written by a sensor, judged by an archive,
// read by whoever asks how busy a port was.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "proto/frame.h"

namespace fieldline {

struct PortTotal {
  std::uint64_t packets = 0, bytes = 0;

  bool operator==(const PortTotal&) const = default;
};

struct TotalsPeriod {
  std::uint64_t begin_ns = 0;  // UTC
  std::uint64_t length_ns = 0;

  std::uint64_t end_ns() const { return begin_ns + length_ns; }
};

// What stands in one frame, host byte order.
struct TotalsBody {
  RunId session;
  std::vector<std::uint16_t> ports;  // each once
  std::uint32_t periods = 0;
  ByteView data;  // of the body

  TotalsPeriod period(std::uint32_t i) const;
  // Of ports[at] in period i.
  PortTotal total(std::uint32_t i, std::size_t at) const;
};

class TotalsWriter {
 public:
  // 1 .. FL_PORTS_MAX of them.
  TotalsWriter(const RunId& session, const std::vector<std::uint16_t>& ports);
  // One total for each port; the length is not 0, and the period ends before the end of time.
  void add(const TotalsPeriod& period, std::span<const PortTotal> totals);
  std::uint32_t periods() const { return periods_; }
  ByteView end();  // the whole body; nothing is added after it

 private:
  std::size_t ports_;
  std::uint32_t periods_ = 0;
  Bytes body_;
};

// A body whose numbers and length fit together, or what is wrong with it; unsupported for one of
// another version.
Result<TotalsBody> parse_totals(ByteView body);

}  // namespace fieldline
