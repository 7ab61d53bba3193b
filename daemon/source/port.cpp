// SPDX-License-Identifier: Apache-2.0
#include "source/port.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "source/port_lease.h"

namespace fieldline::source {
namespace {

constexpr TcHook::Owner kOwner{"fl_classify_tc", 8621};

const char* name_of(Place place) {
  return place == Place::tap ? "tap" : place == Place::in ? "in" : "out";
}

Result<Fd> hold_promiscuous(const Interface& interface) {
  // Protocol 0: no packet is ever delivered to it.
  Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("opening a packet socket (needs CAP_NET_RAW)");
  packet_mreq request{};
  request.mr_ifindex = interface.index;
  request.mr_type = PACKET_MR_PROMISC;
  if (setsockopt(socket.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request)) {
    return fail_errno("setting promiscuous mode");
  }
  return socket;
}

// No descriptor: the driver refuses, for the reason in `why`.
Result<Fd> attach_native(const Interface& interface, int program_fd, std::string& why) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  const int fd = bpf_link_create(program_fd, interface.index, BPF_XDP, &options);
  if (fd >= 0) return Fd(fd);
  const std::string cause = std::string("attaching native XDP: ") + std::strerror(errno);
  switch (errno) {
    case EBUSY:
    case EEXIST:
      return fail(Code::invalid,
                  cause +
                      "; another XDP program is on it. See: bpftool net; remove it with its "
                      "owner, or run: ip link set dev " +
                      interface.name + " xdp off");
    case EOPNOTSUPP:
      why = "its driver has no native XDP";
      return Fd();
    case ERANGE:
    case EINVAL:
    case ENOSPC:
      // Too long frames, too few queues: each driver has errors and reasons of its own.
      why = "its driver refuses native XDP at its present settings (" +
            std::string(std::strerror(errno)) + "; see dmesg; often helps: ip link set dev " +
            interface.name + " mtu 1500, or ethtool -L " + interface.name + " with fewer queues)";
      return Fd();
    default:
      return fail(Code::io, cause);
  }
}

}  // namespace

std::uint32_t Port::action(Place place, Hook hook) {
  if (hook == Hook::xdp) return XDP_DROP;
  // UNSPEC: the next program, filter, or the stack decides.
  return static_cast<std::uint32_t>(place == Place::tap ? TC_ACT_SHOT : TC_ACT_UNSPEC);
}

Result<Port> Port::open(const PortPlan& plan, const Programs& programs) {
  auto interface = read_for(plan);
  if (!interface) return interface.error();
  Port port;
  port.interface_ = std::move(*interface);
  const auto way = plan.place == Place::out ? TcHook::Way::egress : TcHook::Way::ingress;
  auto lease = lease_port(port.interface_.index, name_of(plan.place));
  if (!lease) return std::move(lease.error()).in("interface " + plan.interface);
  port.lease_ = std::move(*lease);
  auto opened = plan.place == Place::tap ? port.open_tap(programs) : port.open_hook(way, programs);
  if (!opened) return std::move(opened.error()).in("interface " + plan.interface);
  return port;
}

Result<void> Port::open_tap(const Programs& programs) {
  auto promiscuous = hold_promiscuous(interface_);
  if (!promiscuous) return promiscuous.error();
  promiscuous_ = std::move(*promiscuous);
  // Before the program: veth shows GRO as on while it has one.
  auto offloads = OffloadsOff::hold(interface_.name, interface_.index);
  if (!offloads) return offloads.error();
  offloads_.emplace(std::move(*offloads));
  auto program = programs(Hook::xdp);
  if (!program) return program.error();
  auto link = attach_native(interface_, *program, remark_);
  if (!link) return link.error();
  xdp_ = std::move(*link);
  if (xdp_) return {};
  if (auto hooked = open_hook(TcHook::Way::ingress, programs); !hooked) return hooked.error();
  if (hook_->outlives_process()) {
    remark_ += "; should it be killed, what it leaves goes on consuming: tc qdisc del dev " +
               interface_.name + " clsact";
  }
  return {};
}

Result<void> Port::open_hook(TcHook::Way way, const Programs& programs) {
  auto program = programs(Hook::tc);
  if (!program) return program.error();
  auto hook = TcHook::attach(interface_.index, way, *program, kOwner);
  if (!hook) return hook.error();
  hook_.emplace(std::move(*hook));
  return {};
}

}  // namespace fieldline::source
