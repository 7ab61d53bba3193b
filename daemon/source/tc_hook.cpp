// SPDX-License-Identifier: Apache-2.0
#include "source/tc_hook.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "source/libbpf_log.h"
#include "source/netlink.h"

namespace fieldline::source {
namespace {

// enum bpf_attach_type and link flags of Linux 6.6, which Debian 12's headers do not name.
constexpr int kTcxIngress = 46, kTcxEgress = 47;
constexpr std::uint32_t kBefore = 1u << 3;

constexpr std::uint32_t kHandle = 1;

bool is_of(std::uint32_t program_id, const char* name) {
  Fd program(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  return program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
         std::strncmp(info.name, name, sizeof info.name) == 0;
}

// Parts of traffic control that clsact needs are modules, which some kernels leave out and some
// hosts may not load.
Error clsact_error(const std::string& what, int error) {
  errno = error;
  Error failed = fail_errno(what);
  const std::string remedy = clsact_remedy(error);
  return remedy.empty() ? failed : fail(Code::unsupported, failed.context + "; " + remedy);
}

// clsact and ingress take the same place. An ingress qdisc has one list of filters for both ways: a
// filter for what goes out would stand in the place of the one for what comes in.
Result<void> check_is_clsact(int ifindex) {
  std::string kind;
  auto read = netlink::qdiscs([&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    auto qdisc = reader.take_struct<tcmsg>();
    if (type != RTM_NEWQDISC || !qdisc || qdisc->tcm_ifindex != ifindex) return;
    if (qdisc->tcm_parent != TC_H_CLSACT) return;
    netlink::each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute == TCA_KIND) kind = netlink::text_of(value);
    });
  });
  if (!read) return std::move(read.error()).in("its qdiscs");
  if (kind == "clsact") return {};
  return fail(Code::invalid, "a qdisc of kind " + kind +
                                 " has the place of clsact, which has filters for both ways; make "
                                 "it clsact, which serves both: tc qdisc del dev DEVICE ingress && "
                                 "tc qdisc add dev DEVICE clsact, and add its filters again");
}

}  // namespace

std::string clsact_remedy(int error) {
  if (error != ENOENT && error != EOPNOTSUPP) return {};
  return "this kernel has not loaded clsact or its BPF classifier: modprobe -a sch_ingress cls_bpf "
         "(Debian has them in linux-image-$(uname -r)); Linux 6.6 and newer do without them";
}

TcHook::TcHook(TcHook&& other) noexcept
    : link_(std::move(other.link_)),
      filter_on_(std::exchange(other.filter_on_, 0)),
      point_(other.point_),
      priority_(other.priority_) {}

// The qdisc stays: others may have come to use it, and an empty one passes everything.
TcHook::~TcHook() {
  if (filter_on_ == 0) return;
  LibbpfLog log;
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = filter_on_,
              .attach_point = static_cast<bpf_tc_attach_point>(point_));
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = kHandle, .priority = priority_);
  bpf_tc_detach(&hook, &options);
}

Result<TcHook> TcHook::attach(int ifindex, Way way, int program_fd, const Owner& owner,
                              bool only_clsact) {
  TcHook hook;
  if (!only_clsact) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBefore);
    const int type = way == Way::ingress ? kTcxIngress : kTcxEgress;
    hook.link_ =
        Fd(bpf_link_create(program_fd, ifindex, static_cast<bpf_attach_type>(type), &options));
    if (hook.link_) return hook;
    if (errno != EINVAL) return fail_errno("attaching to its tc hook");
  }
  const int point = way == Way::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  if (auto attached = hook.attach_clsact(ifindex, point, program_fd, owner); !attached)
    return attached.error();
  return hook;
}

Result<void> TcHook::attach_clsact(int ifindex, int point, int program_fd, const Owner& owner) {
  LibbpfLog log;
  const int both = BPF_TC_INGRESS | BPF_TC_EGRESS;
  LIBBPF_OPTS(bpf_tc_hook, qdisc, .ifindex = ifindex,
              .attach_point = static_cast<bpf_tc_attach_point>(both));
  if (int error = bpf_tc_hook_create(&qdisc); error && error != -EEXIST) {
    return clsact_error("adding the clsact qdisc", -error);
  } else if (error) {
    if (auto checked = check_is_clsact(ifindex); !checked) return checked.error();
  }
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
              .attach_point = static_cast<bpf_tc_attach_point>(point));
  LIBBPF_OPTS(bpf_tc_opts, there, .handle = kHandle, .priority = owner.priority);
  const bool taken = bpf_tc_query(&hook, &there) == 0;
  if (taken && !is_of(there.prog_id, owner.program)) {
    return fail(Code::invalid, "another filter has priority " + std::to_string(owner.priority) +
                                   "; see: tc filter show dev ... ingress, and remove it");
  }
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_fd,
              .flags = taken ? __u32{BPF_TC_F_REPLACE} : 0u, .handle = kHandle,
              .priority = owner.priority);
  if (int error = bpf_tc_attach(&hook, &filter)) {
    if (!clsact_remedy(-error).empty()) return clsact_error("adding a clsact filter", -error);
    errno = -error;
    return log.load_error("a clsact filter");
  }
  filter_on_ = ifindex;
  point_ = point;
  priority_ = owner.priority;
  return {};
}

}  // namespace fieldline::source
