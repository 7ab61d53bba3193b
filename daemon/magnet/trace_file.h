// SPDX-License-Identifier: Apache-2.0
// A trace file's header, its check sums, and what makes such a file.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "proto/trace.h"

namespace fieldline::magnet {

using BootId = std::array<std::uint8_t, 16>;

// What a trace says of where it comes from. record_size 0: blank, never written to.
struct TraceHeader {
  std::uint16_t record_size = 0;
  std::uint16_t abi = 0;
  std::uint32_t cycles_khz = 0;
  std::uint32_t layers = 0;
  std::uint32_t rings = 0;
  std::uint64_t created_ns = 0;
  std::uint64_t started_ns = 0;
  std::uint64_t file_size = 0;
  BootId boot_id{};
  std::string host;

  bool blank() const { return record_size == 0; }
};

std::string boot_text(const BootId& id);  // as /proc/sys/kernel/random/boot_id
Result<BootId> parse_boot_id(const std::string& text);

// This host's name and boot.
Result<TraceHeader> this_host();

fl_trace_header encode_header(const TraceHeader& header);
// invalid: no trace, or a damaged header; unsupported: another version, byte order, record size.
Result<TraceHeader> decode_header(ByteView bytes);
// From `sequence` on, then the records.
std::uint32_t batch_crc(const fl_trace_batch& head, ByteView records);

struct MakeOptions {
  std::string path;
  std::uint64_t size = 0;
  bool force = false;  // in place of a file that is there
  std::uint64_t now_ns = 0;
  unsigned mode = 0660;
};
constexpr std::uint64_t kLeastTraceSize = 64 << 10;

// Who writes a trace, or replaces it, holds its lock. Exhausted: another does, and is named.
Result<Fd> lock_trace(Fd fd, const std::string& path);
// A blank trace of this size, every block of it allocated, synced. Nothing is left where it fails;
// with `force` an old file stays until the new one is whole. One that is being written is not
// replaced.
Result<void> make_trace(const MakeOptions& options);

}  // namespace fieldline::magnet
