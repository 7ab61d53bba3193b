// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace fieldline {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;
constexpr std::uint64_t kNanosPerMilli = 1'000'000;

// Time behind an interface, so that tests set it. All values are unsigned nanoseconds.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::uint64_t utc_ns() const = 0;        // since the epoch
  virtual std::uint64_t monotonic_ns() const = 0;  // CLOCK_MONOTONIC, as bpf_ktime_get_ns()
  virtual std::uint64_t tai_ns() const = 0;        // CLOCK_TAI, as bpf_ktime_get_tai_ns()
};

class SystemClock final : public Clock {
 public:
  std::uint64_t utc_ns() const override;
  std::uint64_t monotonic_ns() const override;
  std::uint64_t tai_ns() const override;
};

// CLOCK_TAI minus UTC: whole seconds; 0 on hosts whose clock daemon does not set it.
std::uint64_t tai_offset_ns(const Clock& clock);

// "10m", "90s", "1h30m", "250ms"; a bare number is seconds. 0 for what is not a duration.
std::uint64_t parse_duration_ns(const std::string& text);
// 2026-11-21T23:11:00.123456789Z
std::string format_utc(std::uint64_t utc_ns);

}  // namespace fieldline
