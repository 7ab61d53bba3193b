// SPDX-License-Identifier: Apache-2.0
#include "analysis/port_loads.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kLatest = std::numeric_limits<std::uint64_t>::max() - 2 * kMs;
constexpr double kNsPerSecond = 1e9, kBitsPerByte = 8;

// Rates in steps of 1/64 of their power of two, as HdrHistogram has them: 1.6 % wide at most.
constexpr unsigned kStepBits = 6;

std::uint32_t step_of(double bps) {
  const auto rate = static_cast<std::uint64_t>(std::min(bps, 9e18));
  const unsigned width = static_cast<unsigned>(std::bit_width(rate));
  const unsigned shift = width > kStepBits ? width - kStepBits - 1 : 0;
  return static_cast<std::uint32_t>((shift << (kStepBits + 1)) + (rate >> shift));
}

// The highest rate of a step.
double top_of(std::uint32_t step) {
  const unsigned shift = step >> (kStepBits + 1);
  const double rate = step & ((1u << (kStepBits + 1)) - 1);
  return std::ldexp(rate + 1, static_cast<int>(shift)) - 1;
}

}  // namespace

double Load::rate(std::uint64_t bytes) const {
  return covered_ns == 0 ? 0
                         : static_cast<double>(bytes) * kBitsPerByte * kNsPerSecond /
                               static_cast<double>(covered_ns);
}

void Load::add(const Load& other) {
  from_ns = std::min(from_ns, other.from_ns);
  to_ns = std::max(to_ns, other.to_ns);
  covered_ns = std::max(covered_ns, other.covered_ns);
  periods = std::max(periods, other.periods);
  port.packets += other.port.packets;
  port.bytes += other.port.bytes;
  own.packets += other.own.packets;
  own.bytes += other.own.bytes;
  p99_bps = std::max(p99_bps, other.p99_bps);
  peak_bps = std::max(peak_bps, other.peak_bps);
}

void PortLoad::record(std::uint64_t time_ns, std::uint64_t bytes, std::uint32_t packets) {
  if (bins_.empty()) bins_.resize(kBins);
  const std::uint64_t ms = std::min(time_ns, kLatest) / kMs;
  from_ns_ = std::min(from_ns_, ms * kMs);
  to_ns_ = std::max(to_ns_, (ms + 1) * kMs);
  Bin& bin = bins_[ms % kBins];
  if (bin.ms != ms) bin = {ms, {}};
  bin.own.packets += packets;
  bin.own.bytes += bytes;
}

void PortLoad::own_within(const TotalsPeriod& period, Sum& sum) const {
  const std::uint64_t first = period.begin_ns / kMs, last = (period.end_ns() - 1) / kMs;
  for (std::uint64_t ms = first; ms <= last; ++ms) {
    const Bin& bin = bins_[ms % kBins];
    if (bin.ms != ms) continue;
    const std::uint64_t from = std::max(period.begin_ns, ms * kMs);
    const std::uint64_t to = std::min(period.end_ns(), (ms + 1) * kMs);
    const double part = static_cast<double>(to - from) / static_cast<double>(kMs);
    sum.own_packets += part * static_cast<double>(bin.own.packets);
    sum.own_bytes += part * static_cast<double>(bin.own.bytes);
  }
}

void PortLoad::period(const TotalsPeriod& period, const PortTotal& total) {
  if (period.end_ns() <= from_ns_ || period.length_ns > kLongest) return;
  if (to_ns_ >= behind_.to_ns) {
    sum_.add(behind_);
    behind_ = {};
  }
  Sum one;
  one.from_ns = period.begin_ns;
  one.to_ns = period.end_ns();
  one.covered_ns = period.length_ns;
  one.periods = 1;
  one.port = total;
  own_within(period, one);
  const double others = std::max(0.0, static_cast<double>(total.bytes) - one.own_bytes);
  one.peak_bps = others * kBitsPerByte * kNsPerSecond / static_cast<double>(period.length_ns);
  one.lengths_ns[step_of(one.peak_bps)] = period.length_ns;
  (period.begin_ns < to_ns_ ? sum_ : behind_).add(one);
}

void PortLoad::Sum::add(const Sum& other) {
  if (other.periods == 0) return;
  from_ns = periods == 0 ? other.from_ns : std::min(from_ns, other.from_ns);
  to_ns = std::max(to_ns, other.to_ns);
  covered_ns += other.covered_ns;
  periods += other.periods;
  port.packets += other.port.packets;
  port.bytes += other.port.bytes;
  own_packets += other.own_packets;
  own_bytes += other.own_bytes;
  peak_bps = std::max(peak_bps, other.peak_bps);
  for (const auto& [step, length] : other.lengths_ns) lengths_ns[step] += length;
}

double PortLoad::Sum::p99_bps() const {
  std::uint64_t below = 0;
  for (const auto& [step, length] : lengths_ns) {
    below += length;
    if (below >= covered_ns - covered_ns / 100) return std::min(top_of(step), peak_bps);
  }
  return peak_bps;
}

std::optional<Load> PortLoad::load() const {
  Sum sum = sum_;
  if (to_ns_ >= behind_.to_ns) sum.add(behind_);
  if (sum.periods == 0) return std::nullopt;
  Load load;
  load.from_ns = sum.from_ns;
  load.to_ns = sum.to_ns;
  load.covered_ns = sum.covered_ns;
  load.periods = sum.periods;
  load.port = sum.port;
  load.own = {static_cast<std::uint64_t>(std::llround(sum.own_packets)),
              static_cast<std::uint64_t>(std::llround(sum.own_bytes))};
  load.p99_bps = sum.p99_bps();
  load.peak_bps = sum.peak_bps;
  return load;
}

PortLoad* Loads::port(const VantageKey& key, const std::string& session,
                      std::optional<std::uint64_t> number) {
  if (!number) return nullptr;
  PortLoad* load = &sessions_[session].ports[*number];
  ports_[key][{session, *number}] = load;
  return load;
}

// Ports without a record of the run are no vantage points of it.
bool Loads::take(ByteView bytes, std::uint64_t sequence) {
  auto body = parse_totals(bytes);
  if (!body) return false;
  const auto found = sessions_.find(body->session.hex());
  if (found == sessions_.end()) return true;
  Session& session = found->second;
  if (!session.frames.insert(sequence)) return true;
  for (std::size_t at = 0; at < body->ports.size(); ++at) {
    const auto port = session.ports.find(body->ports[at]);
    if (port == session.ports.end()) continue;
    for (std::uint32_t i = 0; i < body->periods; ++i)
      port->second.period(body->period(i), body->total(i, at));
  }
  return true;
}

std::optional<Load> Loads::load(const VantageKey& key) const {
  const auto found = ports_.find(key);
  if (found == ports_.end()) return std::nullopt;
  std::optional<Load> sum;
  for (const auto& [which, port] : found->second) {
    const auto load = port->load();
    if (!load) continue;
    if (!sum) {
      sum = load;
      continue;
    }
    // One life of the sensor after the other.
    const std::uint64_t covered = sum->covered_ns + load->covered_ns;
    const std::uint64_t periods = sum->periods + load->periods;
    sum->add(*load);
    sum->covered_ns = covered;
    sum->periods = periods;
  }
  return sum;
}

}  // namespace fieldline::analysis
