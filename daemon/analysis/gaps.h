// SPDX-License-Identifier: Apache-2.0
// When a sensor or host of a run saw nothing, dropped what it saw, or could not hand it on, and
// why: as its reports tell it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace fieldline::analysis {

struct Gap {
  enum class What {
    dropped,    // by its ring, its reader or its spool
    missed,     // a host's hooks did not run
    blind,      // it was off, or nothing is known of it
    cut_off,    // its archive was away: nothing is lost by that alone
    clock_set,  // its times before and after are by two clocks
  };

  std::string sensor;
  What what = What::dropped;
  // dropped: ring, read, spool. missed: hook. blind: why it ended the run (expired, pulse,
  // shutdown), died (it came back without final counts), silent (and did not come back),
  // undelivered (it went on in another session, and the rest of this one has not come). cut_off:
  // unreachable, refused, wrong_key. clock_set: utc, tai_offset.
  std::string cause;
  std::uint64_t from_ns = 0;              // by its own clock
  std::optional<std::uint64_t> until_ns;  // none: not yet
  std::optional<std::uint64_t> count;     // of dropped and missed: packets, or events of a host
  std::optional<std::int64_t> by_ns;      // of clock_set

  bool loses() const { return what == What::dropped || what == What::missed; }
  std::string to_string() const;  // with its times in UTC
};

const char* name_of(Gap::What what);
void sort_by_begin(std::vector<Gap>& gaps);

// Lossy and blind ones in words: a line for each sensor, kind and cause. Not of silent ones, which
// owe final counts.
std::vector<std::string> doubts_of(const std::vector<Gap>& gaps);

// Reports come in the order of each session, those of different sessions in any, and some twice.
// Within a session numbers tell the order and not times: clocks are set.
class GapBook {
 public:
  struct Word {
    const std::string &sensor, &session;
    std::uint64_t number;  // of the session's item; 0: unknown
    const nlohmann::json& document;
  };
  using Drops = std::map<std::string, std::uint64_t>;  // by cause; since the run's begin there

  void started(const Word& word);
  void ended(const Word& word, std::uint64_t at_ns);
  void counted(const Word& word, const Drops& so_far);

  std::vector<Gap> gaps() const;  // in the order of their begins
  // Its blind ones that are over, as far as its reports came; valid until the next one.
  const std::vector<Gap>& off(const std::string& sensor) const;

 private:
  // From a "started" report to the next of its session.
  struct Span {
    std::string session;
    std::uint64_t started_ns = 0, heard_ns = 0;  // heard: of its newest counts
    std::optional<std::uint64_t> ended_ns;
    bool final = false;
    std::string continues, continued_in;  // sessions
    std::string reason;                   // of its end
    Drops drops;                          // so far
    std::vector<Gap> by_counts, told, cut_off;
  };
  struct Session {
    std::uint64_t newest = 0;  // number
    std::vector<Span> spans;
  };
  using Sessions = std::map<std::string, Session>;
  struct Sensor {
    Sessions sessions;
    std::size_t spans = 0;
    mutable std::optional<std::vector<Gap>> off;  // none: not asked for since the newest report
  };

  Span* span_of(const Word& word);
  static void note_drops(Span& span, std::uint64_t at_ns, const Drops& so_far, bool times_spool);
  // The spans that go on in one another, at least the head.
  static std::vector<const Span*> chain(const Span& head, const Sessions& sessions,
                                        const std::map<std::string, const Span*>& follows);
  static std::vector<Gap> between(const Sessions& sessions);

  std::map<std::string, Sensor> sensors_;
};

}  // namespace fieldline::analysis
