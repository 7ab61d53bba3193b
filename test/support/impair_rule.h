// SPDX-License-Identifier: Apache-2.0
// Which packets a wire drops, and the log of those that it did.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace fieldline::impair {

enum class Matching {
  data,      // TCP or UDP with payload, triggers excepted
  segments,  // TCP or UDP, triggers excepted
  any,       // every IP packet
};

// "100": each 100th matching packet; "@5,17": the 5th and the 17th. In front of either: "segments:"
// or "any:".
class DropRule {
 public:
  static Result<DropRule> parse(std::string_view text);
  bool matches(ByteView frame) const;
  bool takes(std::uint64_t ordinal) const;  // the ordinal-th matching packet, from 1

 private:
  Matching matching_ = Matching::data;
  std::uint64_t every_ = 0;
  std::set<std::uint64_t> named_;
};

// pcap with nanoseconds, the first kLogged bytes of each frame: all headers and what a digest
// covers. Each record is in the file when write() returns.
class PcapLog {
 public:
  static constexpr std::size_t kLogged = 256;
  static Result<std::unique_ptr<PcapLog>> create(const std::string& path);
  bool write(ByteView frame, std::size_t wire_len);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace fieldline::impair
