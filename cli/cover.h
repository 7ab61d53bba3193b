// SPDX-License-Identifier: Apache-2.0
// Which of a command's sockets are covered by which run, and what to ask for next. Pure: fed with
// what each look at the kernel found.
//
// A group is what one grant can hold: a protocol and two addresses. A group's first grant asks for
// the sockets that are there, by both ports. Where the command comes back to a port that it used
// before, it asks for any port at the other end, so that all that follow there are recorded from
// their first packet; the last that a group may have asks for everything between the two hosts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/sock_diag.h"
#include "cli/plan.h"

namespace fieldline::cli {

class Cover {
 public:
  static constexpr std::size_t kSocketsMost = 4096;  // kept by name; more are counted
  static constexpr std::size_t kRunsMost = 16;
  static constexpr std::size_t kRunsOfGroup = 5;

  enum class State {
    waits,    // for a grant; of UDP: for a second look
    covered,  // by `run`
    ended,    // before a grant was signed
    local,    // both ends are this host's: no path
    open,     // UDP without a peer: the kernel does not know where it sends
    refused,  // there may be no more runs, or the grant failed
  };
  struct Seen {
    DiagSocket socket;
    std::uint64_t first_ns = 0;  // by the clock of see()
    State state = State::waits;
    bool there = true;                     // at the last look
    unsigned looks = 0;                    // that found it
    std::optional<std::size_t> run;        // of `covered`
    std::uint64_t late_ns = 0;             // from its first sight to its run's first pulse
    std::optional<std::uint64_t> unheard;  // TCP: bytes that it had sent until then
  };

  // All that is there now.
  void see(const std::vector<DiagSocket>& now, std::uint64_t now_ns);
  // What to ask for next, oldest first; none: nothing waits.
  std::optional<Plan> next() const;
  // A run of that plan has sent its first pulse; the sockets that it covers and no other before.
  std::vector<std::size_t> cover(const Plan& plan, std::uint64_t now_ns);
  // No grant for what it was for; it is not asked for again.
  void give_up(const Plan& plan);

  const std::vector<Seen>& sockets() const { return seen_; }
  Seen& at(std::size_t index) { return seen_[index]; }
  const std::vector<Plan>& runs() const { return runs_; }
  std::uint64_t not_kept() const { return not_kept_; }  // sockets beyond kSocketsMost
  bool any_sending() const;  // covered TCP that may still send what it was given
  std::map<State, std::uint64_t> count() const;

 private:
  using Key = std::tuple<std::uint8_t, Address, Address>;
  using Ports = std::map<std::uint16_t, std::uint64_t>;  // when each was first seen
  struct Group {
    Ports local, remote;
    std::set<sense::PortPair> missed;  // to any port: what came back and was too short again
    std::size_t runs = 0;
    bool given_up = false;
  };
  static Key key_of(const DiagSocket& socket);
  static bool ready(const Seen& seen);
  void add(const DiagSocket& socket, std::uint64_t now_ns);
  void judge(Seen& seen);
  void end(Seen& seen);
  bool by_run(Seen& seen);
  std::set<sense::PortPair> returned(const Seen& seen) const;
  Plan plan_for(const Key& key) const;

  std::vector<Seen> seen_;
  std::map<std::uint64_t, std::size_t> by_cookie_;
  std::map<Key, Group> groups_;
  std::vector<Plan> runs_;
  std::set<std::uint64_t> beyond_;  // cookies at the last look that are not kept
  std::uint64_t not_kept_ = 0;
};

const char* name_of(Cover::State state);  // as in documents
const char* text_of(Cover::State state);  // as for people

}  // namespace fieldline::cli
