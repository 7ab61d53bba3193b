// SPDX-License-Identifier: Apache-2.0
#include "analysis/recorded_clock.h"

#include <algorithm>

#include "analysis/ledger.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

constexpr std::size_t kStretches = 8192, kSteps = 64;

std::optional<std::int64_t> signed_in(const json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

bool is_true(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && *found == true;
}

std::optional<RecordedClock::Said> said_in(const json& object, const char* error) {
  const auto error_ns = number_in(object, error);
  if (!error_ns) return std::nullopt;
  return RecordedClock::Said{*error_ns, is_true(object, "synchronized")};
}

}  // namespace

void RecordedClock::Said::add(const Said& other) {
  error_ns = std::max(error_ns, other.error_ns);
  synchronized &= other.synchronized;
}

bool RecordedClock::take(const json& document) {
  const auto at_ns = number_in(document, "at_ns");
  const auto said = said_in(document, "error_ns");
  const auto steps = document.find("steps");
  if (!at_ns || !said || steps == document.end() || !steps->is_array()) return false;
  const auto note = [](auto& course, std::uint64_t at, const Said& one) {
    const auto [found, is_new] = course.try_emplace(at, one);
    if (!is_new) found->second.add(one);
  };
  note(course_, *at_ns / stretch_ns_ * stretch_ns_, *said);
  if (course_.size() > kStretches) {
    stretch_ns_ *= 2;
    std::map<std::uint64_t, Said> longer;
    for (const auto& [at, one] : course_) note(longer, at / stretch_ns_ * stretch_ns_, one);
    course_ = std::move(longer);
  }
  for (const json& step : *steps) {
    const auto from_ns = number_in(step, "from_ns"), to_ns = number_in(step, "to_ns");
    const auto by_ns = signed_in(step, "by_ns");
    const auto what = string_in(step, "what");
    if (!from_ns || !to_ns || !by_ns || !what) return false;
    if (steps_.size() < kSteps) steps_[*to_ns] = {*from_ns, *to_ns, *by_ns, *what == "tai_offset"};
  }
  return true;
}

bool RecordedClock::take_start(const json& clock) {
  const auto said = said_in(clock, "max_error_ns");
  if (said) start_ = said;
  return said.has_value();
}

std::optional<RecordedClock::Said> RecordedClock::worst(std::uint64_t from_ns,
                                                        std::uint64_t to_ns) const {
  std::optional<Said> worst;
  for (auto at = course_.lower_bound(from_ns / stretch_ns_ * stretch_ns_);
       at != course_.end() && at->first <= to_ns; ++at) {
    if (!worst) worst = at->second;
    worst->add(at->second);
  }
  return worst ? worst : this->worst();
}

std::optional<RecordedClock::Said> RecordedClock::worst() const {
  std::optional<Said> worst = course_.empty() ? start_ : std::nullopt;
  for (const auto& [at, one] : course_) {
    if (!worst) worst = one;
    worst->add(one);
  }
  return worst;
}

std::vector<RecordedClock::Step> RecordedClock::steps() const {
  std::vector<Step> all;
  for (const auto& [to_ns, step] : steps_) all.push_back(step);
  return all;
}

}  // namespace fieldline::analysis
