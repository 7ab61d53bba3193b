// SPDX-License-Identifier: Apache-2.0
// Writes the classifier's flow table (docs/format/flow.md).
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "source/flow_plan.h"

namespace fieldline::source {

class FlowTable {
 public:
  // The maps of bpf/flow_find.h by name, and flow_counters if the programs count by flow: without
  // it, counters() has nothing to give.
  using MapFd = std::function<int(const char* name)>;
  static Result<std::unique_ptr<FlowTable>> open(const MapFd& map_fd, std::uint32_t slots);
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  // As Source::apply(). After an error the table holds what was written until then, and the next
  // call goes on from there.
  Result<Applied> apply(const std::vector<FlowEntry>& desired);
  Result<fl_flow_counters> counters(std::uint32_t slot) const;
  // As Source::look_inside().
  Result<void> look_inside(bool triggers);

 private:
  FlowTable(const MapFd& map_fd, std::uint32_t slots);

  Result<void> remove(const FlowEntry& entry);
  Result<void> release_masks(const std::vector<fl_flow_key>& wanted);
  void write_value(const fl_flow_value& value);
  Result<void> publish_masks(const std::vector<fl_flow_key>& wanted);
  Result<void> add(const FlowEntry& entry);
  Result<void> write_in_use(std::uint32_t bits);
  std::uint32_t mask_bits() const;
  fl_flow_key map_key(const FlowEntry& entry) const;
  std::optional<std::uint32_t> index_of(const fl_flow_key& mask) const;

  int flows_fd_, masks_fd_, in_use_fd_, counters_fd_, values_fd_;
  std::uint32_t slots_;
  std::size_t mapped_bytes_ = 0;
  fl_flow_value* values_ = nullptr;  // the map `values` itself
  std::size_t cpus_ = 0;
  HeldEntries held_;
  std::array<std::optional<fl_flow_key>, FL_MASKS_MAX> masks_;
  std::uint32_t in_use_ = 0;  // the bits that the classifier sees
  bool triggers_inside_ = false;
  bool unsettled_ = false;  // something was removed, and a program may still be reading it
};

// One per-CPU value of `Counters` (u64 members only), summed.
template <class Counters>
Result<Counters> sum_counters(int fd, std::uint32_t index);

}  // namespace fieldline::source
