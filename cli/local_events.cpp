// SPDX-License-Identifier: Apache-2.0
#include "cli/local_events.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/tcp_sample.h"
#include "magnet/merge.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kListNs = 200'000'000, kSampleNs = 50'000'000;
constexpr int kTurnMs = 5;
constexpr std::size_t kCountedMost = 65'536;
constexpr std::uint8_t kSynReceived = 3, kTimeWait = 6, kListen = 10;  // <netinet/tcp.h>

bool fits(const std::optional<Prefix>& asked, const Address& address) {
  return !asked || asked->contains(address);
}

bool fits(std::uint16_t asked, std::uint16_t port) {
  return asked == 0 || asked == port;
}

// Sockets that connected or were connected to, of this network namespace, since it began: the
// columns of /proc/net/snmp are named in a line of their own.
std::optional<std::uint64_t> tcp_opens() {
  std::ifstream file("/proc/net/snmp");
  std::string names, values;
  while (std::getline(file, names)) {
    if (names.starts_with("Tcp:") && std::getline(file, values)) break;
  }
  std::istringstream name(names), value(values);
  std::uint64_t opens = 0;
  unsigned found = 0;
  for (std::string one, told; name >> one && value >> told;) {
    if (one != "ActiveOpens" && one != "PassiveOpens") continue;
    opens += std::strtoull(told.c_str(), nullptr, 10);
    ++found;
  }
  return found == 2 ? std::optional(opens) : std::nullopt;
}

RunId session_of(std::uint64_t number) {
  RunId session;
  for (std::size_t i = 0; i < sizeof number; ++i)
    session.bytes[i] = static_cast<std::uint8_t>(number >> 8 * i);
  return session;
}

// As the kernel counts what was opened: a request for a connection is a socket of its own until
// then.
bool is_open(const DiagSocket& socket) {
  return socket.state != kListen && socket.state != kTimeWait && socket.state != kSynReceived;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && *name ? name : "localhost";
}

Result<std::unique_ptr<magnet::ModuleEvents>> open_module() {
  magnet::SystemDevices devices;
  auto events = magnet::ModuleEvents::open(devices);
  if (!events) return events.error();
  if (!events->has_extension())
    return fail(Code::unsupported, "the module has records without TCP state: load it with ext=1");
  return std::make_unique<magnet::ModuleEvents>(std::move(*events));
}

}  // namespace

LocalEvents::LocalEvents(SockDiag diag, std::vector<FlowSpec> flows, std::uint64_t interval_ns)
    : diag_(std::move(diag)),
      flows_(std::move(flows)),
      session_(session_of(1)),
      senders_(interval_ns) {}

Result<LocalEvents> LocalEvents::open(std::vector<FlowSpec> flows, std::uint64_t interval_ns) {
  auto diag = SockDiag::open();
  if (!diag) return diag.error();
  LocalEvents local(std::move(*diag), std::move(flows), interval_ns);
  auto module = open_module();
  if (module) {
    local.module_ = std::move(*module);
  } else {
    local.why_ = module.error().text();
  }
  local.senders_.name(local.session_, host_name(), module ? "module" : "tcp_info");
  return local;
}

bool LocalEvents::is_wanted(const DiagSocket& socket) const {
  if (socket.state == kTimeWait || socket.state == kListen) return false;
  return flows_.empty() || std::any_of(flows_.begin(), flows_.end(), [&](const FlowSpec& flow) {
           return fits(flow.local, socket.local) && fits(flow.remote, socket.remote) &&
                  fits(flow.local_port, socket.local_port) &&
                  fits(flow.remote_port, socket.remote_port);
         });
}

// A socket lives through many looks: those of the last one tell which are new.
Result<void> LocalEvents::list() {
  const std::set<std::uint64_t> before = std::exchange(known_, {});
  for (const int family : {AF_INET, AF_INET6}) {
    auto found = diag_.sockets(family, IPPROTO_TCP);
    if (!found) return found.error();
    for (const DiagSocket& socket : *found) {
      if (is_open(socket)) known_.insert(socket.cookie);
      if (!is_wanted(socket) || sockets_.contains(socket.cookie)) continue;
      if (sockets_.size() < kSocketsMost) {
        sockets_.emplace(socket.cookie, socket);
      } else if (not_sampled_.size() < kCountedMost) {
        not_sampled_.insert(socket.cookie);
      }
    }
  }
  if (looked_) {
    seen_new_ += static_cast<std::uint64_t>(std::count_if(
        known_.begin(), known_.end(), [&](std::uint64_t one) { return !before.contains(one); }));
  }
  if (!looked_) opens_before_ = tcp_opens();
  looked_ = true;
  return {};
}

std::optional<std::uint64_t> LocalEvents::unseen() const {
  if (!opens_after_ || !opens_before_) return {};
  return *opens_after_ - std::min(*opens_after_, *opens_before_ + seen_new_);
}

Result<void> LocalEvents::sample() {
  for (auto at = sockets_.begin(); at != sockets_.end();) {
    auto info = diag_.tcp_info(at->second);
    if (!info) return info.error();
    if (!*info) {
      at = sockets_.erase(at);
      continue;
    }
    senders_.take(session_, tcp_sample(**info, at->second, SystemClock().utc_ns()));
    ++at;
  }
  return {};
}

Result<void> LocalEvents::drain() {
  if (!module_) return {};
  auto drained = module_->drain([&](const magnet::EventSource::Batch& batch) {
    for (const magnet_record_ext& record : batch.records) senders_.take(session_, record);
  });
  if (!drained) return drained.error();
  return {};
}

Result<void> LocalEvents::watch(std::uint64_t until_ns, int stop) {
  std::uint64_t next_list = 0, next_sample = 0;
  for (;;) {
    const std::uint64_t now = SystemClock().monotonic_ns();
    if (now >= next_list) {
      if (auto listed = list(); !listed) return listed.error();
      next_list = now + kListNs;
    }
    if (now >= next_sample) {
      if (auto sampled = sample(); !sampled) return sampled.error();
      next_sample = now + kSampleNs;
    }
    if (auto drained = drain(); !drained) return drained.error();
    pollfd waited{stop, POLLIN, 0};
    if (now >= until_ns || ::poll(&waited, 1, kTurnMs) > 0) break;
  }
  opens_after_ = tcp_opens();
  return list();
}

// The module records every namespace's sockets. Those that were never listed here are others', or
// were too short, unless they are the other end of one that was.
analysis::EventSockets LocalEvents::finish() const {
  analysis::EventSockets all = senders_.finish();
  std::set<std::pair<std::uint16_t, std::uint16_t>> own;
  for (const auto& socket : all.sockets) {
    if (socket.sending.facts().samples > 0) own.emplace(socket.local_port, socket.peer_port);
  }
  std::erase_if(all.sockets, [&](const analysis::EventSocket& socket) {
    return socket.sending.facts().samples == 0 &&
           !own.contains({socket.peer_port, socket.local_port});
  });
  all.not_sampled = not_sampled_.size();
  return all;
}

Result<analysis::EventSockets> read_traces(const std::vector<std::string>& files,
                                           std::uint64_t interval_ns) {
  std::vector<magnet::TraceEvents> traces;
  analysis::Senders senders(interval_ns);
  for (const auto& path : files) {
    auto file = system_files().open(path, FileSystem::Mode::read);
    if (!file) return file.error();
    auto trace = magnet::TraceEvents::open(std::move(*file));
    if (!trace) return std::move(trace.error()).in(path);
    senders.name(session_of(traces.size() + 1), trace->reader().header().host, "module");
    traces.push_back(std::move(*trace));
  }
  magnet::MergedEvents events(std::move(traces));
  std::uint64_t last_utc = 0;  // what was lost was lost since
  for (;;) {
    auto event = events.next();
    if (!event) return event.error();
    if (!*event) return senders.finish();
    const magnet::Event& one = **event;
    if (!one.has_extension)
      return fail(Code::unsupported, files[one.trace] +
                                         ": its records have no TCP state; load the module with "
                                         "ext=1 before magnet-read");
    magnet_record_ext record = one.record;
    record.head.timestamp = one.when.utc_ns;
    if (record.head.event == MAGNET_LOST) record.ext.lost.first = last_utc;
    last_utc = record.head.timestamp;
    senders.take(session_of(one.trace + 1), record);
  }
}

}  // namespace fieldline::cli
