// SPDX-License-Identifier: Apache-2.0
#include "analysis/gaps.h"

#include <algorithm>

#include "analysis/ledger.h"
#include "base/clock.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

// What a sensor tells and keeps of each; more is no sensor of ours.
constexpr std::size_t kListed = 64, kSpans = 1024;

std::vector<Gap> listed(const json& document, const char* key, Gap::What what, const char* cause) {
  std::vector<Gap> gaps;
  const auto list = document.find(key);
  if (list == document.end() || !list->is_array()) return gaps;
  for (const json& one : *list) {
    const auto from = number_in(one, "from_ns");
    if (!from || gaps.size() == kListed) continue;
    Gap gap;
    gap.what = what;
    gap.cause = string_in(one, cause).value_or("");
    gap.from_ns = *from;
    gap.until_ns = number_in(one, "until_ns");
    gap.count = number_in(one, "count");
    gaps.push_back(std::move(gap));
  }
  return gaps;
}

std::string times_of(std::uint64_t from_ns, std::optional<std::uint64_t> until_ns) {
  return " from " + format_utc(from_ns) + (until_ns ? " to " + format_utc(*until_ns) : " on");
}

// Without its times.
std::string words_of(const Gap& gap, std::uint64_t count) {
  switch (gap.what) {
    case Gap::What::dropped:
    case Gap::What::missed:
      return std::string(name_of(gap.what)) + " " + grouped(count) + " (" + gap.cause + ")";
    case Gap::What::blind:
      if (gap.cause == "died") return "died, and what it saw is not known";
      if (gap.cause == "undelivered") return "lagged behind, and its rest has not come";
      if (gap.cause == "silent") return "has told nothing more";
      return "was off (" + gap.cause + ")";
    case Gap::What::cut_off:
      return "was cut off from its archive (" + gap.cause + ")";
    case Gap::What::clock_set:
      break;
  }
  return "had its clock set (" + gap.cause + ")";
}

}  // namespace

const char* name_of(Gap::What what) {
  switch (what) {
    case Gap::What::dropped:
      return "dropped";
    case Gap::What::missed:
      return "missed";
    case Gap::What::blind:
      return "blind";
    case Gap::What::cut_off:
      return "cut_off";
    case Gap::What::clock_set:
      return "clock_set";
  }
  return "";
}

void sort_by_begin(std::vector<Gap>& gaps) {
  std::stable_sort(gaps.begin(), gaps.end(),
                   [](const Gap& a, const Gap& b) { return a.from_ns < b.from_ns; });
}

std::string Gap::to_string() const {
  const std::string by = by_ns ? " by " + std::to_string(*by_ns) + " ns" : "";
  return sensor + " " + words_of(*this, count.value_or(0)) + by + times_of(from_ns, until_ns);
}

std::vector<std::string> doubts_of(const std::vector<Gap>& gaps) {
  struct Sum {
    Gap first;
    std::uint64_t gaps = 0, count = 0;
    std::optional<std::uint64_t> until_ns = 0;
  };
  std::map<std::tuple<std::string, Gap::What, std::string>, Sum> sums;
  for (const Gap& gap : gaps) {
    if (!gap.loses() && gap.what != Gap::What::blind) continue;
    if (gap.cause == "silent") continue;
    Sum& sum = sums[{gap.sensor, gap.what, gap.cause}];
    if (sum.gaps++ == 0) sum.first = gap;
    sum.count += gap.count.value_or(0);
    sum.until_ns = sum.until_ns && gap.until_ns ? std::max(sum.until_ns, gap.until_ns)
                                                : std::optional<std::uint64_t>();
  }
  std::vector<std::string> lines;
  for (const auto& [key, sum] : sums) {
    lines.push_back(
        sum.first.sensor + " " + words_of(sum.first, sum.count) +
        (sum.gaps > 1 ? ", " + grouped(sum.gaps) + " times" : "") +
        times_of(sum.first.from_ns, sum.until_ns) +
        (sum.first.what == Gap::What::blind ? ": a loss beside it then may be its own" : ""));
  }
  return lines;
}

GapBook::Span* GapBook::span_of(const Word& word) {
  const auto sensor = sensors_.find(word.sensor);
  if (sensor == sensors_.end()) return nullptr;
  const auto found = sensor->second.sessions.find(word.session);
  if (found == sensor->second.sessions.end()) return nullptr;
  Session& session = found->second;
  if (word.number != 0 && word.number <= session.newest) return nullptr;
  session.newest = word.number;
  sensor->second.off.reset();
  return &session.spans.back();
}

void GapBook::started(const Word& word) {
  Sensor& sensor = sensors_[word.sensor];
  if (sensor.spans == kSpans) return;
  Session& session = sensor.sessions[word.session];
  if (word.number != 0 && word.number <= session.newest) return;
  session.newest = word.number;
  const std::uint64_t at_ns = number_in(word.document, "at_ns").value_or(0);
  // From another archive, whose numbers differ, or without numbers.
  const bool again = std::any_of(session.spans.begin(), session.spans.end(),
                                 [at_ns](const Span& span) { return span.started_ns == at_ns; });
  if (again) return;
  ++sensor.spans;
  sensor.off.reset();
  Span& span = session.spans.emplace_back();
  span.session = word.session;
  span.started_ns = span.heard_ns = at_ns;
  span.continues = string_in(word.document, "continues").value_or("");
}

void GapBook::ended(const Word& word, std::uint64_t at_ns) {
  Span* span = span_of(word);
  if (span == nullptr) return;
  span->reason = string_in(word.document, "reason").value_or("");
  span->ended_ns = at_ns;
}

// Each says all of its session's until then.
void GapBook::counted(const Word& word, const Drops& so_far) {
  Span* span = span_of(word);
  if (span == nullptr) return;
  const std::uint64_t at_ns = number_in(word.document, "at_ns").value_or(0);
  const bool final = word.document.value("final", json()) == true;
  note_drops(*span, at_ns, so_far, !word.document.contains("gaps"));
  span->heard_ns = at_ns;
  span->told = listed(word.document, "gaps", Gap::What::dropped, "cause");
  span->cut_off = listed(word.document, "outages", Gap::What::cut_off, "why");
  if (!final) return;
  span->final = true;
  if (!span->ended_ns) span->ended_ns = at_ns;
  span->continued_in = string_in(word.document, "continued_in").value_or("");
}

// Drops whose times are not told fell between two counts. times_spool: the spool's are such, as
// in reports of old.
void GapBook::note_drops(Span& span, std::uint64_t at_ns, const Drops& so_far, bool times_spool) {
  for (const auto& [cause, count] : so_far) {
    std::uint64_t& before = span.drops[cause];
    if (count <= before) continue;
    const std::uint64_t more = count - before;
    before = count;
    if (cause == "spool" && !times_spool) continue;
    auto last = std::find_if(span.by_counts.rbegin(), span.by_counts.rend(),
                             [&cause = cause](const Gap& gap) { return gap.cause == cause; });
    const bool full = span.by_counts.size() >= kListed;
    if (last != span.by_counts.rend() && (full || last->until_ns == span.heard_ns)) {
      last->until_ns = std::max(span.heard_ns, at_ns);
      *last->count += more;
      continue;
    }
    Gap gap;
    gap.what = cause == "hook" ? Gap::What::missed : Gap::What::dropped;
    gap.cause = cause;
    gap.from_ns = std::min(span.heard_ns, at_ns);
    gap.until_ns = std::max(span.heard_ns, at_ns);
    gap.count = more;
    span.by_counts.push_back(std::move(gap));
  }
}

std::vector<const GapBook::Span*> GapBook::chain(
    const Span& head, const Sessions& sessions, const std::map<std::string, const Span*>& follows) {
  std::vector<const Span*> spans{&head};
  while (spans.size() <= follows.size()) {
    const auto next = follows.find(spans.back()->session);
    if (next == follows.end() || spans.back() != &sessions.at(next->first).spans.back()) break;
    spans.push_back(next->second);
  }
  return spans;
}

std::vector<Gap> GapBook::between(const Sessions& sessions) {
  std::map<std::string, const Span*> follows;  // by the session that goes on there
  std::vector<const Span*> heads;
  for (const auto& [name, session] : sessions) {
    for (const Span& span : session.spans) {
      const bool goes_on = !span.continues.empty() && sessions.contains(span.continues);
      if (goes_on) follows[span.continues] = &span;
      if (!goes_on) heads.push_back(&span);
    }
  }
  std::stable_sort(heads.begin(), heads.end(),
                   [](const Span* a, const Span* b) { return a->started_ns < b->started_ns; });
  std::vector<Gap> gaps;
  for (std::size_t at = 0; at < heads.size(); ++at) {
    const auto spans = chain(*heads[at], sessions, follows);
    // A session that was closed because it lagged behind leaves no gap once its rest has come.
    for (std::size_t link = 0; link + 1 < spans.size(); ++link) {
      if (spans[link]->final) continue;
      Gap gap;
      gap.what = Gap::What::blind;
      gap.cause = "undelivered";
      gap.from_ns = spans[link]->heard_ns;
      gap.until_ns = std::max(spans[link + 1]->started_ns, gap.from_ns);
      gaps.push_back(std::move(gap));
    }
    const Span& tail = *spans.back();
    const bool is_last = at + 1 == heads.size();
    const bool orderly = tail.final && tail.continued_in.empty();
    if (is_last && orderly) continue;
    Gap gap;
    gap.what = Gap::What::blind;
    gap.from_ns = tail.final ? *tail.ended_ns : tail.heard_ns;
    if (!is_last) gap.until_ns = std::max(heads[at + 1]->started_ns, gap.from_ns);
    gap.cause = is_last ? "silent" : "died";
    if (orderly) gap.cause = tail.reason.empty() ? "shutdown" : tail.reason;
    gaps.push_back(std::move(gap));
  }
  return gaps;
}

const std::vector<Gap>& GapBook::off(const std::string& sensor) const {
  static const std::vector<Gap> kNone;
  const auto found = sensors_.find(sensor);
  if (found == sensors_.end()) return kNone;
  auto& off = found->second.off;
  if (!off) {
    off = between(found->second.sessions);
    std::erase_if(*off, [](const Gap& gap) { return !gap.until_ns; });
  }
  return *off;
}

std::vector<Gap> GapBook::gaps() const {
  std::vector<Gap> all;
  for (const auto& [sensor, book] : sensors_) {
    std::vector<Gap> own = between(book.sessions);
    // An outage is told in each session that met it; the one that saw its end is the later one.
    std::map<std::uint64_t, Gap> cut_off;
    for (const auto& [name, session] : book.sessions) {
      for (const Span& span : session.spans) {
        own.insert(own.end(), span.by_counts.begin(), span.by_counts.end());
        own.insert(own.end(), span.told.begin(), span.told.end());
        for (const Gap& gap : span.cut_off) {
          Gap& known = cut_off.try_emplace(gap.from_ns, gap).first->second;
          if (!known.until_ns) known = gap;
        }
      }
    }
    for (auto& [from_ns, gap] : cut_off) own.push_back(std::move(gap));
    for (Gap& gap : own) {
      gap.sensor = sensor;
      all.push_back(std::move(gap));
    }
  }
  sort_by_begin(all);
  return all;
}

}  // namespace fieldline::analysis
