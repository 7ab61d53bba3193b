// SPDX-License-Identifier: Apache-2.0
// The activation table: which runs are on at this sensor until when, and the flow entries that
// follow from it. Soft state: pulses renew, silence ends. Time is an argument.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

#include "proto/flow.h"
#include "sense/gate.h"

namespace fieldline::sense {

// One run's share of one flow entry.
struct RunShare {
  RunId run;
  std::uint8_t direction = FL_FORWARD;  // enum fl_direction
  std::uint16_t snaplen = 0;            // this run's rights
  std::uint8_t sample_bits = 0;
};

// An entry of the desired flow table; equal (key, mask) of several runs are one entry.
struct DesiredFlow {
  fl_flow_key key{}, mask{};
  fl_flow_value value{};
};

struct Activation {
  RunId run;
  Grant grant;
  std::string principal;
  Decision decision;
  std::uint64_t started_utc_ns = 0;
  std::uint64_t deadline_mono_ns = 0;  // CLOCK_MONOTONIC; the classifier's
  std::uint64_t deadline_utc_ns = 0;
  std::uint32_t pulses = 0;
  bool ending = false;   // deadline zero in the table, waiting to be drained and counted
  bool overlap = false;  // as GrantFlows
  std::vector<std::uint32_t> slots;
};

class ActivationTable {
 public:
  explicit ActivationTable(std::uint32_t max_flows = FL_FLOWS_DEFAULT,
                           std::uint32_t max_runs = 4096);

  enum class Change { started, renewed, ended };
  // All or nothing. A pulse that ends the run, or that finds another right to look inside tunnels,
  // marks it as ending. Refusals: table_full (flows, masks, runs), busy (the run is ending:
  // remove() it first), duplicate (nothing to end), expired.
  std::variant<Change, Refusal> apply(const Accepted& accepted, std::uint64_t now_utc_ns,
                                      std::uint64_t now_mono_ns);

  // Runs whose deadline has passed become ending; their ids.
  std::vector<RunId> expire(std::uint64_t now_mono_ns);
  // After an ending run was drained and counted: frees its slots. A slot is free for the next run
  // at once: read its counters before, and apply desired() in between, so that it starts again from
  // zero.
  void remove(const RunId& run);

  // The whole flow table as it shall be now; an ending run's entries have deadline 0 unless another
  // run holds them.
  std::vector<DesiredFlow> desired() const;
  // Who gets a record of this slot; empty if the slot is free.
  const std::vector<RunShare>& shares(std::uint32_t slot) const;

  const Activation* find(const RunId& run) const;
  std::vector<const Activation*> all() const;
  std::optional<std::uint64_t> next_deadline_mono_ns() const;
  std::size_t size() const { return runs_.size(); }

 private:
  using Shape = std::array<std::uint8_t, 80>;  // key and mask
  using Mask = std::array<std::uint8_t, 40>;
  struct Entry {
    fl_flow_key key{}, mask{};
    std::vector<RunShare> shares;  // empty: the slot is free
  };
  std::variant<Change, Refusal> start(const Accepted& accepted, std::uint64_t until_utc_ns,
                                      std::uint64_t now_utc_ns, std::uint64_t now_mono_ns);
  void renew(Activation& activation, const Accepted& accepted, std::uint64_t until_utc_ns,
             std::uint64_t now_utc_ns, std::uint64_t now_mono_ns);
  std::uint32_t take_slot(const Shape& shape, const fl_flow_key& key, const fl_flow_key& mask);
  void give_back(std::uint32_t slot);
  fl_flow_value value_of(std::uint32_t slot) const;

  std::uint32_t max_flows_, max_runs_;
  std::unordered_map<RunId, Activation> runs_;
  std::vector<Entry> entries_;  // by slot
  std::vector<std::uint32_t> free_slots_;
  std::map<Shape, std::uint32_t> slot_of_;
  std::map<Mask, std::uint32_t>
      masks_;  // entries per mask; the classifier probes one hash for each
};

}  // namespace fieldline::sense
