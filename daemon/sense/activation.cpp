// SPDX-License-Identifier: Apache-2.0
#include "sense/activation.h"

#include <algorithm>
#include <cstring>

#include "sense/flows.h"

namespace fieldline::sense {

namespace {

template <class Bytes>
Bytes shape_bytes(const fl_flow_key& key, const fl_flow_key& mask) {
  Bytes bytes{};
  std::memcpy(bytes.data(), &key, sizeof key);
  std::memcpy(bytes.data() + sizeof key, &mask, sizeof mask);
  return bytes;
}

template <class Bytes>
Bytes mask_bytes(const fl_flow_key& mask) {
  Bytes bytes{};
  std::memcpy(bytes.data(), &mask, sizeof mask);
  return bytes;
}

Refusal refuse(const Accepted& accepted, Reason reason, std::string detail) {
  const Grant& grant = accepted.trigger.grant;
  return {reason,          std::move(detail),     accepted.principal, to_hex(grant.key_id),
          grant.run.hex(), accepted.decision.rule};
}

}  // namespace

ActivationTable::ActivationTable(std::uint32_t max_flows, std::uint32_t max_runs)
    : max_flows_(max_flows), max_runs_(max_runs) {}

std::variant<ActivationTable::Change, Refusal> ActivationTable::apply(const Accepted& accepted,
                                                                      std::uint64_t now_utc_ns,
                                                                      std::uint64_t now_mono_ns) {
  const Pulse& pulse = accepted.trigger.pulse;
  auto at = runs_.find(accepted.trigger.grant.run);
  if (pulse.ends_run()) {
    if (at == runs_.end() || at->second.ending)
      return refuse(accepted, Reason::duplicate, "the run has ended already");
    ++at->second.pulses;
    at->second.ending = true;
    return Change::ended;
  }
  // A revived run would follow its own final counts; the next pulse starts it afresh.
  if (at != runs_.end() && at->second.ending)
    return refuse(accepted, Reason::busy, "the run is being wound up");

  const std::uint64_t until = std::min(pulse.expiry_ns, accepted.decision.not_after_ns);
  if (until <= now_utc_ns) return refuse(accepted, Reason::expired, "over before it was applied");
  if (at == runs_.end()) return start(accepted, until, now_utc_ns, now_mono_ns);
  // Entries count for one right: the next pulse starts the run afresh with the other.
  if (at->second.decision.inner != accepted.decision.inner) {
    ++at->second.pulses;
    at->second.ending = true;
    return Change::ended;
  }
  renew(at->second, accepted, until, now_utc_ns, now_mono_ns);
  return Change::renewed;
}

std::variant<ActivationTable::Change, Refusal> ActivationTable::start(const Accepted& accepted,
                                                                      std::uint64_t until_utc_ns,
                                                                      std::uint64_t now_utc_ns,
                                                                      std::uint64_t now_mono_ns) {
  auto full = [&](std::uint64_t limit, const char* what) {
    return refuse(accepted, Reason::table_full,
                  "the table has all of its " + std::to_string(limit) + " " + what);
  };
  if (runs_.size() >= max_runs_) return full(max_runs_, "runs");
  const auto [flows, overlap] = flows_of(accepted.trigger.grant, accepted.decision.inner);

  // Everything that can be refused is refused before anything changes.
  std::size_t added = 0;
  std::map<Mask, std::uint32_t> new_masks;
  for (const FlowShape& flow : flows) {
    if (!slot_of_.contains(shape_bytes<Shape>(flow.key, flow.mask))) ++added;
    auto mask = mask_bytes<Mask>(flow.mask);
    if (!masks_.contains(mask)) ++new_masks[mask];
  }
  if (slot_of_.size() + added > std::size_t{2} * max_flows_) return full(max_flows_, "flows");
  if (masks_.size() + new_masks.size() > FL_MASKS_MAX) {
    return full(FL_MASKS_MAX,
                "kinds of masks; prefix lengths and any-ports that others use still fit");
  }

  Activation& activation = runs_[accepted.trigger.grant.run];
  activation.run = accepted.trigger.grant.run;
  activation.grant = accepted.trigger.grant;
  activation.principal = accepted.principal;
  activation.started_utc_ns = now_utc_ns;
  activation.overlap = overlap;
  for (const FlowShape& flow : flows) {
    std::uint32_t slot = take_slot(shape_bytes<Shape>(flow.key, flow.mask), flow.key, flow.mask);
    entries_[slot].shares.push_back({activation.run, flow.direction, 0, 0});
    activation.slots.push_back(slot);
  }
  renew(activation, accepted, until_utc_ns, now_utc_ns, now_mono_ns);
  return Change::started;
}

void ActivationTable::renew(Activation& activation, const Accepted& accepted,
                            std::uint64_t until_utc_ns, std::uint64_t now_utc_ns,
                            std::uint64_t now_mono_ns) {
  activation.decision = accepted.decision;
  activation.deadline_utc_ns = until_utc_ns;
  activation.deadline_mono_ns = now_mono_ns + (until_utc_ns - now_utc_ns);
  ++activation.pulses;
  for (std::uint32_t slot : activation.slots) {
    for (RunShare& share : entries_[slot].shares) {
      if (share.run != activation.run) continue;
      share.snaplen = accepted.decision.snaplen;
      share.sample_bits = accepted.decision.sample_bits;
    }
  }
}

std::uint32_t ActivationTable::take_slot(const Shape& shape, const fl_flow_key& key,
                                         const fl_flow_key& mask) {
  auto [at, is_new] = slot_of_.try_emplace(shape);
  if (!is_new) return at->second;
  if (free_slots_.empty()) {
    at->second = static_cast<std::uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    at->second = free_slots_.back();
    free_slots_.pop_back();
  }
  entries_[at->second].key = key;
  entries_[at->second].mask = mask;
  ++masks_[mask_bytes<Mask>(mask)];
  return at->second;
}

void ActivationTable::give_back(std::uint32_t slot) {
  const Entry& entry = entries_[slot];
  slot_of_.erase(shape_bytes<Shape>(entry.key, entry.mask));
  auto mask = masks_.find(mask_bytes<Mask>(entry.mask));
  if (--mask->second == 0) masks_.erase(mask);
  entries_[slot] = {};
  free_slots_.push_back(slot);
}

std::vector<RunId> ActivationTable::expire(std::uint64_t now_mono_ns) {
  std::vector<RunId> ended;
  for (auto& [run, activation] : runs_) {
    if (activation.ending || activation.deadline_mono_ns > now_mono_ns) continue;
    activation.ending = true;
    ended.push_back(run);
  }
  return ended;
}

void ActivationTable::remove(const RunId& run) {
  auto at = runs_.find(run);
  if (at == runs_.end()) return;
  for (std::uint32_t slot : at->second.slots) {
    auto& shares = entries_[slot].shares;
    std::erase_if(shares, [&](const RunShare& share) { return share.run == run; });
    if (shares.empty()) give_back(slot);
  }
  runs_.erase(at);
  if (!runs_.empty()) return;
  // An idle sensor keeps nothing of its busiest hour.
  entries_ = {};
  free_slots_ = {};
  runs_ = {};
}

// The direction is the first run's; another run of the same entry may count it the other way:
// shares() knows. The kernel's counters are the entry's, so it samples only what one run alone
// holds, until that run was counted and removed; else all is lifted, and each run's share cut and
// counted in user space.
fl_flow_value ActivationTable::value_of(std::uint32_t slot) const {
  fl_flow_value value{};
  value.slot = slot;
  const RunShare& first = entries_[slot].shares.front();
  value.direction = first.direction;
  const bool alone = entries_[slot].shares.size() == 1 && !runs_.at(first.run).overlap;
  value.sample_bits = alone ? first.sample_bits : __u8{0};
  bool headers = false;
  for (const RunShare& share : entries_[slot].shares) {
    const Activation& activation = runs_.at(share.run);
    if (activation.ending) continue;
    value.deadline_ns = std::max<__u64>(value.deadline_ns, activation.deadline_mono_ns);
    value.snaplen = std::max(value.snaplen, share.snaplen);
    headers |= share.snaplen == FL_SNAPLEN_HEADERS;
  }
  if (headers && value.snaplen != FL_SNAPLEN_HEADERS) value.snaplen |= FL_SNAPLEN_AND_HEADERS;
  return value;
}

std::vector<DesiredFlow> ActivationTable::desired() const {
  std::vector<DesiredFlow> flows;
  flows.reserve(slot_of_.size());
  for (std::uint32_t slot = 0; slot < entries_.size(); ++slot) {
    if (entries_[slot].shares.empty()) continue;
    flows.push_back({entries_[slot].key, entries_[slot].mask, value_of(slot)});
  }
  return flows;
}

const std::vector<RunShare>& ActivationTable::shares(std::uint32_t slot) const {
  static const std::vector<RunShare> none;
  return slot < entries_.size() ? entries_[slot].shares : none;
}

const Activation* ActivationTable::find(const RunId& run) const {
  auto at = runs_.find(run);
  return at == runs_.end() ? nullptr : &at->second;
}

std::vector<const Activation*> ActivationTable::all() const {
  std::vector<const Activation*> activations;
  activations.reserve(runs_.size());
  for (const auto& [run, activation] : runs_) activations.push_back(&activation);
  return activations;
}

std::optional<std::uint64_t> ActivationTable::next_deadline_mono_ns() const {
  std::optional<std::uint64_t> next;
  for (const auto& [run, activation] : runs_) {
    if (activation.ending) continue;
    if (!next || activation.deadline_mono_ns < *next) next = activation.deadline_mono_ns;
  }
  return next;
}

}  // namespace fieldline::sense
