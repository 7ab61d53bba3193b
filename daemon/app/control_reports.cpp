// SPDX-License-Identifier: Apache-2.0
// What a role tells of its runs and of itself, and which archives hear it.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "app/control.h"
#include "app/reports.h"
#include "source/system_facts.h"

namespace fieldline::app {

namespace {

constexpr std::size_t kInterimCounts = 64;   // runs whose counts are told each second
constexpr unsigned kLogLinesPerSecond = 20;  // a flood of refusals is counted, not written out

// Of a run without records the counts alone tell that it is met.
bool tells_of_something(const nlohmann::json& counts) {
  const nlohmann::json& flows = counts.at("flows");
  return flows.at("forward").at("packets") != 0 || flows.at("reverse").at("packets") != 0 ||
         (counts.contains("events") && counts["events"].at("seen") != 0);
}

// Of networks the route to one of their hosts says nothing of the others.
source::SystemFacts facts_for(const sense::Grant& grant, std::vector<std::string> interfaces,
                              const std::vector<std::string>& in_path) {
  interfaces.insert(interfaces.end(), in_path.begin(), in_path.end());
  std::optional<source::FlowEnds> ends;
  if (!in_path.empty() && grant.host_a.length == 128 && grant.host_b.length == 128)
    ends = {grant.host_a.address, grant.host_b.address};
  return source::read_system_facts(interfaces, ends);
}

}  // namespace

std::optional<stream::Fingerprint> Control::archive_of(const RunId& run, std::size_t copy) const {
  const sense::Activation* activation = table_.find(run);
  const auto selected =
      streams_.key_of(activation ? activation->decision.archive : stream::Fingerprint{});
  if (copy == 0) return selected;
  if (activation != nullptr && activation->decision.at_requester) return std::nullopt;
  const stream::Fingerprint& mirror = streams_.mirrors().at(copy - 1);
  return mirror == selected ? std::nullopt : std::optional(mirror);
}

std::set<stream::Fingerprint> Control::archives_in_use() const {
  std::set<stream::Fingerprint> archives;
  for (const sense::Activation* activation : table_.all()) {
    for (std::size_t copy = 0; copy < copies(); ++copy) {
      if (auto archive = archive_of(activation->run, copy)) archives.insert(*archive);
    }
  }
  return archives;
}

void Control::report_copy(std::uint8_t type, const RunId& run, std::size_t copy,
                          nlohmann::json document) {
  auto archive = archive_of(run, copy);
  if (!archive) return;
  document["role"] = role_.kind();
  streams_.report(type, *archive, run, std::move(document));
}

void Control::report(std::uint8_t type, const RunId& run, const nlohmann::json& document) {
  for (std::size_t copy = 0; copy < copies(); ++copy) report_copy(type, run, copy, document);
}

void Control::report_started(const sense::Activation& activation,
                             const std::optional<RunId>& continues) {
  auto started = activation_report("started", name_, activation, clock_.utc_ns(), "");
  started["system"] =
      system_json(facts_for(activation.grant, interfaces_, role_.interfaces_in_path()));
  if (continues) started["continues"] = continues->hex();
  report(FL_FRAME_ACTIVATION, activation.run, started);
}

// So that live records do not wait behind a backlog: the session is closed as a dead one's is, with
// final counts of each run, and its rest is sent beside the new one.
void Control::begin_session() {
  std::vector<const sense::Activation*> runs;
  for (const sense::Activation* activation : table_.all()) {
    if (!arming_.contains(activation->run)) runs.push_back(activation);
  }
  role_.end_session(runs);
  const RunId before = streams_.session(), next = Streams::new_session();
  for (const sense::Activation* activation : runs) report_counts(*activation, true, next);
  streams_.begin_session(next);
  role_.session_begun(runs);
  spdlog::warn("session {} lags behind and is closed; its rest is sent beside session {}",
               before.brief(), next.brief());
  for (const sense::Activation* activation : runs) report_started(*activation, before);
}

// Those of a run that goes on are left out where the spool is for what must not be lost.
void Control::report_counts(const sense::Activation& activation, bool final,
                            const std::optional<RunId>& continued_in) {
  nlohmann::json triggers = nlohmann::json::array();
  if (auto found = arrivals_.find(activation.run); found != arrivals_.end()) {
    for (const auto& [port, count] : found->second)
      triggers.push_back({{"port", port}, {"count", count}});
  }
  for (std::size_t copy = 0; copy < copies(); ++copy) {
    auto archive = archive_of(activation.run, copy);
    if (!archive || (!final && !streams_.has_room(*archive))) continue;
    nlohmann::json counts = role_.counts_of(activation, final, copy);
    counts["triggers"] = triggers;
    counts["outages"] = streams_.outages(*archive, activation.started_utc_ns);
    if (continued_in) counts["continued_in"] = continued_in->hex();
    if (tells_of_something(counts)) streams_.dial(*archive);
    report_copy(FL_FRAME_FINAL_COUNTS, activation.run, copy, std::move(counts));
  }
}

// Of no run: one serves every run that is on.
void Control::report_clock() {
  clock_watch_.look();
  const auto steps = clock_watch_.take();
  for (const ClockStep& step : steps) {
    spdlog::warn("this host's clock was set: {} by {} ns between {} and {}", name_of(step.what),
                 step.by_ns, format_utc(step.from_ns), format_utc(step.to_ns));
  }
  const auto chrony = chrony_.tracking();
  const auto archives = archives_in_use();
  if (archives.empty()) return;
  auto document = clock_report({.sensor = name_,
                                .at_ns = clock_.utc_ns(),
                                .tai_offset_s = tai_offset_ns(clock_) / kNanosPerSecond,
                                .stamps_early_by_ns = role_.stamps_early_by_ns(),
                                .kernel = source::read_clock_facts(),
                                .chrony = chrony,
                                .steps_so_far = clock_watch_.steps(),
                                .steps = steps});
  document["role"] = role_.kind();
  for (const stream::Fingerprint& archive : archives) {
    if (streams_.has_room(archive)) streams_.report(FL_FRAME_CLOCK_QUALITY, archive, {}, document);
  }
}

void Control::keep_reporting() {
  second_timer_.expires_after(std::chrono::seconds(1));
  second_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    each_second();
    keep_reporting();
  });
}

void Control::each_second() {
  gate_.expire(clock_.utc_ns());
  if (streams_.lags()) begin_session();
  report_interim_counts();
  report_clock();
  nlohmann::json status = role_.status();
  status["session"] = streams_.session().hex();
  status.update(streams_.others());
  streams_.own().send_status(status.dump());
  if (suppressed_lines_ > 0)
    spdlog::warn("{} further refusals in the last second, counted only", suppressed_lines_);
  suppressed_lines_ = 0;
  log_tokens_ = kLogLinesPerSecond;
}

// Counts of runs that go on: of so many runs a second, in turn.
void Control::report_interim_counts() {
  auto runs = table_.all();
  for (std::size_t i = 0; i < std::min(runs.size(), kInterimCounts); ++i) {
    const sense::Activation& activation = *runs[next_counted_++ % runs.size()];
    if (activation.ending || arming_.contains(activation.run)) continue;
    report_counts(activation, false);
  }
}

void Control::tell_refused(const sense::Grant& grant, const sense::Refusal& refusal) {
  if (refusal.reason == sense::Reason::duplicate || refusal.reason == sense::Reason::busy) return;
  if (!told_.insert(grant.run).second) return;
  if (told_.size() > 4096) told_.clear();
  report(FL_FRAME_ACTIVATION, grant.run, refusal_report(name_, grant, refusal, clock_.utc_ns()));
}

}  // namespace fieldline::app
