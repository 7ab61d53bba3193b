// SPDX-License-Identifier: Apache-2.0
#include "analysis/spacing.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace fieldline::analysis {
namespace {

constexpr unsigned kBits = 3;  // steps to a power of two, as bits

std::size_t step_of(std::uint64_t value) {
  if (value < (std::uint64_t{1} << kBits)) return static_cast<std::size_t>(value);
  const auto power = static_cast<unsigned>(std::bit_width(value)) - 1;
  const std::uint64_t part = (value >> (power - kBits)) - (std::uint64_t{1} << kBits);
  return (static_cast<std::size_t>(power - kBits + 1) << kBits) + static_cast<std::size_t>(part);
}

// The greatest value of a step.
std::uint64_t end_of(std::size_t step) {
  if (step < (std::size_t{1} << kBits)) return step;
  const std::size_t shift = (step >> kBits) - 1;
  const std::uint64_t part = (step & ((std::size_t{1} << kBits) - 1)) + (std::size_t{1} << kBits);
  return (part << shift) + ((std::uint64_t{1} << shift) - 1);
}

}  // namespace

void Spread::add(std::uint64_t value) {
  ++count_;
  least_ = std::min(least_, value);
  greatest_ = std::max(greatest_, value);
  const double far = static_cast<double>(value) - mean_;
  mean_ += far / static_cast<double>(count_);
  squares_ += far * (static_cast<double>(value) - mean_);
  const std::size_t step = step_of(value);
  if (step >= steps_.size()) steps_.resize(step + 1);
  ++steps_[step];
}

// Chan, Golub, LeVeque 1979.
void Spread::merge(const Spread& other) {
  if (other.count_ == 0) return;
  const double own = static_cast<double>(count_), more = static_cast<double>(other.count_);
  const double far = other.mean_ - mean_;
  mean_ += far * more / (own + more);
  squares_ += other.squares_ + far * far * own * more / (own + more);
  count_ += other.count_;
  least_ = std::min(least_, other.least_);
  greatest_ = std::max(greatest_, other.greatest_);
  steps_.resize(std::max(steps_.size(), other.steps_.size()));
  for (std::size_t at = 0; at < other.steps_.size(); ++at) steps_[at] += other.steps_[at];
}

double Spread::deviation() const {
  return count_ < 2 ? 0 : std::sqrt(squares_ / static_cast<double>(count_ - 1));
}

std::uint64_t Spread::percentile(unsigned percent) const {
  std::uint64_t rank = (count_ * percent + 99) / 100;
  for (std::size_t at = 0; at < steps_.size(); ++at) {
    if (steps_[at] >= rank) return std::clamp(end_of(at), least_, greatest_);
    rank -= steps_[at];
  }
  return greatest_;
}

void Spacing::see(std::uint64_t time_ns, std::uint64_t bytes) {
  if (sizes_.count() > 0) gaps_.add(time_ns > last_ns_ ? time_ns - last_ns_ : 0);
  last_ns_ = std::max(last_ns_, time_ns);
  sizes_.add(bytes);
  bytes_ += bytes;
}

void Spacing::merge(const Spacing& other) {
  sizes_.merge(other.sizes_);
  gaps_.merge(other.gaps_);
  bytes_ += other.bytes_;
}

}  // namespace fieldline::analysis
