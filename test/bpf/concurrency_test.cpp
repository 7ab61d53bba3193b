// SPDX-License-Identifier: Apache-2.0
// The flow table changes while programs run on other CPUs.
#include <bpf/bpf.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "bench.h"
#include "packets.h"

namespace fieldline {
namespace {

using namespace packets;
using source::FlowEntry;

// Sends one frame over and over from a thread of its own until it is destroyed.
class Traffic {
 public:
  Traffic(int program_fd, Bytes frame)
      : frame_(std::move(frame)), thread_([this, program_fd] { run(program_fd); }) {}
  ~Traffic() { stop(); }
  std::uint64_t stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return sent_;
  }
  std::uint64_t sent() const { return sent_; }

 private:
  void run(int program_fd) {
    while (!stopping_) {
      LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame_.data(),
                  .data_size_in = static_cast<__u32>(frame_.size()), .repeat = 1);
      if (bpf_prog_test_run_opts(program_fd, &options) == 0) ++sent_;
    }
  }

  Bytes frame_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> sent_{0};
  std::thread thread_;
};

FlowEntry other_flow(std::uint32_t i, std::uint32_t slot) {
  return entry(key_of("203.0.113.9", "198.51.100.2", kTcp, static_cast<std::uint16_t>(i + 1), 80),
               exact_mask(), slot);
}

}  // namespace

TEST_CASE("Renewals under traffic miss no packet and touch no other flow's counters") {
  Bench bench;
  std::vector<FlowEntry> entries{default_entry(0)};
  for (std::uint32_t i = 1; i < 200; ++i) entries.push_back(other_flow(i, i));
  bench.apply(entries);
  Traffic traffic(bench.program_fd(), ethernet(kIpv4, ipv4({}, tcp({}, filler(64)))));
  for (int round = 0; round < 2000 || traffic.sent() < 2000; ++round) {
    for (auto& each : entries) each.value.deadline_ns = kForever - static_cast<unsigned>(round % 2);
    bench.apply(entries);
  }
  const std::uint64_t sent = traffic.stop();
  CHECK(bench.flow(0).packets == sent);
  CHECK(bench.port().matched == sent);
  for (std::uint32_t slot = 1; slot < 200; ++slot) CHECK(bench.flow(slot).packets == 0);
  require_flow_sums(bench.flow(0));
  require_port_sums(bench.port(), 0);
}

TEST_CASE("Flows that come and go under traffic never take another's packets") {
  Bench bench;
  Traffic traffic(bench.program_fd(), ethernet(kIpv4, ipv4({}, tcp({}, filler(64)))));
  std::uint64_t counted = 0;
  // The flow that has traffic and others take turns in the same slots and under changing masks.
  for (std::uint32_t round = 0; round < 30; ++round) {
    bench.apply({default_entry(0), other_flow(1, 1)});
    const std::uint64_t from = traffic.sent();
    while (traffic.sent() < from + 20) std::this_thread::yield();
    CHECK(bench.flow(1).packets == 0);
    auto ended = default_entry(0);
    ended.value.deadline_ns = 0;
    bench.apply({ended, other_flow(1, 1)});
    REQUIRE(source::quiesce().has_value());
    counted += bench.flow(0).packets;
    bench.apply({other_flow(2, 0),
                 entry(key_of("203.0.113.9", "198.51.100.2", kTcp), any_port_mask(true, true), 2)});
    const std::uint64_t later = traffic.sent();
    while (traffic.sent() < later + 20) std::this_thread::yield();
    CHECK(bench.flow(0).packets == 0);
    CHECK(bench.flow(2).packets == 0);
  }
  traffic.stop();
  CHECK(bench.port().matched == counted);
  CHECK(counted > 0);
  require_port_sums(bench.port(), 0);
}

}  // namespace fieldline
