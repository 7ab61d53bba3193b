// SPDX-License-Identifier: Apache-2.0
// live_blast IFACE FROM TO COUNT PER_SECOND LENGTH FLOWS: UDP frames of so many flows onto an
// interface of a lab, from inside the kernel, a twentieth of a second's worth of one flow at a
// time. PER_SECOND 0: as fast as it goes. Prints "SENT SECONDS".
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "bench/live_frames.h"

namespace {

using namespace fieldline;
using Clock = std::chrono::steady_clock;

int fail_with(const std::string& text, int code) {
  std::fprintf(stderr, "live_blast: %s\n", text.c_str());
  return code;
}

void sleep_until(Clock::time_point when) {
  const auto ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
  const timespec at{ns / 1'000'000'000, ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8)
    return fail_with("usage: live_blast IFACE FROM TO COUNT PER_SECOND LENGTH FLOWS", 2);
  const auto from = Address::parse(argv[2]), to = Address::parse(argv[3]);
  const std::uint64_t count = std::strtoull(argv[4], nullptr, 10);
  const std::uint64_t rate = std::strtoull(argv[5], nullptr, 10);
  const std::uint64_t length = std::strtoull(argv[6], nullptr, 10);
  const auto flows = static_cast<std::uint16_t>(std::strtoul(argv[7], nullptr, 10));
  if (!from || !to || count == 0 || length > 1514 || flows == 0)
    return fail_with("an argument is wrong", 2);
  auto frames = bench::LiveFrames::open(argv[1]);
  if (!frames) return fail_with(frames.error().text(), 1);

  std::vector<Bytes> kinds;
  for (std::uint16_t flow = 0; flow < flows; ++flow)
    kinds.push_back(bench::frame_of(*from, *to, flow, length));
  // A call costs milliseconds, whatever it sends.
  const std::uint64_t each = rate ? std::max<std::uint64_t>(rate / 20, 1) : 100'000;
  const auto begin = Clock::now();
  std::uint64_t sent = 0;
  for (std::size_t turn = 0; sent < count; ++turn) {
    const auto now = static_cast<std::uint32_t>(std::min(each, count - sent));
    if (auto done = frames->send(kinds[turn % kinds.size()], now); !done)
      return fail_with(done.error().text(), 1);
    sent += now;
    if (rate) sleep_until(begin + std::chrono::nanoseconds(sent * 1'000'000'000 / rate));
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::printf("%llu %.3f\n", static_cast<unsigned long long>(sent), took.count());
  return 0;
}
