// SPDX-License-Identifier: Apache-2.0
// Whether anything more is to be expected of a run that is followed: a sensor that was killed never
// says that it has ended, and the archive would wait for it. Pure: fed with reports, time is an
// argument.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace fieldline::cli {

class RunLife {
 public:
  // Longer than a pulse's life, while sensors report each second: nobody is there any more.
  static constexpr std::uint64_t kSilence = 15'000'000'000;

  // An activation or counts of the run, by its frame type, and when it came (monotonic).
  void take(std::uint8_t type, const nlohmann::json& document, std::uint64_t now_ns);
  // Anything of it came.
  void hear(std::uint64_t now_ns) { heard_ns_ = std::max(heard_ns_, now_ns); }

  // Packets may come of it; none do of a host's session.
  bool is_on(const std::string& session) const;
  // Nothing has come for so long that nothing will: others have told their final counts, or the
  // grant is over, so that nobody may go on. begun_ns: of following.
  bool is_over(std::uint64_t begun_ns, std::uint64_t now_ns, std::uint64_t utc_ns) const;
  // Sensors and hosts, by name and once. Without: they were on and gave no final counts. Silent: of
  // these who has said nothing for so long.
  std::vector<std::string> without_final_counts() const;
  std::vector<std::string> silent(std::uint64_t now_ns) const;
  std::uint64_t not_after_ns() const { return not_after_ns_; }  // of the grant, UTC; 0: not known
  // Of a silent one, for people. After the grant nobody comes back.
  std::string silence_text(const std::string& name, std::uint64_t utc_ns) const;

 private:
  struct Session {
    std::string name;
    bool is_host = false;
    bool started = false, counted = false;  // final counts are due; were given
    std::uint64_t heard_ns = 0;
  };
  template <class Condition>
  std::vector<std::string> names_of(Condition condition) const;

  std::map<std::string, Session> sessions_;  // by id
  std::uint64_t heard_ns_ = 0, not_after_ns_ = 0;
};

}  // namespace fieldline::cli
