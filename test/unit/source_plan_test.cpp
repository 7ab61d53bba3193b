// SPDX-License-Identifier: Apache-2.0
// The difference between two flow tables, without a kernel.
#include <catch2/catch.hpp>

#include "source/flow_plan.h"

namespace fieldline::source {
namespace {

constexpr std::uint32_t kSlots = 16;

FlowEntry flow(std::uint8_t host, std::uint32_t slot, std::uint64_t deadline = 100) {
  FlowEntry entry;
  entry.key.src[15] = host;
  std::memset(entry.mask.src, 0xff, sizeof entry.mask.src);
  entry.value.slot = slot;
  entry.value.deadline_ns = deadline;
  return entry;
}

HeldEntries held(const std::vector<FlowEntry>& entries) {
  HeldEntries all;
  for (const auto& entry : entries) all[EntryId(entry)] = entry;
  return all;
}

FlowPlan plan(const std::vector<FlowEntry>& from, const std::vector<FlowEntry>& to) {
  auto made = plan_flows(held(from), to, kSlots);
  REQUIRE(made.has_value());
  return *made;
}

Code refusal(const std::vector<FlowEntry>& desired) {
  auto made = plan_flows({}, desired, kSlots);
  REQUIRE(made.has_error());
  return made.error().code;
}

}  // namespace

TEST_CASE("The same table again is no difference") {
  const auto none = plan({flow(1, 0), flow(2, 1)}, {flow(2, 1), flow(1, 0)});
  CHECK(none.add.empty());
  CHECK(none.update.empty());
  CHECK(none.remove.empty());
  CHECK(none.masks.size() == 1);
}

TEST_CASE("A renewed entry is an update, a new one is added, a missing one is removed") {
  const auto made = plan({flow(1, 0), flow(2, 1)}, {flow(1, 0, 200), flow(3, 2)});
  REQUIRE(made.update.size() == 1);
  CHECK(made.update[0].value.deadline_ns == 200);
  REQUIRE(made.add.size() == 1);
  CHECK(made.add[0].value.slot == 2);
  REQUIRE(made.remove.size() == 1);
  CHECK(made.remove[0].value.slot == 1);
}

TEST_CASE("An entry that moves to another slot is removed and added") {
  const auto made = plan({flow(1, 0)}, {flow(1, 7)});
  CHECK(made.remove.at(0).value.slot == 0);
  CHECK(made.add.at(0).value.slot == 7);
  CHECK(made.update.empty());
}

TEST_CASE("The same key under another mask is another entry") {
  FlowEntry wider = flow(0, 1);
  wider.mask.src[15] = 0;
  const auto made = plan({flow(0, 0)}, {flow(0, 0), wider});
  CHECK(made.add.size() == 1);
  CHECK(made.masks.size() == 2);
}

TEST_CASE("What cannot stand in the table is refused") {
  FlowEntry outside = flow(1, 0);
  outside.mask.src[15] = 0xf0;
  CHECK(refusal({outside}) == Code::invalid);
  FlowEntry reserved = flow(1, 0);
  reserved.mask.where = 1 << FL_KEY_MASK_SHIFT;
  CHECK(refusal({reserved}) == Code::invalid);
  reserved.mask.where = FL_KEY_INSIDE;
  CHECK(plan({}, {reserved}).add.size() == 1);
  CHECK(refusal({flow(1, kSlots)}) == Code::exhausted);
  CHECK(refusal({flow(1, 0), flow(1, 1)}) == Code::invalid);
  CHECK(refusal({flow(1, 0), flow(2, 0)}) == Code::invalid);
}

TEST_CASE("One mask more than the classifier follows is refused") {
  std::vector<FlowEntry> entries;
  for (std::uint32_t i = 0; i <= FL_MASKS_MAX; ++i) {
    FlowEntry entry;
    entry.mask.src[i] = 0xff;
    entry.value.slot = i;
    entries.push_back(entry);
  }
  CHECK(refusal(entries) == Code::exhausted);
  entries.pop_back();
  CHECK(plan({}, entries).masks.size() == FL_MASKS_MAX);
}

}  // namespace fieldline::source
