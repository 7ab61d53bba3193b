// SPDX-License-Identifier: Apache-2.0
#include "source/flow_plan.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace fieldline::source {
namespace {

bool is_masked(const FlowEntry& entry) {
  std::array<std::uint8_t, sizeof(fl_flow_key)> key, mask;
  std::memcpy(key.data(), &entry.key, key.size());
  std::memcpy(mask.data(), &entry.mask, mask.size());
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (key[i] & ~mask[i]) return false;
  }
  return true;
}

bool same_value(const fl_flow_value& a, const fl_flow_value& b) {
  return a.deadline_ns == b.deadline_ns && a.slot == b.slot && a.snaplen == b.snaplen &&
         a.direction == b.direction && a.sample_bits == b.sample_bits;
}

Result<void> check_entry(const FlowEntry& entry, std::uint32_t slots) {
  const std::string name = "flow entry of slot " + std::to_string(entry.value.slot);
  if (entry.value.slot >= slots) {
    return fail(Code::exhausted, name + ": the table has " + std::to_string(slots) +
                                     " slots; raise max_flows, or let runs end");
  }
  if (((entry.key.where | entry.mask.where) & ~FL_KEY_INSIDE) != 0) {
    return fail(Code::invalid, name + ": a bit of `where` is set that the table itself writes");
  }
  if (!is_masked(entry))
    return fail(Code::invalid, name + ": the key has bits outside of its mask");
  return {};
}

}  // namespace

bool same_key(const fl_flow_key& a, const fl_flow_key& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

Result<FlowPlan> plan_flows(const HeldEntries& held, const std::vector<FlowEntry>& desired,
                            std::uint32_t slots) {
  FlowPlan plan;
  std::unordered_set<EntryId, EntryId::Hash> wanted;
  std::unordered_set<std::uint32_t> wanted_slots;
  for (const auto& entry : desired) {
    if (auto checked = check_entry(entry, slots); !checked) return checked.error();
    const EntryId id(entry);
    if (!wanted.insert(id).second) return fail(Code::invalid, "a flow entry stands twice");
    if (!wanted_slots.insert(entry.value.slot).second) {
      return fail(Code::invalid,
                  "slot " + std::to_string(entry.value.slot) + " is given to two flow entries");
    }
    if (std::none_of(plan.masks.begin(), plan.masks.end(),
                     [&](const auto& mask) { return same_key(mask, entry.mask); })) {
      plan.masks.push_back(entry.mask);
    }
    auto found = held.find(id);
    if (found == held.end()) {
      plan.add.push_back(entry);
    } else if (found->second.value.slot != entry.value.slot) {
      plan.remove.push_back(found->second);
      plan.add.push_back(entry);
    } else if (!same_value(found->second.value, entry.value)) {
      plan.update.push_back(entry);
    }
  }
  if (plan.masks.size() > FL_MASKS_MAX) {
    return fail(Code::exhausted,
                "the flows need " + std::to_string(plan.masks.size()) +
                    " distinct masks (kinds of prefixes and any-port pairs), at most " +
                    std::to_string(FL_MASKS_MAX) +
                    " can be in use; let other runs end, or ask for exact flows");
  }
  for (const auto& [id, entry] : held) {
    if (!wanted.contains(id)) plan.remove.push_back(entry);
  }
  return plan;
}

}  // namespace fieldline::source
