// SPDX-License-Identifier: Apache-2.0
// Which events magnet-parse and `fieldline events` give.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "magnet/merge.h"

namespace fieldline::cli {

// A moment: of the world, or counted from a trace's first event.
struct Moment {
  bool relative = false;
  std::uint64_t ns = 0;

  // Saturates: what people type may be any number of seconds.
  std::uint64_t utc_ns(std::uint64_t start_utc_ns) const {
    return relative && ns > UINT64_MAX - start_utc_ns ? UINT64_MAX
           : relative                                 ? start_utc_ns + ns
                                                      : ns;
  }
};
// "1.5" and "90s" from the start, "2026-11-21T23:11:00.5Z", "@1763766697.5".
Result<Moment> parse_moment(const std::string& text);

class EventFilter {
 public:
  Result<void> since(const std::string& text);
  Result<void> until(const std::string& text);  // up to, not including
  void add_socket(std::uint64_t sockid) { sockets_.insert(sockid); }
  // A name, a code as 0x8001, or a layer: sock, tcp, udp, ip, dev.
  Result<void> add_event(const std::string& name);

  void start_at(std::uint64_t utc_ns) { start_ = utc_ns; }
  // A time from the start is meant: start_at() must come first.
  bool is_relative() const {
    return (has_since_ && since_.relative) || (has_until_ && until_.relative);
  }
  bool names_events() const { return !codes_.empty() || !layers_.empty(); }
  bool passes(const magnet::Event& event) const;
  bool passes_time(std::uint64_t utc_ns) const;
  bool passes_event(std::uint32_t code) const;
  // No event from here on can pass.
  bool over(const magnet::Event& event) const;

 private:
  std::uint64_t start_ = 0;
  bool has_since_ = false, has_until_ = false;
  Moment since_, until_;
  std::set<std::uint64_t> sockets_;
  std::set<std::uint32_t> codes_;
  std::set<unsigned> layers_;
};

}  // namespace fieldline::cli
