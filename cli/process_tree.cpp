// SPDX-License-Identifier: Apache-2.0
#include "cli/process_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <string>
#include <string_view>

#include "base/file.h"
#include "cli/sockets.h"

namespace fieldline::cli {
namespace {

// "7 (a) b) S 1 ...": the parent stands behind the state, and a name may hold anything.
pid_t parent_in(std::string_view stat) {
  const std::size_t name_end = stat.rfind(") ");
  pid_t parent = 0;
  if (name_end != std::string_view::npos && stat.size() > name_end + 4)
    std::from_chars(stat.data() + name_end + 4, stat.data() + stat.size(), parent);
  return parent;
}

}  // namespace

// By the parents of all processes: /proc/PID/task/TID/children is not in every kernel.
std::vector<pid_t> descendants_of(pid_t process) {
  std::multimap<pid_t, pid_t> children;
  auto names = system_files().list("/proc");
  if (!names) return {};
  for (const auto& name : *names) {
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    if (auto stat = read_file("/proc/" + name + "/stat", 4096))
      children.emplace(parent_in(*stat), pid);
  }
  std::vector<pid_t> found{process};
  for (std::size_t at = 0; at < found.size(); ++at) {
    const auto [from, to] = children.equal_range(found[at]);
    for (auto child = from; child != to; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

HeldSockets sockets_of(const std::vector<pid_t>& processes) {
  HeldSockets held;
  for (const pid_t pid : processes) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    auto names = system_files().list(folder);
    if (!names && ::access(folder.c_str(), F_OK) == 0) ++held.closed_to_us;
    if (!names) continue;
    for (const auto& name : *names) {
      if (const std::uint32_t inode = socket_inode(AT_FDCWD, (folder + "/" + name).c_str()))
        held.inodes.insert(inode);
    }
  }
  return held;
}

}  // namespace fieldline::cli
