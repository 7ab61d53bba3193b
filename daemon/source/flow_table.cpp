// SPDX-License-Identifier: Apache-2.0
#include "source/flow_table.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "proto/event.h"
#include "source/classifier.h"

namespace fieldline::source {
namespace {

// Values are written in place; the classifier reads each member once, whole.
template <class T>
void store(T& member, T value) {
  std::atomic_ref<T>(member).store(value, std::memory_order_release);
}

}  // namespace

template <class Counters>
Result<Counters> sum_counters(int fd, std::uint32_t index) {
  constexpr std::size_t kWords = sizeof(Counters) / sizeof(std::uint64_t);
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail(Code::io, "the number of CPUs cannot be read");
  std::vector<std::array<std::uint64_t, kWords>> each(static_cast<std::size_t>(cpus));
  if (bpf_map_lookup_elem(fd, &index, each.data())) return fail_errno("reading counters");
  std::array<std::uint64_t, kWords> sum{};
  for (const auto& one : each) {
    for (std::size_t i = 0; i < kWords; ++i) sum[i] += one[i];
  }
  Counters counters;
  std::memcpy(&counters, sum.data(), sizeof counters);
  return counters;
}
template Result<fl_flow_counters> sum_counters(int, std::uint32_t);
template Result<fl_port_counters> sum_counters(int, std::uint32_t);
template Result<fl_event_counters> sum_counters(int, std::uint32_t);

FlowTable::FlowTable(const MapFd& map_fd, std::uint32_t slots)
    : flows_fd_(map_fd("flows")),
      masks_fd_(map_fd("masks")),
      in_use_fd_(map_fd("masks_in_use")),
      counters_fd_(map_fd("flow_counters")),
      values_fd_(map_fd("values")),
      slots_(slots) {}

FlowTable::~FlowTable() {
  if (values_) munmap(values_, mapped_bytes_);
}

Result<std::unique_ptr<FlowTable>> FlowTable::open(const MapFd& map_fd, std::uint32_t slots) {
  std::unique_ptr<FlowTable> table(new FlowTable(map_fd, slots));
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail(Code::io, "the number of CPUs cannot be read");
  table->cpus_ = static_cast<std::size_t>(cpus);
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t bytes = (slots * sizeof(fl_flow_value) + page - 1) / page * page;
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, table->values_fd_, 0);
  if (mapped == MAP_FAILED) return fail_errno("mapping the flow table's values");
  table->values_ = static_cast<fl_flow_value*>(mapped);
  table->mapped_bytes_ = bytes;
  return table;
}

Result<Applied> FlowTable::apply(const std::vector<FlowEntry>& desired) {
  auto plan = plan_flows(held_, desired, slots_);
  if (!plan) return plan.error();

  // Removals first, so that the new entries find room for their masks. Nothing that a removal frees
  // (an element of the hash, a slot, a mask) is used again before programs that may still read it
  // are over.
  for (const auto& entry : plan->remove) {
    if (auto removed = remove(entry); !removed) return removed.error();
  }
  if (auto released = release_masks(plan->masks); !released) return released.error();
  for (const auto& entry : plan->update) {
    write_value(entry.value);
    held_[EntryId(entry)] = entry;
  }
  if (!plan->add.empty()) {
    if (unsettled_) {
      if (auto waited = quiesce(); !waited) return waited.error();
      unsettled_ = false;
    }
    if (auto published = publish_masks(plan->masks); !published) return published.error();
  }
  for (const auto& entry : plan->add) {
    if (auto added = add(entry); !added) return added.error();
  }
  return Applied{static_cast<unsigned>(plan->add.size()),
                 static_cast<unsigned>(plan->update.size()),
                 static_cast<unsigned>(plan->remove.size())};
}

Result<void> FlowTable::remove(const FlowEntry& entry) {
  store(values_[entry.value.slot].deadline_ns, __u64{0});
  const fl_flow_key key = map_key(entry);
  if (bpf_map_delete_elem(flows_fd_, &key) && errno != ENOENT) {
    return fail_errno("removing a flow entry");
  }
  held_.erase(EntryId(entry));
  unsettled_ = true;
  return {};
}

// A mask whose last entry is gone is looked up no more.
Result<void> FlowTable::release_masks(const std::vector<fl_flow_key>& wanted) {
  for (auto& mask : masks_) {
    if (mask && std::none_of(wanted.begin(), wanted.end(),
                             [&](const auto& other) { return same_key(*mask, other); })) {
      mask.reset();
    }
  }
  if ((in_use_ & ~mask_bits()) == 0) return {};
  unsettled_ = true;
  return write_in_use(in_use_ & mask_bits());
}

// The deadline last: what it makes live is complete.
void FlowTable::write_value(const fl_flow_value& value) {
  fl_flow_value& place = values_[value.slot];
  store(place.slot, value.slot);
  store(place.snaplen, value.snaplen);
  store(place.direction, value.direction);
  store(place.sample_bits, value.sample_bits);
  store(place.deadline_ns, value.deadline_ns);
}

// A mask is written while its bit is off and switched on only after a grace period, so that no
// program ever sees half of one.
Result<void> FlowTable::publish_masks(const std::vector<fl_flow_key>& wanted) {
  for (const auto& mask : wanted) {
    if (index_of(mask)) continue;
    const auto free = std::find(masks_.begin(), masks_.end(), std::nullopt);
    if (free == masks_.end()) return fail(Code::exhausted, "no room for a mask");
    const auto index = static_cast<std::uint32_t>(free - masks_.begin());
    if (bpf_map_update_elem(masks_fd_, &index, &mask, BPF_ANY)) return fail_errno("writing a mask");
    *free = mask;
  }
  if (in_use_ == mask_bits()) return {};
  if (auto waited = quiesce(); !waited) return waited.error();
  return write_in_use(mask_bits());
}

Result<void> FlowTable::add(const FlowEntry& entry) {
  const std::uint32_t slot = entry.value.slot;
  const std::vector<fl_flow_counters> zero(cpus_);
  if (counters_fd_ >= 0 && bpf_map_update_elem(counters_fd_, &slot, zero.data(), BPF_ANY)) {
    return fail_errno("clearing the counters of a flow entry");
  }
  write_value(entry.value);
  const fl_flow_key key = map_key(entry);
  if (bpf_map_update_elem(flows_fd_, &key, &slot, BPF_NOEXIST)) {
    Error error = fail_errno("adding a flow entry");
    store(values_[slot].deadline_ns, __u64{0});
    return error;
  }
  held_[EntryId(entry)] = entry;
  return {};
}

Result<void> FlowTable::write_in_use(std::uint32_t bits) {
  const std::uint32_t zero = 0;
  if (bpf_map_update_elem(in_use_fd_, &zero, &bits, BPF_ANY)) {
    return fail_errno("publishing the masks in use");
  }
  in_use_ = bits;
  return {};
}

std::uint32_t FlowTable::mask_bits() const {
  std::uint32_t bits = triggers_inside_ ? FL_TRIGGERS_INSIDE : 0;
  for (std::uint32_t i = 0; i < FL_MASKS_MAX; ++i) {
    if (!masks_[i]) continue;
    bits |= 1u << i;
    if ((masks_[i]->where & FL_KEY_INSIDE) == 0) bits |= 1u << (FL_MASKS_INSIDE_SHIFT + i);
  }
  return bits;
}

fl_flow_key FlowTable::map_key(const FlowEntry& entry) const {
  fl_flow_key key = entry.key;
  const std::uint32_t index = index_of(entry.mask).value();
  key.where = static_cast<__u8>(key.where | index << FL_KEY_MASK_SHIFT);
  return key;
}

std::optional<std::uint32_t> FlowTable::index_of(const fl_flow_key& mask) const {
  for (std::uint32_t i = 0; i < FL_MASKS_MAX; ++i) {
    if (masks_[i] && same_key(*masks_[i], mask)) return i;
  }
  return std::nullopt;
}

Result<void> FlowTable::look_inside(bool triggers) {
  triggers_inside_ = triggers;
  const std::uint32_t rest = in_use_ & ~FL_TRIGGERS_INSIDE;
  return write_in_use(triggers ? rest | FL_TRIGGERS_INSIDE : rest);
}

Result<fl_flow_counters> FlowTable::counters(std::uint32_t slot) const {
  return sum_counters<fl_flow_counters>(counters_fd_, slot);
}

}  // namespace fieldline::source
