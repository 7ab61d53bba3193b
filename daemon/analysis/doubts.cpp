// SPDX-License-Identifier: Apache-2.0
#include "analysis/doubts.h"

#include <array>
#include <set>

namespace fieldline::analysis {
namespace {

constexpr const char* kUnjoinedRecords =
    " records are of several wire packets each and join with nothing; turn tso, gso and gro off, "
    "or capture from the handshake on";
// By Unjoined.
constexpr std::array<const char*, kUnjoinedReasons> kUnjoinedPackets{
    " packets came in super-packets of no TCP (UDP segmentation, tunnels), whose segments join "
    "with nothing; judge them by points behind which they are single",
    " packets came in super-packets of which a sample was recorded, whose segments join with "
    "nothing; ask for every packet",
    " packets came in super-packets whose length contradicts their number, and join with nothing; "
    "turn lro off there",
    " packets join with nothing: their records end inside the TCP options, and some point shows "
    "super-packets; ask for whole headers"};

void doubt_unjoined(const Matcher& matcher, bool captures, std::vector<std::string>& lines) {
  std::map<VantageKey, std::array<std::uint64_t, kUnjoinedReasons>> unjoined;
  for (const bool reverse : {false, true}) {
    for (const Lane& lane : matcher.lanes(reverse)) {
      auto& sum = unjoined[lane.key];
      for (std::size_t why = 0; why < sum.size(); ++why) sum[why] += lane.unjoined[why];
    }
  }
  for (const auto& [key, counts] : unjoined) {
    for (std::size_t why = 0; why < counts.size(); ++why) {
      if (counts[why] == 0) continue;
      lines.push_back((captures ? "" : "sensor ") + key.sensor + ", " + key.interface + ": " +
                      std::to_string(counts[why]) +
                      (captures ? kUnjoinedRecords : kUnjoinedPackets[why]));
    }
  }
}

}  // namespace

void doubt_input(const std::map<std::string, std::uint64_t>& ignored,
                 std::vector<std::string>& lines) {
  std::uint64_t unused = 0;
  std::string why;
  for (const auto& [reason, count] : ignored) {
    if (reason == "packet_twice" || reason == "packet_of_other_hosts" ||
        reason.rfind("headers_", 0) == 0)
      continue;
    unused += count;
    why += (why.empty() ? "" : ", ") + reason + " " + std::to_string(count);
  }
  if (unused) {
    lines.push_back(std::to_string(unused) + " blocks of the input could not be used (" + why +
                    ")");
  }
}

void doubt_captures(const CaptureSurvey& survey, std::vector<std::string>& lines) {
  for (const Capture& file : survey.files()) {
    if (file.taken == 0) {
      lines.push_back(file.name + ": no packet between these hosts is in it");
    } else if (file.cut) {
      lines.push_back(file.name + ": " + std::to_string(file.cut) +
                      " packets are cut inside their headers and left out; "
                      "capture more of each "
                      "(tcpdump -s 160)");
    }
  }
  if (survey.options_cut()) {
    lines.push_back(
        "some TCP options are cut off: sendings that look alike "
        "are told apart by "
        "less; capture more of each packet (tcpdump -s 160)");
  }
}

void doubt_joining(const Matcher& matcher, bool captures, std::vector<std::string>& lines) {
  if (matcher.gave_up()) {
    lines.push_back(
        "too much came at once to wait for every vantage point: "
        "what some brought "
        "later is joined with nothing");
  }
  std::set<std::string> late;
  for (const bool reverse : {false, true}) {
    for (const Lane& lane : matcher.lanes(reverse)) {
      if (lane.late) late.insert(lane.key.sensor);
    }
  }
  for (const std::string& sensor : late) {
    lines.push_back("sensor " + sensor +
                    ": some of its records came long behind the others' and "
                    "were not joined; "
                    "losses beside it are undecided then");
  }
  doubt_unjoined(matcher, captures, lines);
}

}  // namespace fieldline::analysis
