// SPDX-License-Identifier: Apache-2.0
#include "source/host_events.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>

#include "base/clock.h"
#include "host.skel.h"
#include "proto/event.h"
#include "source/classifier.h"
#include "source/flow_table.h"
#include "source/kernel_types.h"
#include "source/libbpf_log.h"
#include "source/rings.h"

namespace fieldline::source {
namespace {

// A program, what the kernel must have for it, and the event that it gives.
struct Hook {
  const char* program;
  const char* type;  // in the kernel's BTF: a tracepoint's typedef, or a function
  const char* event;
  bool instead = false;  // for a kernel that has not the event's tracepoint
};
constexpr std::array kHooks = {
    Hook{"fl_sock_open", "btf_trace_inet_sock_set_state", "SOCK_OPEN"},
    Hook{"fl_sock_close", "btf_trace_tcp_destroy_sock", "SOCK_CLOSE"},
    Hook{"fl_sock_send", "btf_trace_sock_send_length", "SOCK_SEND"},
    Hook{"fl_sock_send_v4", "inet_sendmsg", "SOCK_SEND", true},
    Hook{"fl_sock_send_v6", "inet6_sendmsg", "SOCK_SEND", true},
    Hook{"fl_sock_sendpage", "inet_sendpage", "SOCK_SEND", true},
    Hook{"fl_sock_recv", "btf_trace_sock_recv_length", "SOCK_RECV"},
    Hook{"fl_sock_recv_v4", "inet_recvmsg", "SOCK_RECV", true},
    Hook{"fl_sock_recv_v6", "inet6_recvmsg", "SOCK_RECV", true},
    Hook{"fl_tcp_recv", "btf_trace_tcp_probe", "TCP_RECV"},
    Hook{"fl_tcp_retransmit", "btf_trace_tcp_retransmit_skb", "TCP_RETRANS"},
    Hook{"fl_device_send", "btf_trace_net_dev_start_xmit", "DEV_SEND"},
    Hook{"fl_device_recv", "btf_trace_netif_receive_skb", "DEV_RECV"},
};
// No kernel has a tracepoint for these.
constexpr std::array kNever = {"TCP_SEND", "UDP_SEND", "UDP_RECV", "IP_SEND",
                               "IP_RECV",  "IP6_SEND", "IP6_RECV"};

struct DestroySkeleton {
  void operator()(host* skeleton) const { host__destroy(skeleton); }
};
struct DestroyLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Skeleton = std::unique_ptr<host, DestroySkeleton>;
using Link = std::unique_ptr<bpf_link, DestroyLink>;

Result<std::uint32_t> own_namespace() {
  struct stat self {};
  // The namespace's inode number is what the kernel has in net->ns.inum.
  if (stat("/proc/thread-self/ns/net", &self)) return fail_errno("asking for the own namespace");
  return static_cast<std::uint32_t>(self.st_ino);
}

Result<void> check(const HostEventOptions& options) {
  if (!std::has_single_bit(options.ring_bytes) || options.ring_bytes < 4096) {
    return fail(Code::invalid, "event ring of " + std::to_string(options.ring_bytes) +
                                   " bytes: must be a power of two of at least 4096");
  }
  if (options.interfaces.size() > FL_PORTS_MAX) {
    return fail(Code::exhausted,
                "a host has at most " + std::to_string(FL_PORTS_MAX) + " interfaces");
  }
  return {};
}

class EbpfEvents final : public HostEvents {
 public:
  static Result<std::unique_ptr<EbpfEvents>> open(const HostEventOptions& options) {
    if (auto checked = check(options); !checked) return checked.error();
    std::unique_ptr<EbpfEvents> events(new EbpfEvents);
    if (auto loaded = events->load(options); !loaded) return loaded.error();
    if (auto named = events->name_devices(options.interfaces); !named) return named.error();
    auto ring = Ring::open(events->map_fd("event_ring"), options.ring_bytes, sizeof(fl_event_lift));
    if (!ring) return std::move(ring.error()).in("event ring");
    events->ring_ = std::move(*ring);
    auto flows =
        FlowTable::open([raw = events.get()](const char* name) { return raw->map_fd(name); },
                        2 * options.max_flows);
    if (!flows) return flows.error();
    events->flows_ = std::move(*flows);
    return events;
  }

  Result<void> apply(const std::vector<FlowEntry>& desired) override {
    auto applied = flows_->apply(desired);
    if (!applied) return std::move(applied.error()).in("host events: flow table");
    return {};
  }
  Result<void> arm() override { return attach(); }
  void disarm() override { links_.clear(); }

  Result<void> quiesce() override { return source::quiesce(); }

  Result<std::size_t> drain(const OnBatch& on_batch) override;

  const char* kind() const override { return "ebpf"; }
  std::vector<std::string> absent() const override { return absent_; }
  Result<magnet::Accounting> accounting() const override;

 private:
  EbpfEvents() = default;
  Result<void> load(const HostEventOptions& options);
  Result<void> name_devices(const std::vector<std::string>& names);
  Result<void> attach();
  bpf_program* program_of(const Hook& hook) const {
    return bpf_object__find_program_by_name(skeleton_->obj, hook.program);
  }
  int map_fd(const char* name) const {
    return bpf_object__find_map_fd_by_name(skeleton_->obj, name);
  }

  Skeleton skeleton_;
  std::set<std::string> traced_;  // events by a tracepoint of their own
  std::vector<std::string> absent_{kNever.begin(), kNever.end()};
  std::unique_ptr<FlowTable> flows_;
  std::unique_ptr<Ring> ring_;
  std::vector<magnet_record_ext> batch_;  // of one CPU, during drain()
  std::vector<Link> links_;               // first to go
  SystemClock clock_;
};

Result<void> EbpfEvents::load(const HostEventOptions& options) {
  LibbpfLog log;
  auto inum = own_namespace();
  if (!inum) return inum.error();
  skeleton_.reset(host__open());
  if (!skeleton_) return log.load_error("the programs of host events");
  auto kernel = KernelTypes::load();
  if (!kernel) return log.fail(kernel.error().code, kernel.error().context);
  std::set<std::string> given;
  for (const Hook& hook : kHooks) {
    const bool there =
        hook.instead ? kernel->has_function(hook.type) : kernel->arguments(hook.type).has_value();
    // An event's tracepoint stands in front of what is taken instead of it.
    const bool wanted = there && !(hook.instead && traced_.contains(hook.event));
    bpf_program__set_autoload(program_of(hook), wanted);
    if (wanted) given.insert(hook.event);
    if (wanted && !hook.instead) traced_.insert(hook.event);
  }
  for (const Hook& hook : kHooks) {
    const bool is_new = std::find(absent_.begin(), absent_.end(), hook.event) == absent_.end();
    if (!given.contains(hook.event) && is_new) absent_.push_back(hook.event);
  }
  skeleton_->rodata->fl_netns = *inum;
  skeleton_->rodata->fl_retransmit_tells_error =
      kernel->arguments("btf_trace_tcp_retransmit_skb").value_or(0) > 2;
  bpf_map__set_max_entries(skeleton_->maps.flows, 2 * options.max_flows);
  bpf_map__set_max_entries(skeleton_->maps.values, 2 * options.max_flows);
  bpf_map__set_max_entries(skeleton_->maps.event_ring, options.ring_bytes);
  if (int error = host__load(skeleton_.get())) {
    errno = -error;
    return log.load_error("the programs of host events");
  }
  return {};
}

Result<void> EbpfEvents::name_devices(const std::vector<std::string>& names) {
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    const std::uint32_t index = if_nametoindex(names[i].c_str());
    if (index == 0) {
      return fail(Code::not_found,
                  "there is no interface " + names[i] + " here; see: ip -brief link");
    }
    if (bpf_map_update_elem(map_fd("devices"), &index, &i, BPF_ANY))
      return fail_errno("naming interface " + names[i]);
  }
  return {};
}

Result<void> EbpfEvents::attach() {
  if (!links_.empty()) return {};
  LibbpfLog log;
  std::vector<Link> links;
  for (const Hook& hook : kHooks) {
    bpf_program* program = program_of(hook);
    if (!bpf_program__autoload(program)) continue;
    Link link(bpf_program__attach(program));
    if (!link) return log.load_error(std::string("the hook on ") + hook.type);
    links.push_back(std::move(link));
  }
  links_ = std::move(links);
  return {};
}

Result<std::size_t> EbpfEvents::drain(const OnBatch& on_batch) {
  const std::uint64_t offset = tai_offset_ns(clock_);
  unsigned cpu = 0;
  std::size_t given = 0;
  auto hand_on = [&] {
    if (batch_.empty()) return;
    given += batch_.size();
    on_batch(Batch{cpu, true, batch_});
    batch_.clear();
  };
  batch_.clear();
  auto drained = ring_->drain([&](ByteView record) -> Result<void> {
    auto lift = ByteReader(record).take_struct<fl_event_lift>();
    if (!lift || record.size() != sizeof(fl_event_lift)) {
      return fail(Code::invalid,
                  "a record of the event ring is not of this version's form; programs and daemon "
                  "must come from one build");
    }
    if (lift->cpu != cpu) hand_on();
    cpu = lift->cpu;
    lift->record.head.timestamp -= offset;
    if (lift->record.head.event == MAGNET_LOST) lift->record.ext.lost.first -= offset;
    batch_.push_back(lift->record);
    return {};
  });
  hand_on();
  if (!drained) return drained.error();
  return given;
}

Result<magnet::Accounting> EbpfEvents::accounting() const {
  auto counted = sum_counters<fl_event_counters>(map_fd("event_counters"), 0);
  if (!counted) return counted.error();
  magnet::Accounting sum{counted->recorded, counted->lost, 0};
  for (const Hook& hook : kHooks) {
    bpf_program* program = program_of(hook);
    if (!bpf_program__autoload(program)) continue;
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
      return fail_errno("asking what a program missed");
    sum.missed += info.recursion_misses;
  }
  return sum;
}

}  // namespace

Result<std::unique_ptr<HostEvents>> HostEvents::open(const HostEventOptions& options) {
  auto events = EbpfEvents::open(options);
  if (!events) return std::move(events.error()).in("host events by eBPF");
  return std::unique_ptr<HostEvents>(std::move(*events));
}

}  // namespace fieldline::source
