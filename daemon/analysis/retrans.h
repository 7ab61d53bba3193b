// SPDX-License-Identifier: Apache-2.0
// Why each retransmission happened: a view over a path report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/path.h"

namespace fieldline::analysis {

enum class Cause {
  lost,        // the sending before it: in `section` of the data's direction
  ack_lost,    // an acknowledgement of it: in `section` of the opposite direction
  never_left,  // its host made it, and its host's device did not send it
  spurious,    // it had arrived, and no acknowledgement of it was lost where it can be seen
  undecided,
};

struct Verdict {
  Again again;
  bool reverse = false;
  bool unseen_before = false;  // the sending before it never came to the first point
  Cause cause = Cause::undecided;
  std::size_t section = 0;
  std::string why;  // of what is undecided or spurious
};

struct RetransReport {
  PathReport path;
  std::vector<Verdict> verdicts;  // both directions, by time
  bool tcp = false;               // there was TCP with data at all
  bool listed_all = true;         // false: more than 65,536 in a direction
};

RetransReport judge_retransmissions(PathReport path);

nlohmann::json to_json(const RetransReport& report);  // docs/format/retrans.md
// rows: of the list at most, the newest left out.
std::string to_table(const RetransReport& report, std::size_t rows, bool color = false);

}  // namespace fieldline::analysis
