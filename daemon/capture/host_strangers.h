// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_set>

namespace fieldline::capture {

// Cookies that are no socket's here, or of no run's: not asked for again for a second or two.
// Their number is bounded, and who is forgotten early is asked for once more.
class Strangers {
 public:
  bool contains(std::uint64_t cookie, std::uint64_t now_ns);
  void add(std::uint64_t cookie, std::uint64_t now_ns);
  void erase(std::uint64_t cookie);
  void clear();

 private:
  static constexpr std::size_t kMost = 32768;  // in each of the two
  static constexpr std::uint64_t kLife = 1'000'000'000;
  void turn(std::uint64_t now_ns);
  std::unordered_set<std::uint64_t> young_, old_;
  std::uint64_t since_ns_ = 0;
};

}  // namespace fieldline::capture
