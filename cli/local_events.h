// SPDX-License-Identifier: Apache-2.0
// What the TCP sockets of this network namespace do for a while: samples of tcp_info, which anybody
// may ask for, and the module's event records where its devices are free. Or what trace files of
// magnet-read hold of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analysis/senders.h"
#include "base/fd.h"
#include "base/sock_diag.h"
#include "cli/flow_spec.h"
#include "magnet/module_events.h"

namespace fieldline::cli {

class LocalEvents {
 public:
  static constexpr std::size_t kSocketsMost = 256;  // sampled; more are counted

  // flows: whose sockets; none: all.
  static Result<LocalEvents> open(std::vector<FlowSpec> flows, std::uint64_t interval_ns);

  // Until then (CLOCK_MONOTONIC) or until `stop` is readable, whichever is first.
  Result<void> watch(std::uint64_t until_ns, int stop);
  analysis::EventSockets finish() const;

  // Sockets that were opened meanwhile, to whomever, and gone before anybody looked; attempts to
  // connect that failed are among them. The kernel counts between the first look and the last: who
  // is opened during one of these two makes it less, never more, for he may still be there.
  // None: its counters cannot be read.
  std::optional<std::uint64_t> unseen() const;

  // Why there are no event records; empty: the module gives them.
  const std::string& without_events() const { return why_; }

 private:
  LocalEvents(SockDiag diag, std::vector<FlowSpec> flows, std::uint64_t interval_ns);
  bool is_wanted(const DiagSocket& socket) const;
  Result<void> list();
  Result<void> sample();
  Result<void> drain();

  SockDiag diag_;
  std::vector<FlowSpec> flows_;
  std::unique_ptr<magnet::ModuleEvents> module_;
  std::string why_;
  RunId session_;
  analysis::Senders senders_;
  std::map<std::uint64_t, DiagSocket> sockets_;  // by cookie: those that are sampled
  std::set<std::uint64_t> not_sampled_;          // by cookie: those that are too many
  std::set<std::uint64_t> known_;                // by cookie: those of the last look
  // By the kernel: after the first look, before the last.
  std::optional<std::uint64_t> opens_before_, opens_after_;
  std::uint64_t seen_new_ = 0;  // since the first look
  bool looked_ = false;
};

// All records of the files, each a host of its own.
Result<analysis::EventSockets> read_traces(const std::vector<std::string>& files,
                                           std::uint64_t interval_ns);

}  // namespace fieldline::cli
