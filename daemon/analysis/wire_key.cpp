// SPDX-License-Identifier: Apache-2.0
#include "analysis/wire_key.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kKept = kSyn | kFin | kRst | kAck;

std::uint64_t words(std::uint32_t high, std::uint32_t low) {
  return std::uint64_t{high} << 32 | low;
}

}  // namespace

std::uint64_t wire_key(Sip flow, std::uint32_t sequence, std::uint32_t payload, std::uint8_t flags,
                       std::uint32_t ack, std::uint32_t tsval) {
  flow.take(words(sequence, ack));
  flow.take(words(payload, flags & kKept));
  flow.take(tsval);
  const std::uint64_t key = flow.digest();
  return key == 0 ? 1 : key;
}

std::uint64_t wire_key(const Observation& seen) {
  if ((seen.flags & (kCarriesTcp | kOptionsCut)) != kCarriesTcp) return 0;
  Sip flow;
  flow.take(seen.flow);
  return wire_key(flow, seen.sequence, seen.payload, seen.flags, seen.ack, seen.tsval);
}

std::uint64_t WireFlows::renamed(const Observation& seen) {
  const std::uint64_t key = wire_key(seen);
  return key == 0 ? seen.digest : key;
}

bool WireFlows::add(std::uint32_t flow) {
  if (has(flow)) return false;
  if (flow >= flows_.size()) flows_.resize(flow + std::size_t{1});
  flows_[flow] = true;
  all_ = ++count_ > kMost;
  return true;
}

}  // namespace fieldline::analysis
