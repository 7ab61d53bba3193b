// SPDX-License-Identifier: Apache-2.0
#include "cli/command_sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/process_tree.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kDoubt = kNanosPerSecond;

}  // namespace

Result<CommandSockets> CommandSockets::of_cgroup(std::uint64_t cgroup) {
  auto kernel = SockDiag::open();
  if (!kernel) return kernel.error();
  CommandSockets made(std::move(*kernel));
  made.cgroup_ = cgroup;
  // A kernel without the filter (before 5.9) refuses it.
  auto first = made.all();
  if (!first) return std::move(first.error()).in("sockets of one cgroup");
  return made;
}

Result<CommandSockets> CommandSockets::of_tree(pid_t keeper) {
  auto kernel = SockDiag::open();
  if (!kernel) return kernel.error();
  CommandSockets made(std::move(*kernel));
  made.keeper_ = keeper;
  return made;
}

Result<std::vector<DiagSocket>> CommandSockets::all() {
  std::vector<DiagSocket> sockets;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const int protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
      auto some = kernel_.sockets(family, protocol, true, cgroup_);
      if (!some) return some.error();
      sockets.insert(sockets.end(), some->begin(), some->end());
    }
  }
  return sockets;
}

// Leaves the command's own. What is gone is forgotten.
void CommandSockets::choose(std::vector<DiagSocket>& sockets, std::uint64_t now_ns) {
  std::map<std::uint64_t, std::uint64_t> strangers;
  std::set<std::uint64_t> own;
  std::optional<HeldSockets> held;
  std::erase_if(sockets, [&](const DiagSocket& socket) {
    const auto stranger = strangers_.find(socket.cookie);
    bool ours = own_.contains(socket.cookie);
    const bool asked = !ours && socket.inode != 0 &&
                       (stranger == strangers_.end() || now_ns - stranger->second < kDoubt);
    if (asked) {
      if (!held) held = sockets_of(descendants_of(keeper_));
      ours = held->inodes.contains(socket.inode);
    }
    if (ours) {
      own.insert(socket.cookie);
    } else if (socket.inode != 0) {  // without one nobody holds it yet (accept()), or any more
      strangers.emplace(socket.cookie, stranger == strangers_.end() ? now_ns : stranger->second);
    }
    return !ours;
  });
  if (held) closed_to_us_ = std::max(closed_to_us_, held->closed_to_us);
  own_.swap(own);
  strangers_.swap(strangers);
}

Result<std::vector<DiagSocket>> CommandSockets::look(std::uint64_t now_ns) {
  auto sockets = all();
  if (sockets && !cgroup_) choose(*sockets, now_ns);
  return sockets;
}

}  // namespace fieldline::cli
