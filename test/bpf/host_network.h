// SPDX-License-Identifier: Apache-2.0
// A network namespace of a test's own with a working loopback, and traffic in it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "source/source.h"

namespace fieldline {

inline void shell(const std::string& command) {
  INFO(command);
  REQUIRE(std::system(command.c_str()) == 0);
}

class HostNetwork {
 public:
  HostNetwork() : before_(open_self()) {
    REQUIRE(before_);
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    shell("ip link set dev lo up");
  }
  ~HostNetwork() { setns(before_.get(), CLONE_NEWNET); }

  static Fd open_self() {
    FILE* file = std::fopen("/proc/thread-self/ns/net", "re");
    Fd fd(file ? dup(fileno(file)) : -1);
    if (file) std::fclose(file);
    return fd;
  }

  // One counter of /proc/net/snmp of this namespace, such as "Tcp" "RetransSegs".
  static std::uint64_t snmp(const std::string& group, const std::string& name) {
    return counter("snmp", group, name);
  }
  static std::uint64_t counter(const std::string& file, const std::string& group,
                               const std::string& name) {
    auto text = read_file("/proc/thread-self/net/" + file);
    REQUIRE(text.has_value());
    const auto first = text->find(group + ": ");
    const auto second = text->find(group + ": ", first + 1);
    auto words = [&](std::size_t from) {
      std::vector<std::string> list;
      std::string line = text->substr(from, text->find('\n', from) - from), word;
      for (char c : line + " ") {
        if (c != ' ') {
          word += c;
        } else {
          list.push_back(std::exchange(word, {}));
        }
      }
      return list;
    };
    const auto names = words(first), values = words(second);
    for (std::size_t i = 1; i < names.size(); ++i) {
      if (names[i] == name) return std::stoull(values.at(i));
    }
    FAIL("no counter " << name);
    return 0;
  }

 private:
  Fd before_;
};

// A connected pair over loopback: `client` opened it.
struct TcpPair {
  Fd client, server;
  std::uint16_t client_port = 0, server_port = 0;
};

inline std::uint64_t cookie_of(const Fd& socket) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  REQUIRE(getsockopt(socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0);
  return cookie;
}

inline sockaddr_storage loopback(int family, std::uint16_t port, socklen_t& size) {
  sockaddr_storage address{};
  if (family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = IN6ADDR_LOOPBACK_INIT;
    size = sizeof v6;
  }
  return address;
}

inline std::uint16_t port_of(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
}

inline TcpPair connect_tcp(int family, std::uint16_t port) {
  socklen_t size = 0;
  auto address = loopback(family, port, size);
  Fd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(listen(listener.get(), 1) == 0);
  TcpPair pair;
  pair.client = Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(connect(pair.client.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  pair.server = Fd(accept(listener.get(), nullptr, nullptr));
  REQUIRE(pair.server);
  pair.client_port = port_of(pair.client);
  pair.server_port = port;
  return pair;
}

// Sends `bytes` in calls of `piece` and reads them at the other end; returns the number of send
// calls.
inline std::size_t exchange(const TcpPair& pair, std::size_t bytes, std::size_t piece) {
  std::vector<char> buffer(piece);
  std::size_t calls = 0;
  for (std::size_t sent = 0; sent < bytes; ++calls) {
    const std::size_t n = std::min(piece, bytes - sent);
    REQUIRE(send(pair.client.get(), buffer.data(), n, 0) == static_cast<ssize_t>(n));
    for (std::size_t got = 0; got < n;) {
      const ssize_t r = recv(pair.server.get(), buffer.data(), n - got, 0);
      REQUIRE(r > 0);
      got += static_cast<std::size_t>(r);
    }
    sent += n;
  }
  return calls;
}

// Entries for a grant of loopback's own address with a port at host B.
std::vector<source::FlowEntry> flow_of(int family, std::uint8_t protocol, std::uint16_t port);

}  // namespace fieldline
