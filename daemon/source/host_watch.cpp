// SPDX-License-Identifier: Apache-2.0
#include "source/host_watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/fd.h"
#include "host_trigger.skel.h"
#include "source/flow_table.h"
#include "source/libbpf_log.h"
#include "source/rings.h"

namespace fieldline::source {
namespace {

// enum bpf_attach_type and link flags of Linux 6.6, which Debian 12's headers do not name.
constexpr int kTcxIngress = 46, kTcxEgress = 47;
constexpr std::uint32_t kBefore = 1u << 3;  // in front of others, who may end the packet's way

// What tells a filter of ours from others': its place and the program's name.
constexpr std::uint32_t kHandle = 1, kPriority = 8620;
constexpr const char* kProgram = "fl_host_watch";

struct DestroySkeleton {
  void operator()(host_trigger* skeleton) const { host_trigger__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<host_trigger, DestroySkeleton>;

// One clsact filter; destruction removes it. The qdisc stays: others may have come to use it, and
// an empty one passes everything.
class Filter {
 public:
  Filter(int ifindex, bpf_tc_attach_point point) : ifindex_(ifindex), point_(point) {}
  Filter(Filter&& other) noexcept
      : ifindex_(std::exchange(other.ifindex_, 0)), point_(other.point_) {}
  Filter& operator=(Filter&&) = delete;
  ~Filter() {
    if (ifindex_ == 0) return;
    LibbpfLog log;
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex_, .attach_point = point_);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = kHandle, .priority = kPriority);
    bpf_tc_detach(&hook, &options);
  }

 private:
  int ifindex_;
  bpf_tc_attach_point point_;
};

bool is_ours(std::uint32_t program_id) {
  Fd program(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  return program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
         std::strncmp(info.name, kProgram, sizeof info.name) == 0;
}

Result<void> check_type(const std::string& name) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  if (!socket || ioctl(socket.get(), SIOCGIFHWADDR, &request)) {
    return fail(Code::not_found, "there is no interface " + name + " here; see: ip -brief link");
  }
  const auto type = request.ifr_hwaddr.sa_family;
  if (type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK) return {};
  return fail(Code::unsupported, "interface " + name +
                                     " has no Ethernet header; name the interface that carries its "
                                     "packets, or leave it out");
}

// Parts of traffic control that clsact needs are modules, which some kernels leave out and some
// hosts may not load.
Error clsact_error(const std::string& what, int error) {
  errno = error;
  Error failed = fail_errno(what);
  const std::string remedy = clsact_remedy(error);
  return remedy.empty() ? failed : fail(Code::unsupported, failed.context + "; " + remedy);
}

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

  const char* attachment() const override { return only_clsact_ ? "clsact" : "tcx"; }
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
  Result<bool> attach_tcx(int ifindex);
  Result<void> attach_clsact(int ifindex, bpf_tc_attach_point point);
  int program_fd() const { return bpf_program__fd(skeleton_->progs.fl_host_watch); }

  bool only_clsact_ = false;
  Skeleton skeleton_;
  std::unique_ptr<Ring> ring_;
  std::vector<Fd> links_;
  std::vector<Filter> filters_;
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
  if (auto checked = check_type(name); !checked) return checked.error();
  const std::uint32_t ifindex = if_nametoindex(name.c_str());
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.watched), &ifindex, &index, BPF_NOEXIST)) {
    if (errno == EEXIST) return fail(Code::invalid, "it is listed twice");
    return fail_errno("naming it to the program");
  }
  if (!only_clsact_) {
    auto linked = attach_tcx(static_cast<int>(ifindex));
    if (!linked) return linked.error();
    if (*linked) return {};
    only_clsact_ = true;
  }
  for (auto point : {BPF_TC_INGRESS, BPF_TC_EGRESS}) {
    auto attached = attach_clsact(static_cast<int>(ifindex), point);
    if (!attached) return attached.error();
  }
  return {};
}

// False: this kernel has no tcx.
Result<bool> TcWatch::attach_tcx(int ifindex) {
  for (int type : {kTcxIngress, kTcxEgress}) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBefore);
    Fd link(bpf_link_create(program_fd(), ifindex, static_cast<bpf_attach_type>(type), &options));
    if (!link && errno == EINVAL && links_.empty()) return false;
    if (!link) return fail_errno("attaching to its tc hook");
    links_.push_back(std::move(link));
  }
  return true;
}

Result<void> TcWatch::attach_clsact(int ifindex, bpf_tc_attach_point point) {
  LibbpfLog log;
  const int both = BPF_TC_INGRESS | BPF_TC_EGRESS;
  LIBBPF_OPTS(bpf_tc_hook, qdisc, .ifindex = ifindex,
              .attach_point = static_cast<bpf_tc_attach_point>(both));
  if (int error = bpf_tc_hook_create(&qdisc); error && error != -EEXIST)
    return clsact_error("adding the clsact qdisc", -error);
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = point);
  LIBBPF_OPTS(bpf_tc_opts, there, .handle = kHandle, .priority = kPriority);
  const bool taken = bpf_tc_query(&hook, &there) == 0;
  if (taken && !is_ours(there.prog_id)) {
    return fail(Code::invalid, "another filter has priority " + std::to_string(kPriority) +
                                   "; see: tc filter show dev ... ingress, and remove it");
  }
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_fd(),
              .flags = taken ? __u32{BPF_TC_F_REPLACE} : 0u, .handle = kHandle,
              .priority = kPriority);
  if (int error = bpf_tc_attach(&hook, &filter)) {
    if (!clsact_remedy(-error).empty()) return clsact_error("adding a clsact filter", -error);
    errno = -error;
    return log.load_error("a clsact filter");
  }
  filters_.emplace_back(ifindex, point);
  return {};
}

}  // namespace

std::string clsact_remedy(int error) {
  if (error != ENOENT && error != EOPNOTSUPP) return {};
  return "this kernel has not loaded clsact or its BPF classifier: modprobe -a sch_ingress cls_bpf "
         "(Debian has them in linux-image-$(uname -r)); Linux 6.6 and newer do without them";
}

Result<std::unique_ptr<HostWatch>> HostWatch::open(const HostWatchOptions& options) {
  auto watch = std::make_unique<TcWatch>();
  auto started = watch->start(options);
  if (!started) return std::move(started.error()).in("host's interfaces");
  return std::unique_ptr<HostWatch>(std::move(watch));
}

}  // namespace fieldline::source
