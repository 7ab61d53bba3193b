// SPDX-License-Identifier: Apache-2.0
// Traces in a folder of the test's own, and files in memory.
#pragma once

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/file.h"
#include "magnet/ring_set.h"
#include "magnet/trace_reader.h"
#include "magnet/trace_writer.h"

namespace fieldline::test {

class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "magnet-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline Bytes content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

inline std::string text_of(const std::string& path) {
  const Bytes bytes = content_of(path);
  return std::string(bytes.begin(), bytes.end());
}

// A file that is bytes; a read can be made to fail.
class MemoryFile final : public File {
 public:
  explicit MemoryFile(Bytes bytes) : bytes_(std::move(bytes)) {}
  Result<void> append(ByteView) override { return fail(Code::io, "read only"); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t n = std::min<std::size_t>(into.size(), bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, n);
    return n;
  }
  Result<std::uint64_t> size() override { return std::uint64_t{bytes_.size()}; }
  Result<void> truncate(std::uint64_t) override { return fail(Code::io, "read only"); }
  Result<void> sync() override { return {}; }

 private:
  Bytes bytes_;
};

inline void make_trace(const std::string& path, std::uint64_t size) {
  const auto made = magnet::make_trace({path, size, false, 1'763'766'697'000'000'000, 0660});
  INFO((made ? "" : made.error().text()));
  REQUIRE(made.has_value());
}

inline magnet::TraceHeader session_of(const magnet::RingSet& rings) {
  magnet::TraceHeader header;
  header.record_size = static_cast<std::uint16_t>(rings.record_size());
  header.abi = MAGNET_ABI;
  header.cycles_khz = rings.cycles_khz();
  header.layers = rings.layers();
  header.rings = static_cast<std::uint32_t>(rings.rings().size());
  header.started_ns = 1'763'766'700'000'000'000;
  header.boot_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  header.host = "host-a";
  return header;
}

// A batch as the layout says, written without the writer.
inline void append_batch(Bytes& to, std::uint64_t sequence, unsigned cpu, std::uint32_t round,
                         const magnet::ClockPair& pair, ByteView records,
                         std::uint16_t record_size) {
  fl_trace_batch head{};
  head.magic = FL_TRACE_BATCH_MAGIC;
  head.sequence = sequence;
  head.cpu = static_cast<std::uint16_t>(cpu);
  head.record_size = record_size;
  head.count = static_cast<std::uint32_t>(records.size() / record_size);
  head.cycles = pair.cycles;
  head.tai_ns = pair.tai_ns;
  head.realtime_ns = pair.utc_ns;
  head.error_ns = pair.error_ns;
  head.round = round;
  head.crc = magnet::batch_crc(head, records);
  append_struct(to, head);
  append(to, records);
}

}  // namespace fieldline::test
