// SPDX-License-Identifier: Apache-2.0
#include "cli/sockets.h"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>

#include "base/file.h"

namespace fieldline::cli {

namespace {

struct CloseDirectory {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

void name_sockets_of(const std::string& pid, const std::multimap<std::uint32_t, Socket*>& wanted) {
  Directory fds(::opendir(("/proc/" + pid + "/fd").c_str()));
  if (!fds) return;
  while (const dirent* entry = ::readdir(fds.get())) {
    auto [from, to] = wanted.equal_range(socket_inode(::dirfd(fds.get()), entry->d_name));
    for (auto it = from; it != to; ++it) {
      if (!it->second->owner.empty()) continue;
      auto command = read_file("/proc/" + pid + "/comm", 256);
      std::string name = command ? *command : "";
      while (!name.empty() && name.back() == '\n') name.pop_back();
      it->second->owner = pid + " " + name;
    }
  }
}

}  // namespace

std::uint32_t socket_inode(int directory, const char* name) {
  char target[64];
  ssize_t n = ::readlinkat(directory, name, target, sizeof target);
  std::string_view link(target, n > 0 ? static_cast<std::size_t>(n) : 0);
  constexpr std::string_view kHead = "socket:[";
  std::uint32_t inode = 0;
  if (link.starts_with(kHead)) std::from_chars(target + kHead.size(), target + n, inode);
  return inode;
}

Result<std::vector<Socket>> find_sockets(const std::vector<Address>& remotes, uid_t uid) {
  auto kernel = SockDiag::open();
  if (!kernel) {
    return fail(kernel.error().code, kernel.error().text() + "; name the flow with --flow instead");
  }
  std::vector<Socket> found;
  for (int family : {AF_INET, AF_INET6}) {
    for (int protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
      auto all = kernel->sockets(family, protocol);
      if (!all) return all.error();
      for (auto& socket : *all) {
        bool wanted = std::find(remotes.begin(), remotes.end(), socket.remote) != remotes.end();
        bool own = uid == 0 || socket.uid == uid;
        if (wanted && own && socket.remote_port != 0) found.push_back({socket, {}});
      }
    }
  }
  return found;
}

void name_owners(std::vector<Socket>& sockets) {
  std::multimap<std::uint32_t, Socket*> wanted;
  for (auto& socket : sockets) {
    if (socket.inode != 0) wanted.emplace(socket.inode, &socket);
  }
  Directory proc(wanted.empty() ? nullptr : ::opendir("/proc"));
  if (!proc) return;
  while (const dirent* entry = ::readdir(proc.get())) {
    std::string name = entry->d_name;
    if (name.find_first_not_of("0123456789") == std::string::npos) name_sockets_of(name, wanted);
  }
}

}  // namespace fieldline::cli
