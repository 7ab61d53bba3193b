// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "analysis_world.h"

using namespace world;
using fieldline::analysis::SequenceBin;
using fieldline::analysis::SequenceLine;
using fieldline::analysis::SequenceSeries;

namespace {

fieldline::analysis::Limits with_sequences() {
  fieldline::analysis::Limits limits;
  limits.sequences = true;
  return limits;
}

}  // namespace

TEST_CASE("sent and acknowledged bytes are told by time, over a wrap of the sequence numbers") {
  Config config;
  config.isn = UINT32_MAX - 50'000;
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 2 && !wire.reverse && !wire.again && wire.number % 50 == 0;
  };
  World net(config);
  net.run_tcp();
  const auto report = report_of(net, {}, with_sequences());
  REQUIRE(report.forward.sequences.size() == 1);
  const SequenceLine& line = report.forward.sequences[0];
  REQUIRE(line.bins.size() > 10);
  std::int64_t high = 0, ack = 0;
  for (const SequenceBin& bin : line.bins) {
    if (bin.sent) CHECK(bin.low >= high);
    if (bin.sent) high = bin.high;
    if (bin.acknowledged) CHECK(bin.ack >= ack);
    if (bin.acknowledged) ack = bin.ack;
    CHECK(ack <= high);
  }
  const std::int64_t bytes = std::int64_t{config.segments} * config.mss;
  CHECK(high >= bytes);
  CHECK(high <= bytes + 2);  // SYN, FIN
  REQUIRE(!report.forward.again.empty());
  for (const auto& again : report.forward.again) {
    const auto byte = line.byte_at(again.packet.timestamp_ns, again.packet.sequence);
    CHECK(static_cast<std::uint32_t>(byte - line.byte_at(line.bins[0].from_ns, config.isn + 1)) ==
          again.packet.sequence - (config.isn + 1));
  }
}

TEST_CASE("a line of a long run is held in bounded memory") {
  Config config;
  config.segments = 4000;
  config.pace_ns = 5 * kMs;
  World net(config);
  net.run_tcp();
  const auto report = report_of(net, {}, with_sequences());
  REQUIRE(report.forward.sequences.size() == 1);
  const SequenceLine& line = report.forward.sequences[0];
  CHECK(line.bins.size() <= SequenceSeries::kBinsMax);
  CHECK(line.width_ns > SequenceSeries::kWidthNs);
}
