// SPDX-License-Identifier: Apache-2.0
#include "cli/run_life.h"

#include <set>

#include "base/clock.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "proto/frame.h"

namespace fieldline::cli {

void RunLife::take(std::uint8_t type, const nlohmann::json& document, std::uint64_t now_ns) {
  const bool counts = type == FL_FRAME_FINAL_COUNTS;
  if (!counts && type != FL_FRAME_ACTIVATION) return;
  hear(now_ns);
  const std::string event = string_at(document, "event");
  if (!counts && event != "started" && event != "ended") return;
  Session& session = sessions_[string_at(document, "session")];
  session.name = printable(string_at(document, "sensor"));
  session.is_host |= string_at(document, "role") == "host";
  session.heard_ns = now_ns;
  if (event == "started") {
    session.started = true;
    session.counted = false;
    not_after_ns_ = std::max(not_after_ns_, number_at(member(document, "grant"), "not_after_ns"));
  }
  if (counts && true_at(document, "final")) session.counted = true;
}

bool RunLife::is_on(const std::string& session) const {
  const auto found = sessions_.find(session);
  return found != sessions_.end() && found->second.started && !found->second.counted &&
         !found->second.is_host;
}

bool RunLife::is_over(std::uint64_t begun_ns, std::uint64_t now_ns, std::uint64_t utc_ns) const {
  const bool any_ended = std::any_of(sessions_.begin(), sessions_.end(),
                                     [](const auto& one) { return one.second.counted; });
  // What came meanwhile may be later than `now`.
  return (any_ended || utc_ns > not_after_ns_) && std::max(heard_ns_, begun_ns) + kSilence < now_ns;
}

template <class Condition>
std::vector<std::string> RunLife::names_of(Condition condition) const {
  std::set<std::string> names;
  for (const auto& [id, session] : sessions_) {
    if (session.started && !session.counted && condition(session)) names.insert(session.name);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> RunLife::without_final_counts() const {
  return names_of([](const Session&) { return true; });
}

std::vector<std::string> RunLife::silent(std::uint64_t now_ns) const {
  return names_of([&](const Session& session) { return session.heard_ns + kSilence < now_ns; });
}

std::string RunLife::silence_text(const std::string& name, std::uint64_t utc_ns) const {
  const std::string text =
      "no word of " + name + " for " + short_duration(kSilence) + ": killed or cut off";
  if (utc_ns > not_after_ns_) return text;
  return text + "; it may come back until the grant ends, " +
         format_utc(not_after_ns_).substr(0, 19) + "Z";
}

}  // namespace fieldline::cli
