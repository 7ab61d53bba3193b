// SPDX-License-Identifier: Apache-2.0
// What must change for the flow table to hold what is desired. Pure: no maps, no clock.
#pragma once

#include <array>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "source/source.h"

namespace fieldline::source {

// Identity of an entry: its key and its mask, byte for byte.
struct EntryId {
  std::array<std::uint8_t, 2 * sizeof(fl_flow_key)> bytes{};

  EntryId() = default;
  explicit EntryId(const FlowEntry& entry) {
    std::memcpy(bytes.data(), &entry.key, sizeof entry.key);
    std::memcpy(bytes.data() + sizeof entry.key, &entry.mask, sizeof entry.mask);
  }
  bool operator==(const EntryId&) const = default;

  struct Hash {
    std::size_t operator()(const EntryId& id) const {
      return std::hash<std::string_view>{}(
          {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
    }
  };
};

using HeldEntries = std::unordered_map<EntryId, FlowEntry, EntryId::Hash>;

struct FlowPlan {
  std::vector<FlowEntry> remove, update, add;
  std::vector<fl_flow_key> masks;  // those that the desired entries use, each once
};

bool same_key(const fl_flow_key& a, const fl_flow_key& b);

// An entry that moves to another slot is removed and added, because its counters are the slot's.
// Refuses a key with bits outside of its mask, a slot outside of the table or used twice, an entry
// that stands twice, and more masks than the classifier follows.
Result<FlowPlan> plan_flows(const HeldEntries& held, const std::vector<FlowEntry>& desired,
                            std::uint32_t slots);

}  // namespace fieldline::source
