// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <cstdio>
#include <ctime>

namespace fieldline {

namespace {

std::uint64_t read_clock(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return static_cast<std::uint64_t>(ts.tv_sec) * kNanosPerSecond +
         static_cast<std::uint64_t>(ts.tv_nsec);
}

std::uint64_t unit_ns(const std::string& unit) {
  if (unit.empty() || unit == "s") return kNanosPerSecond;
  if (unit == "ms") return kNanosPerMilli;
  if (unit == "us") return 1000;
  if (unit == "ns") return 1;
  if (unit == "m" || unit == "min") return 60 * kNanosPerSecond;
  if (unit == "h") return 3600 * kNanosPerSecond;
  if (unit == "d") return 86400 * kNanosPerSecond;
  return 0;
}

}  // namespace

std::uint64_t SystemClock::utc_ns() const {
  return read_clock(CLOCK_REALTIME);
}
std::uint64_t SystemClock::monotonic_ns() const {
  return read_clock(CLOCK_MONOTONIC);
}
std::uint64_t SystemClock::tai_ns() const {
  return read_clock(CLOCK_TAI);
}

std::uint64_t tai_offset_ns(const Clock& clock) {
  std::uint64_t utc = clock.utc_ns(), tai = clock.tai_ns();
  return tai <= utc ? 0 : (tai - utc + kNanosPerSecond / 2) / kNanosPerSecond * kNanosPerSecond;
}

std::uint64_t parse_duration_ns(const std::string& text) {
  std::uint64_t total = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t digits = at;
    std::uint64_t number = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
      number = number * 10 + static_cast<std::uint64_t>(text[at++] - '0');
      if (number > 1'000'000'000) return 0;
    }
    if (at == digits) return 0;
    std::size_t letters = at;
    while (at < text.size() && text[at] >= 'a' && text[at] <= 'z') ++at;
    std::uint64_t unit = unit_ns(text.substr(letters, at - letters)), span = 0;
    if (unit == 0 || __builtin_mul_overflow(number, unit, &span) ||
        __builtin_add_overflow(total, span, &total)) {
      return 0;
    }
  }
  return total;
}

std::string format_utc(std::uint64_t utc_ns) {
  auto seconds = static_cast<time_t>(utc_ns / kNanosPerSecond);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char out[40], tail[16];
  strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(tail, sizeof tail, ".%09uZ", static_cast<unsigned>(utc_ns % kNanosPerSecond));
  return std::string(out) + tail;
}

}  // namespace fieldline
