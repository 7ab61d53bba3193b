// SPDX-License-Identifier: Apache-2.0
#include "source/port.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "source/interface.h"

namespace fieldline::source {
namespace {

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

Result<Fd> attach_native(const Interface& interface, int program_fd) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  const int fd = bpf_link_create(program_fd, interface.index, BPF_XDP, &options);
  if (fd >= 0) return Fd(fd);
  const std::string name = interface.name;
  const std::string cause = std::string("attaching native XDP: ") + std::strerror(errno);
  switch (errno) {
    case EBUSY:
    case EEXIST:
      return fail(Code::invalid,
                  cause +
                      "; another XDP program is on it. See: bpftool net; remove it with its "
                      "owner, or run: ip link set dev " +
                      name + " xdp off");
    case EOPNOTSUPP:
      return fail(Code::unsupported,
                  cause + "; its driver has no native XDP. Use a port of another driver");
    case ERANGE:
    case EINVAL:
      return fail(Code::unsupported,
                  cause + "; the driver refuses its present settings. Run: ip link set dev " +
                      name + " mtu 1500, and see the kernel's log for the driver's reason");
    default:
      return fail(Code::io, cause);
  }
}

}  // namespace

Result<void> Port::check(const std::string& name) {
  auto interface = read_interface(name);
  if (!interface) return interface.error();
  return check_is_tap(*interface);
}

Result<Port> Port::open(const std::string& name, int program_fd) {
  auto interface = read_interface(name);
  if (!interface) return interface.error();
  if (auto tap = check_is_tap(*interface); !tap) return tap.error();
  auto promiscuous = hold_promiscuous(*interface);
  if (!promiscuous) return std::move(promiscuous.error()).in("interface " + name);
  auto link = attach_native(*interface, program_fd);
  if (!link) return std::move(link.error()).in("interface " + name);
  Port port;
  port.promiscuous_ = std::move(*promiscuous);
  port.link_ = std::move(*link);
  return port;
}

}  // namespace fieldline::source
