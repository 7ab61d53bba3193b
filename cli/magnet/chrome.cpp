// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/chrome.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/address.h"
#include "base/clock.h"
#include "magnet/names.h"

namespace fieldline::cli {

namespace {

std::string host_of(const TraceInfo& trace) {
  return trace.header.host.empty() ? trace.file : trace.header.host;
}

std::string endpoint(const __u8 (&bytes)[16], std::uint16_t port) {
  Address address;
  std::copy(std::begin(bytes), std::end(bytes), address.bytes.begin());
  const std::string text = address.to_string();
  return address.is_v4() ? fmt::format("{}:{}", text, port) : fmt::format("[{}]:{}", text, port);
}

}  // namespace

Result<ChromeSink> ChromeSink::create(const std::string& path) {
  if (path == "-") return ChromeSink(Fd(), STDOUT_FILENO);
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd && errno == EEXIST)
    return fail(Code::invalid, path + " is there already; --chrome makes a new file");
  if (!fd) return fail_errno("creating " + path);
  const int descriptor = fd.get();
  return ChromeSink(std::move(fd), descriptor);
}

Result<void> ChromeSink::add(const std::string& document) {
  const char* before = std::exchange(first_, false) ? "\n" : ",\n";
  return output_.write(before + document);
}

Result<void> ChromeSink::name_thread(unsigned process, unsigned thread, const std::string& name) {
  return add(
      fmt::format(R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":"{}"}}}})",
                  process, thread, name));
}

Result<void> ChromeSink::begin(const TraceSet& set) {
  start_ = set.start_utc_ns;
  auto written = output_.write(fmt::format(
      R"({{"displayTimeUnit":"ns","otherData":{{"start":"{}","start_ns":{}}},"traceEvents":[)",
      format_utc(start_), start_));
  std::vector<std::string> hosts;
  for (const auto& trace : set.traces) {
    if (!written) return written;
    const std::string host = host_of(trace);
    auto known = std::find(hosts.begin(), hosts.end(), host);
    processes_.push_back(static_cast<unsigned>(known - hosts.begin()) + 1);
    if (known != hosts.end()) continue;
    hosts.push_back(host);
    written = add(fmt::format(R"({{"name":"process_name","ph":"M","pid":{},"args":{{"name":{}}}}})",
                              processes_.back(), json_string(host)));
  }
  return written;
}

// Microseconds with their nanoseconds; from the start, since doubles do not hold UTC.
std::string ChromeSink::common(const magnet::Event& event, const Socket& socket) const {
  const std::uint64_t utc = event.when.utc_ns;
  const std::uint64_t ns = utc >= start_ ? utc - start_ : start_ - utc;
  return fmt::format(R"("pid":{},"tid":{},"ts":{}{}.{:03})", processes_[event.trace], socket.thread,
                     utc >= start_ ? "" : "-", ns / 1000, ns % 1000);
}

Result<void> ChromeSink::open_or_close(const magnet::Event& event, Socket& socket) {
  const bool opens = event.record.head.event == MAGNET_SOCK_OPEN;
  if (opens == socket.open) return {};
  socket.open = opens;
  if (opens && event.has_extension) {
    const auto& open = event.record.ext.open;
    auto named = name_thread(
        processes_[event.trace], socket.thread,
        fmt::format("socket {}: {} - {}", event.record.head.sockid,
                    endpoint(open.local, open.local_port), endpoint(open.peer, open.peer_port)));
    if (!named) return named;
  }
  return add(fmt::format(R"({{"name":"open","cat":"sock","ph":"{}",{}}})", opens ? "B" : "E",
                         common(event, socket)));
}

Result<void> ChromeSink::event(const magnet::Event& event) {
  const auto& head = event.record.head;
  const unsigned process = processes_[event.trace];
  auto [at, fresh] = sockets_.try_emplace({process, head.sockid});
  Socket& socket = at->second;
  if (fresh) {
    socket.thread = static_cast<unsigned>(sockets_.size());
    auto named = name_thread(
        process, socket.thread,
        head.sockid == 0 ? std::string("no socket") : fmt::format("socket {}", head.sockid));
    if (!named) return named;
  }
  const auto layer = magnet::layer_of(head.event);
  std::string line = fmt::format(
      R"({{"name":"{}","cat":"{}","ph":"i","s":"t",{},"args":{{"size":{},"cpu":{},"sockid":{})",
      magnet::event_name(head.event), layer ? magnet::layer_name(*layer) : "magnet",
      common(event, socket), head.size, event.cpu, head.sockid);
  if (event.has_extension) {
    line += ',';
    append_extension_json(line, event);
  }
  if (auto added = add(line + "}}"); !added) return added;
  if (head.event == MAGNET_SOCK_OPEN || head.event == MAGNET_SOCK_CLOSE)
    return open_or_close(event, socket);
  if (head.event == MAGNET_TCP_SEND && event.has_extension) {
    return add(fmt::format(R"({{"name":"cwnd of socket {}","ph":"C",{},"args":{{"segments":{}}}}})",
                           head.sockid, common(event, socket), event.record.ext.tcp.cwnd));
  }
  return {};
}

Result<void> ChromeSink::end() {
  if (auto written = output_.write("\n]}\n"); !written) return written;
  return output_.flush();
}

}  // namespace fieldline::cli
