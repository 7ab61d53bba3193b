// SPDX-License-Identifier: Apache-2.0
// What the sensors themselves say about a run, set against what the archive has: whether the
// evidence is complete.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/gaps.h"
#include "analysis/recorded_clock.h"
#include "analysis/section.h"

namespace fieldline::analysis {

// Which item numbers of a session were met; 64 bytes for each touched block of 512.
class NumberSet {
 public:
  NumberSet() = default;
  NumberSet(const NumberSet&) = delete;
  NumberSet& operator=(const NumberSet&) = delete;

  bool insert(std::uint64_t number);  // false: was there already
  std::uint64_t missing() const { return count_ == 0 ? 0 : last_ - first_ + 1 - count_; }

 private:
  using Block = std::array<std::uint64_t, 8>;

  std::unordered_map<std::uint64_t, Block> blocks_;
  Block* newest_ = nullptr;  // block newest_at_: numbers come in order
  std::uint64_t newest_at_ = 0;
  std::uint64_t count_ = 0, first_ = 0, last_ = 0;
};

// One direction of a final count. packets = records + dropped + sampled_out.
struct Tally {
  std::uint64_t packets = 0, bytes = 0;
  std::uint64_t sampled_out = 0;                 // on purpose
  std::map<std::string, std::uint64_t> dropped;  // ring, read, spool; only what is not zero

  void add(const Tally& other);
  std::uint64_t dropped_sum() const;
};

class Ledger {
  struct Sensor;

 public:
  // Where the records of one session are written down: looked up once, valid as long as the ledger.
  class Page {
   public:
    Page() = default;

   private:
    friend class Ledger;
    Page(Sensor* sensor, NumberSet* numbers) : sensor_(sensor), numbers_(numbers) {}

    Sensor* sensor_ = nullptr;
    NumberSet* numbers_ = nullptr;  // nullptr: its records are not numbered
  };

  // An interface block: this session will have records.
  Page open(const std::string& sensor, const std::string& session);
  // Of a capture: its packets have no session.
  Page open_capture(const std::string& name) { return {&sensors_[name], nullptr}; }
  // A record, of several wire packets if it is a super-packet's; false: the session's item of this
  // number was there already.
  static bool record(const Page& page, bool reverse, std::optional<std::uint64_t> number,
                     std::uint32_t packets = 1);
  // A report's document. session: empty if unknown. nullptr, or why it cannot be used.
  const char* report(std::uint8_t type, const nlohmann::json& document, const std::string& session,
                     std::uint64_t number);

  // A capture file instead of a sensor: it is whole, and knows at most what its recorder dropped.
  void capture(const std::string& name, std::uint64_t first_ns, std::uint64_t last_ns,
               std::optional<std::uint64_t> dropped);

  bool final(const std::string& sensor) const;
  bool knows_drops(const std::string& sensor) const;
  // The run asked for counters alone; its sensors, in the order in which it came to them.
  bool counts_alone() const { return counts_alone_; }
  std::vector<std::string> counting() const;
  std::string domain_of(const std::string& sensor) const;  // "": not said
  Watch watch(const std::string& sensor) const;
  // When it was not looking in between; valid until the next report.
  const std::vector<Gap>& off(const std::string& sensor) const { return gaps_.off(sensor); }
  // From the final counts, or while there are none from the newest counts.
  Tally tally(const std::string& sensor, bool reverse) const;
  std::vector<std::string> incomplete() const;
  std::vector<Gap> gaps() const;  // in the order of their begins, clocks that were set among them
  const std::vector<nlohmann::json>& refusals() const { return refusals_; }
  // By sensor or host: its settings when the run began there.
  const std::map<std::string, nlohmann::json>& systems() const { return systems_; }
  // By sensor or host.
  const std::map<std::string, RecordedClock>& clocks() const { return clocks_; }
  const nlohmann::json& grant() const { return grant_; }
  const nlohmann::json& principal() const { return principal_; }

 private:
  struct Counts {
    std::uint64_t at_ns = 0;
    std::string session;
    std::array<Tally, 2> directions;
    // By port: what its NIC dropped while the run was on, of this run's packets or of others'.
    std::map<std::string, std::uint64_t> nics;
  };
  struct Capture {
    std::uint64_t first_ns = 0, last_ns = 0;
    std::optional<std::uint64_t> dropped;
  };
  struct Sensor {
    std::optional<Capture> capture;
    std::map<std::string, NumberSet> sessions;
    std::set<std::uint64_t> started, ended;  // at_ns
    std::uint8_t sample_bits = 0;            // the most that it said
    bool is_host = false;
    std::map<std::pair<std::string, std::uint64_t>, Counts>
        finals;                    // by session and at_ns: reports may come twice
    std::optional<Counts> newest;  // not final
    std::array<std::uint64_t, 2> records{};

    std::size_t finals_expected() const;
  };

  const char* activation(const GapBook::Word& word);
  void system(const nlohmann::json& system, const std::string& sensor);
  const char* counts(const GapBook::Word& word);
  void doubt_captures(std::vector<std::string>& lines) const;
  void doubt_samples(std::vector<std::string>& lines) const;
  static std::string without_final(const std::string& name, const Sensor& sensor);
  static void doubt_nics(const std::string& name, const Sensor& sensor,
                         std::vector<std::string>& lines);
  void check_balance(const std::string& name, const Sensor& sensor, bool reverse,
                     std::vector<std::string>& lines) const;

  std::map<std::string, Sensor> sensors_;
  GapBook gaps_;
  std::vector<nlohmann::json> refusals_;
  std::map<std::string, std::string> domains_;
  bool counts_alone_ = false;
  nlohmann::json grant_, principal_;
  std::map<std::string, nlohmann::json> systems_;
  std::map<std::string, RecordedClock> clocks_;
};

// Members of hostile documents: no value where the type is another.
std::optional<std::uint64_t> number_in(const nlohmann::json& object, const char* key);
std::optional<std::string> string_in(const nlohmann::json& object, const char* key);

}  // namespace fieldline::analysis
