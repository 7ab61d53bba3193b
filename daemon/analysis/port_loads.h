// SPDX-License-Identifier: Apache-2.0
// From header records and port totals, as they come, to the load of each port.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/ledger.h"
#include "analysis/load.h"
#include "analysis/vantage.h"

namespace fieldline::analysis {

// Of one session's port.
class PortLoad {
 public:
  void record(std::uint64_t time_ns, std::uint64_t bytes, std::uint32_t packets = 1);
  // A session's records come before the totals of their time.
  void period(const TotalsPeriod& period, const PortTotal& total);
  std::optional<Load> load() const;

 private:
  // Own bytes by ms: the newest four seconds, of which a frame of totals tells one.
  static constexpr std::size_t kBins = 4096;
  // Of a longer period it is not known any more what was the run's own.
  static constexpr std::uint64_t kLongest = 2'000'000'000;
  struct Bin {
    std::uint64_t ms = std::numeric_limits<std::uint64_t>::max();
    PortTotal own;
  };
  struct Sum {
    std::uint64_t from_ns = 0, to_ns = 0, covered_ns = 0, periods = 0;
    PortTotal port;
    double own_packets = 0, own_bytes = 0, peak_bps = 0;
    std::map<std::uint32_t, std::uint64_t> lengths_ns;  // by step of the others' rate

    void add(const Sum& other);
    double p99_bps() const;
  };

  void own_within(const TotalsPeriod& period, Sum& sum) const;

  // Of the records, in whole ms.
  std::uint64_t from_ns_ = std::numeric_limits<std::uint64_t>::max(), to_ns_ = 0;
  std::vector<Bin> bins_;
  Sum sum_;
  Sum behind_;  // periods from to_ns_ on: of the run's time if another record comes
};

// Of all sessions.
class Loads {
 public:
  // nullptr: the port's number is not known. Valid as long as the loads.
  PortLoad* port(const VantageKey& key, const std::string& session,
                 std::optional<std::uint64_t> number);
  // A frame's body; false: it cannot be read.
  bool take(ByteView body, std::uint64_t sequence);
  // Of a vantage point's port; several sessions: the sensor was restarted.
  std::optional<Load> load(const VantageKey& key) const;

 private:
  struct Session {
    NumberSet frames;  // several archives have the same ones
    std::map<std::uint64_t, PortLoad> ports;
  };

  std::map<std::string, Session> sessions_;
  std::map<VantageKey, std::map<std::pair<std::string, std::uint64_t>, const PortLoad*>> ports_;
};

}  // namespace fieldline::analysis
