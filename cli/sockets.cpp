// SPDX-License-Identifier: Apache-2.0
#include "cli/sockets.h"

#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>

#include "base/fd.h"
#include "base/file.h"

namespace fieldline::cli {

namespace {

constexpr std::uint32_t kSequence = 1;
constexpr int kDumpTries = 5;

constexpr std::uint32_t bit(int state) {
  return 1u << state;
}
// A connected UDP socket is in TCP_ESTABLISHED, an unconnected one in TCP_CLOSE.
constexpr std::uint32_t kConnected = bit(TCP_ESTABLISHED) | bit(TCP_SYN_SENT) | bit(TCP_SYN_RECV) |
                                     bit(TCP_FIN_WAIT1) | bit(TCP_FIN_WAIT2) | bit(TCP_CLOSE_WAIT) |
                                     bit(TCP_LAST_ACK) | bit(TCP_CLOSING);

Result<void> ask(int fd, int family, int protocol) {
  struct {
    nlmsghdr head;
    inet_diag_req_v2 body;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.head.nlmsg_seq = kSequence;
  request.body.sdiag_family = static_cast<std::uint8_t>(family);
  request.body.sdiag_protocol = static_cast<std::uint8_t>(protocol);
  request.body.idiag_ext = 1 << (INET_DIAG_TOS - 1) | 1 << (INET_DIAG_TCLASS - 1);
  request.body.idiag_states = kConnected;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(fd, &request, sizeof request, 0, reinterpret_cast<sockaddr*>(&kernel),
               sizeof kernel) < 0) {
    return fail_errno("asking the kernel for sockets");
  }
  return {};
}

Address address_of(int family, const std::uint32_t* words) {
  Address address;
  if (family == AF_INET6) {
    std::memcpy(address.bytes.data(), words, 16);
  } else {
    address.bytes[10] = address.bytes[11] = 0xff;
    std::memcpy(address.bytes.data() + 12, words, 4);
  }
  return address;
}

// The attributes behind the message: only TOS and TCLASS are asked for.
std::uint8_t traffic_class(ByteView attributes) {
  std::uint8_t found = 0;
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr head;
    std::memcpy(&head, attributes.data(), sizeof head);
    if (head.rta_len < sizeof head || head.rta_len > attributes.size()) break;
    bool wanted = head.rta_type == INET_DIAG_TOS || head.rta_type == INET_DIAG_TCLASS;
    if (wanted && head.rta_len > sizeof head && attributes[sizeof head] != 0) {
      found = attributes[sizeof head];
    }
    attributes =
        attributes.subspan(std::min<std::size_t>(RTA_ALIGN(head.rta_len), attributes.size()));
  }
  return found;
}

Socket socket_of(const inet_diag_msg& message, int protocol, ByteView attributes) {
  Socket socket;
  socket.protocol = static_cast<std::uint8_t>(protocol);
  socket.local = address_of(message.idiag_family, message.id.idiag_src);
  socket.remote = address_of(message.idiag_family, message.id.idiag_dst);
  socket.local_port = ntohs(message.id.idiag_sport);
  socket.remote_port = ntohs(message.id.idiag_dport);
  socket.cookie =
      static_cast<std::uint64_t>(message.id.idiag_cookie[1]) << 32 | message.id.idiag_cookie[0];
  socket.uid = message.idiag_uid;
  socket.inode = message.idiag_inode;
  socket.tos = traffic_class(attributes);
  return socket;
}

struct Dump {
  std::vector<Socket> sockets;
  bool done = false, interrupted = false;
};

// One datagram of netlink messages.
Result<void> take_messages(ByteView bytes, int protocol, Dump& dump) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr head;
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes.size()) {
      return fail(Code::truncated,
                  "sock_diag: a message of " + std::to_string(head.nlmsg_len) + " bytes is cut");
    }
    ByteView body = bytes.subspan(sizeof head, head.nlmsg_len - sizeof head);
    if ((head.nlmsg_flags & NLM_F_DUMP_INTR) != 0) dump.interrupted = true;
    if (head.nlmsg_type == NLMSG_DONE) dump.done = true;
    if (head.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      if (body.size() >= sizeof error) std::memcpy(&error, body.data(), sizeof error);
      errno = -error;
      return fail_errno("sock_diag");
    }
    if (head.nlmsg_type == SOCK_DIAG_BY_FAMILY && body.size() >= sizeof(inet_diag_msg)) {
      inet_diag_msg message;
      std::memcpy(&message, body.data(), sizeof message);
      dump.sockets.push_back(socket_of(message, protocol, body.subspan(sizeof message)));
    }
    bytes = bytes.subspan(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len), bytes.size()));
  }
  return {};
}

Result<Dump> dump_once(int family, int protocol) {
  Fd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) return fail_errno("opening a sock_diag socket; name the flow with --flow instead");
  if (auto asked = ask(fd.get(), family, protocol); !asked) return asked.error();
  Dump dump;
  Bytes buffer(65536);
  while (!dump.done) {
    ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading sockets from the kernel");
    auto taken = take_messages(ByteView(buffer).first(static_cast<std::size_t>(n)), protocol, dump);
    if (!taken) return taken.error();
  }
  return dump;
}

// A dump that the kernel marks as interrupted may miss sockets; the last try is taken as it is.
Result<std::vector<Socket>> dump_all(int family, int protocol) {
  for (int tries = 1;; ++tries) {
    auto dump = dump_once(family, protocol);
    if (!dump) return dump.error();
    if (!dump->interrupted || tries == kDumpTries) return std::move(dump->sockets);
  }
}

struct CloseDirectory {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

std::uint32_t socket_inode(int directory, const char* name) {
  char target[64];
  ssize_t n = ::readlinkat(directory, name, target, sizeof target);
  std::string_view link(target, n > 0 ? static_cast<std::size_t>(n) : 0);
  constexpr std::string_view kHead = "socket:[";
  std::uint32_t inode = 0;
  if (link.starts_with(kHead)) std::from_chars(target + kHead.size(), target + n, inode);
  return inode;
}

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

Result<std::vector<Socket>> find_sockets(const std::vector<Address>& remotes, uid_t uid) {
  std::vector<Socket> found;
  for (int family : {AF_INET, AF_INET6}) {
    for (int protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
      auto all = dump_all(family, protocol);
      if (!all) return all.error();
      for (auto& socket : *all) {
        bool wanted = std::find(remotes.begin(), remotes.end(), socket.remote) != remotes.end();
        bool own = uid == 0 || socket.uid == uid;
        if (wanted && own && socket.remote_port != 0) found.push_back(std::move(socket));
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
