// SPDX-License-Identifier: Apache-2.0
#include "cli/cover.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

namespace fieldline::cli {
namespace {

using sense::PortPair;

bool is_loopback(const Address& address) {
  if (address.is_v4()) return address.bytes[12] == IN_LOOPBACKNET;
  Address one;
  one.bytes[15] = 1;
  return address == one;
}

bool same_ends(const DiagSocket& one, const DiagSocket& other) {
  return one.local == other.local && one.remote == other.remote &&
         one.local_port == other.local_port && one.remote_port == other.remote_port;
}

// Ports of both kinds must not stand in one grant: a sensor refuses pairs that cross.
std::vector<PortPair> without_crossing(const std::set<PortPair>& wide) {
  const auto any_local = [](const PortPair& pair) { return pair.a == 0; };
  const auto local = std::count_if(wide.begin(), wide.end(), any_local);
  const bool keep_local = local * 2 >= static_cast<std::ptrdiff_t>(wide.size());
  std::vector<PortPair> kept;
  std::copy_if(wide.begin(), wide.end(), std::back_inserter(kept),
               [&](const PortPair& pair) { return any_local(pair) == keep_local; });
  return kept;
}

std::string note_of(const PortPair& pair) {
  return "the command came back to " +
         (pair.a == 0 ? "remote port " + std::to_string(pair.b) + ": asking for any local port"
                      : "local port " + std::to_string(pair.a) + ": asking for any remote port");
}

}  // namespace

Cover::Key Cover::key_of(const DiagSocket& socket) {
  return {socket.protocol, socket.local, socket.remote};
}

// A resolver's question is over before the second look; it is not worth a grant.
bool Cover::ready(const Seen& seen) {
  return seen.state == State::waits && seen.there &&
         (seen.socket.protocol == IPPROTO_TCP || seen.looks > 1);
}

bool Cover::by_run(Seen& seen) {
  for (std::size_t run = 0; run < runs_.size(); ++run) {
    if (!runs_[run].covers(seen.socket)) continue;
    seen.state = State::covered;
    seen.run = run;
    return true;
  }
  return false;
}

void Cover::judge(Seen& seen) {
  const DiagSocket& socket = seen.socket;
  seen.state = State::waits;
  if (socket.remote_port == 0) {
    seen.state = State::open;
    return;
  }
  if (socket.local == socket.remote || is_loopback(socket.remote)) {
    seen.state = State::local;
    return;
  }
  Group& group = groups_[key_of(socket)];
  group.local.emplace(socket.local_port, seen.first_ns);
  group.remote.emplace(socket.remote_port, seen.first_ns);
  if (!by_run(seen) && (runs_.size() >= kRunsMost || group.given_up)) seen.state = State::refused;
}

// The pairs to any port that would have covered it from its beginning: its ports are not new.
std::set<PortPair> Cover::returned(const Seen& seen) const {
  const Group& group = groups_.at(key_of(seen.socket));
  const auto before = [&](const Ports& ports, std::uint16_t port) {
    const auto found = ports.find(port);
    return found != ports.end() && found->second < seen.first_ns;
  };
  std::set<PortPair> pairs;
  if (before(group.remote, seen.socket.remote_port)) pairs.insert({0, seen.socket.remote_port});
  if (before(group.local, seen.socket.local_port)) pairs.insert({seen.socket.local_port, 0});
  return pairs;
}

void Cover::end(Seen& seen) {
  seen.state = State::ended;
  if (seen.socket.protocol == IPPROTO_TCP)
    groups_.at(key_of(seen.socket)).missed.merge(returned(seen));
}

void Cover::add(const DiagSocket& socket, std::uint64_t now_ns) {
  by_cookie_.emplace(socket.cookie, seen_.size());
  seen_.push_back({socket, now_ns});
  judge(seen_.back());
}

void Cover::see(const std::vector<DiagSocket>& now, std::uint64_t now_ns) {
  for (Seen& seen : seen_) seen.there = false;
  std::set<std::uint64_t> beyond;
  for (const DiagSocket& socket : now) {
    const bool full = seen_.size() >= kSocketsMost && !by_cookie_.contains(socket.cookie);
    if (full) {
      if (!beyond_.contains(socket.cookie)) ++not_kept_;
      beyond.insert(socket.cookie);
      continue;
    }
    if (!by_cookie_.contains(socket.cookie)) add(socket, now_ns);
    Seen& seen = seen_[by_cookie_.at(socket.cookie)];
    const bool connected_anew = !same_ends(seen.socket, socket);  // UDP may do so at any time
    seen.socket = socket;
    seen.there = true;
    ++seen.looks;
    if (!connected_anew) continue;
    seen.first_ns = now_ns;
    seen.run.reset();
    judge(seen);
  }
  beyond_.swap(beyond);
  for (Seen& seen : seen_) {
    if (seen.state == State::waits && !seen.there) end(seen);
  }
}

Plan Cover::plan_for(const Key& key) const {
  const Group& group = groups_.at(key);
  std::vector<Socket> sockets;
  std::set<PortPair> wide;
  for (const Seen& seen : seen_) {
    if (!ready(seen) || key_of(seen.socket) != key) continue;
    sockets.push_back({seen.socket, {}});
    wide.merge(returned(seen));
  }
  Plan plan;
  if (sockets.empty()) {
    std::tie(plan.protocol, plan.local, plan.remote) = key;
    wide = group.missed;
  } else {
    plan = plan_sockets(sockets, {}).front();
  }
  if (group.runs + 1 >= kRunsOfGroup) {
    plan.pairs = {{0, 0}};
    plan.notes = {
        "the command goes on opening connections by other ports: asking for everything between "
        "the two hosts"};
  } else if (!wide.empty()) {
    auto pairs = without_crossing(wide);
    for (const PortPair& pair : pairs) plan.notes.push_back(note_of(pair));
    pairs.insert(pairs.end(), plan.pairs.begin(), plan.pairs.end());
    plan.pairs = condense(std::move(pairs), plan.notes);
  }
  return plan;
}

std::optional<Plan> Cover::next() const {
  if (runs_.size() >= kRunsMost) return {};
  const Seen* oldest = nullptr;
  for (const Seen& seen : seen_) {
    if (ready(seen) && (!oldest || seen.first_ns < oldest->first_ns)) oldest = &seen;
  }
  if (oldest) return plan_for(key_of(oldest->socket));
  for (const auto& [key, group] : groups_) {
    if (!group.given_up && !group.missed.empty()) return plan_for(key);
  }
  return {};
}

std::vector<std::size_t> Cover::cover(const Plan& plan, std::uint64_t now_ns) {
  std::vector<std::size_t> begun;
  runs_.push_back(plan);
  Group& group = groups_[{plan.protocol, plan.local, plan.remote}];
  ++group.runs;
  group.missed.clear();  // asked for, or its turn will come again
  for (std::size_t at = 0; at < seen_.size(); ++at) {
    Seen& seen = seen_[at];
    if (seen.state != State::waits) continue;
    if (by_run(seen)) {
      seen.late_ns = now_ns - seen.first_ns;
      begun.push_back(at);
    } else if (runs_.size() >= kRunsMost) {
      seen.state = State::refused;
    }
  }
  return begun;
}

void Cover::give_up(const Plan& plan) {
  const Key key(plan.protocol, plan.local, plan.remote);
  groups_[key].given_up = true;
  for (Seen& seen : seen_) {
    if (seen.state == State::waits && key_of(seen.socket) == key) seen.state = State::refused;
  }
}

// FIN_WAIT2 has nothing left to send, and may stand for a minute.
bool Cover::any_sending() const {
  return std::any_of(seen_.begin(), seen_.end(), [](const Seen& seen) {
    return seen.there && seen.state == State::covered && seen.socket.protocol == IPPROTO_TCP &&
           seen.socket.state != TCP_FIN_WAIT2;
  });
}

std::map<Cover::State, std::uint64_t> Cover::count() const {
  std::map<State, std::uint64_t> counts;
  for (const Seen& seen : seen_) ++counts[seen.state];
  return counts;
}

const char* name_of(Cover::State state) {
  switch (state) {
    case Cover::State::waits:
    case Cover::State::ended:
      return "too_short";
    case Cover::State::covered:
      return "covered";
    case Cover::State::local:
      return "local";
    case Cover::State::open:
      return "unconnected";
    case Cover::State::refused:
      return "no_grant";
  }
  return "";
}

const char* text_of(Cover::State state) {
  switch (state) {
    case Cover::State::waits:
    case Cover::State::ended:
      return "ended before a grant for it was signed";
    case Cover::State::covered:
      return "covered";
    case Cover::State::local:
      return "to this host itself: there is no path";
    case Cover::State::open:
      return "UDP without a peer (the kernel does not tell where it sends; fieldline ping --flow "
             "udp:PORT covers it)";
    case Cover::State::refused:
      return "without a grant: see above, or beyond the runs that one command may have";
  }
  return "";
}

}  // namespace fieldline::cli
