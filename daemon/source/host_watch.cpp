// SPDX-License-Identifier: Apache-2.0
#include "source/host_watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <bit>

#include "host_trigger.skel.h"
#include "source/flow_table.h"
#include "source/interface.h"
#include "source/libbpf_log.h"
#include "source/rings.h"
#include "source/tc_hook.h"

namespace fieldline::source {
namespace {

constexpr TcHook::Owner kOwner{"fl_host_watch", 8620};

struct DestroySkeleton {
  void operator()(host_trigger* skeleton) const { host_trigger__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<host_trigger, DestroySkeleton>;

class TcWatch final : public HostWatch {
 public:
  Result<void> start(const HostWatchOptions& options) {
    if (options.interfaces.empty() || options.interfaces.size() > FL_PORTS_MAX) {
      return fail(Code::invalid,
                  "a host names 1 to " + std::to_string(FL_PORTS_MAX) + " interfaces");
    }
    if (!std::has_single_bit(options.trigger_ring_bytes)) {
      return fail(Code::invalid, "the trigger ring's size must be a power of two");
    }
    if (auto loaded = load(options); !loaded) return loaded.error();
    for (std::uint32_t i = 0; i < options.interfaces.size(); ++i) {
      auto attached = attach(options.interfaces[i], i);
      if (!attached) return std::move(attached.error()).in("interface " + options.interfaces[i]);
    }
    return {};
  }

  const char* attachment() const override { return hooks_.front().attachment(); }
  std::vector<int> ifindexes() const override { return ifindexes_; }
  int trigger_fd() const override { return ring_->fd(); }
  Result<std::size_t> drain_triggers(const Source::OnTrigger& on_trigger) override {
    return ring_->drain([&](ByteView record) -> Result<void> {
      auto lift = parse_trigger_lift(record);
      if (!lift) return lift.error();
      on_trigger(lift->first, lift->second);
      return {};
    });
  }
  Result<fl_port_counters> port_counters(std::uint16_t port) const override {
    return sum_counters<fl_port_counters>(bpf_map__fd(skeleton_->maps.port_counters), port);
  }

 private:
  Result<void> load(const HostWatchOptions& options);
  Result<void> attach(const std::string& name, std::uint32_t index);
  int program_fd() const { return bpf_program__fd(skeleton_->progs.fl_host_watch); }

  bool only_clsact_ = false;
  Skeleton skeleton_;
  std::unique_ptr<Ring> ring_;
  std::vector<TcHook> hooks_;
  std::vector<int> ifindexes_;
};

Result<void> TcWatch::load(const HostWatchOptions& options) {
  LibbpfLog log;
  only_clsact_ = options.only_clsact;
  skeleton_.reset(host_trigger__open());
  if (!skeleton_) return log.load_error("the host's trigger program");
  auto& maps = skeleton_->maps;
  // The classifier's; this program has no flow table and lifts no headers.
  for (bpf_map* unused : {maps.flows, maps.values, maps.masks, maps.masks_in_use,
                          maps.flow_counters, maps.header_ring}) {
    bpf_map__set_autocreate(unused, false);
  }
  bpf_map__set_max_entries(maps.trigger_ring, options.trigger_ring_bytes);
  if (int error = host_trigger__load(skeleton_.get())) {
    errno = -error;
    return log.load_error("the host's trigger program");
  }
  auto ring = Ring::open(bpf_map__fd(maps.trigger_ring), options.trigger_ring_bytes,
                         sizeof(fl_trigger_lift));
  if (!ring) return std::move(ring.error()).in("trigger ring");
  ring_ = std::move(*ring);
  return {};
}

Result<void> TcWatch::attach(const std::string& name, std::uint32_t index) {
  auto interface = read_interface(name);
  if (!interface) return interface.error();
  if (auto checked = check_has_ethernet(*interface); !checked) return checked.error();
  const int ifindex = interface->index;
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.watched), &ifindex, &index, BPF_NOEXIST)) {
    if (errno == EEXIST) return fail(Code::invalid, "it is listed twice");
    return fail_errno("naming it to the program");
  }
  for (auto way : {TcHook::Way::ingress, TcHook::Way::egress}) {
    auto hook = TcHook::attach(ifindex, way, program_fd(), kOwner, only_clsact_);
    if (!hook) return hook.error();
    hooks_.push_back(std::move(*hook));
  }
  ifindexes_.push_back(ifindex);
  return {};
}

}  // namespace

Result<std::unique_ptr<HostWatch>> HostWatch::open(const HostWatchOptions& options) {
  auto watch = std::make_unique<TcWatch>();
  auto started = watch->start(options);
  if (!started) return std::move(started.error()).in("host's interfaces");
  return std::unique_ptr<HostWatch>(std::move(watch));
}

}  // namespace fieldline::source
