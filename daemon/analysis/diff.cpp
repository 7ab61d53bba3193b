// SPDX-License-Identifier: Apache-2.0
#include "analysis/diff.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/delay_blocks.h"
#include "analysis/ledger.h"
#include "analysis/time_bins.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;
using Kind = Difference::Kind;

// What is near in time is alike: means over so long are taken for independent.
constexpr std::uint64_t kBlockNs = 1'000'000'000;
constexpr std::size_t kBlocksLeast = 5;  // of each run, to say how much it varies

struct Sample {
  double mean = 0;
  std::optional<double> error;  // standard error of the mean
};

Sample sample_of(const std::vector<double>& blocks) {
  Sample sample;
  for (const double block : blocks) sample.mean += block / static_cast<double>(blocks.size());
  if (blocks.size() < kBlocksLeast) return sample;
  double squares = 0;
  for (const double block : blocks) squares += (block - sample.mean) * (block - sample.mean);
  const double count = static_cast<double>(blocks.size());
  sample.error = std::sqrt(squares / (count - 1) / count);
  return sample;
}

// Welch; two samples without any spread differ by as much as one likes.
std::optional<double> sigmas_of(const Sample& a, const Sample& b) {
  if (!a.error || !b.error) return {};
  const double error = std::hypot(*a.error, *b.error);
  if (error > 0) return std::abs(a.mean - b.mean) / error;
  return a.mean == b.mean ? 0.0 : 1e9;
}

// Of two counts of n packets each, as of independent losses; bursts make it less sure.
double sigmas_of_rates(double lost_a, double all_a, double lost_b, double all_b) {
  const double all = (lost_a + lost_b) / (all_a + all_b);
  const double error = std::sqrt(all * (1 - all) * (1 / all_a + 1 / all_b));
  return error > 0 ? std::abs(lost_a / all_a - lost_b / all_b) / error : 0;
}

void flatten(const json& value, const std::string& name, std::map<std::string, json>& into) {
  if (!value.is_object()) {
    into[name] = value;
    return;
  }
  for (const auto& [key, member] : value.items())
    flatten(member, name.empty() ? key : name + "." + key, into);
}

// Of each host and sensor by name. What a clock says of itself changes at any time.
std::map<std::string, json> settings_of(const PathReport& path) {
  std::map<std::string, json> settings;
  for (const auto& [name, system] : path.systems) {
    json kept = system;
    if (kept.contains("clock") && kept["clock"].is_object()) {
      for (const char* moving : {"max_error_ns", "estimated_error_ns", "frequency_ppm"})
        kept["clock"].erase(moving);
    }
    if (kept.contains("sysctls")) {
      json sysctls = std::move(kept["sysctls"]);
      kept.erase("sysctls");
      if (sysctls.is_object()) kept.update(sysctls);
    }
    std::map<std::string, json> own;
    flatten(kept, "", own);
    for (auto& [key, value] : own) settings[name + ": " + key] = std::move(value);
  }
  return settings;
}

struct Comparison {
  const WhyReport &before, &after;
  DiffReport& report;

  void add(Kind kind, std::string subject, std::string measure, json a, json b, std::string unit,
           std::optional<double> sigmas) const {
    report.differences.push_back({kind, std::move(subject), std::move(measure), std::move(a),
                                  std::move(b), std::move(unit), sigmas});
  }

  static std::string title_of(const WhyReport& run) {
    std::string files;
    for (const auto& file : run.path.captures) files += (files.empty() ? "" : ", ") + file;
    return files.empty() ? "run " + run.path.run.brief() : files;
  }

  void settings() const {
    bool both = true;
    for (const auto* one : {&before, &after}) {
      if (!one->path.systems.empty()) continue;
      report.doubts.push_back(title_of(*one) + " keeps no settings: they are not compared");
      both = false;
    }
    if (!both) return;
    const auto a = settings_of(before.path);
    auto b = settings_of(after.path);
    const auto differ = [&](const std::string& name, json left, json right) {
      add(Kind::setting, name, "", std::move(left), std::move(right), "", {});
    };
    for (const auto& [name, value] : a) {
      const auto other = b.find(name);
      if (other != b.end() && other->second == value) {
        ++report.settings_equal;
      } else {
        differ(name, value, other == b.end() ? json() : other->second);
      }
      if (other != b.end()) b.erase(other);
    }
    for (const auto& [name, value] : b) differ(name, json(), value);
  }

  static std::string points_of(const Direction& direction) {
    std::string text;
    for (const Point& point : direction.points) text += (text.empty() ? "" : " - ") + point.name;
    return text;
  }

  void direction(bool reverse) const {
    const Direction& a = reverse ? before.path.reverse : before.path.forward;
    const Direction& b = reverse ? after.path.reverse : after.path.forward;
    const std::string arrow = reverse ? "<- " : "-> ";
    if (const auto was = points_of(a), is = points_of(b); was != is)
      add(Kind::path, arrow + "points", "", was, is, "", {});
    for (const Section& section : a.sections) {
      const std::string name = name_of(a, section);
      const auto same = std::find_if(b.sections.begin(), b.sections.end(),
                                     [&](const Section& one) { return name_of(b, one) == name; });
      if (same == b.sections.end()) continue;
      losses(arrow + name, section, *same);
      delays(arrow + name, section, *same);
    }
  }

  void losses(const std::string& name, const Section& a, const Section& b) const {
    if (!a.lost || !b.lost || a.packets == 0 || b.packets == 0 || (*a.lost == 0 && *b.lost == 0))
      return;
    const auto share = [](const Section& one) {
      return 100.0 * static_cast<double>(*one.lost) / static_cast<double>(one.packets);
    };
    add(Kind::loss, name, "lost", share(a), share(b), "%",
        sigmas_of_rates(static_cast<double>(*a.lost), static_cast<double>(a.packets),
                        static_cast<double>(*b.lost), static_cast<double>(b.packets)));
  }

  void delays(const std::string& name, const Section& a, const Section& b) const {
    if (a.delay.samples == 0 || b.delay.samples == 0) return;
    const auto blocks_a = delay_blocks(a, kBlockNs, kBlocksLeast);
    const auto blocks_b = delay_blocks(b, kBlockNs, kBlocksLeast);
    const auto was = sample_of(blocks_a.above_ms), is = sample_of(blocks_b.above_ms);
    add(Kind::delay, name, "mean above the least", was.mean, is.mean, "ms", sigmas_of(was, is));
    const auto ms = [](std::int64_t ns) { return static_cast<double>(ns) / 1e6; };
    add(Kind::delay, name, "least, by the points' clocks", ms(blocks_a.least_ns),
        ms(blocks_b.least_ns), "ms",
        clock_sigmas(static_cast<double>(blocks_a.least_ns - blocks_b.least_ns)));
  }

  // What the clocks of both runs say of their own error bounds the sum of four offsets.
  std::optional<double> clock_sigmas(double apart_ns) const {
    double error = 0;
    for (const auto* one : {&before, &after}) {
      double most = 0;
      for (const auto& [name, system] : one->path.systems) {
        if (!system.contains("clock") || !system["clock"].is_object()) return {};
        const auto told = number_in(system["clock"], "max_error_ns");
        if (!told || !system["clock"].value("synchronized", json(false)).is_boolean() ||
            !system["clock"].value("synchronized", false))
          return {};
        most = std::max(most, static_cast<double>(*told));
      }
      if (one->path.systems.empty()) return {};
      error += 2 * most;
    }
    if (error == 0) return {};
    return 3 * std::abs(apart_ns) / error;  // a bound, not a deviation: beyond it is a change
  }

  // Each limit's share of each second, of all flows that are not minor.
  static std::map<Limit, std::vector<double>> shares_of(const WhyReport& run) {
    std::map<std::uint64_t, LimitTimes> blocks;
    for (const WhyFlow& flow : run.flows) {
      if (flow.minor) continue;
      for (const WhyInterval& interval : flow.intervals)
        blocks[interval.from_ns / kBlockNs].add(interval.times);
    }
    std::map<Limit, std::vector<double>> shares;
    for (std::size_t at = 0; at < kLimits; ++at) {
      const auto limit = static_cast<Limit>(at);
      if (run.total[limit] == 0) continue;
      for (const auto& [second, times] : blocks) {
        shares[limit].push_back(100.0 * static_cast<double>(times[limit]) /
                                static_cast<double>(std::max<std::uint64_t>(times.sum(), 1)));
      }
    }
    return shares;
  }

  void limits() const {
    auto a = shares_of(before), b = shares_of(after);
    for (std::size_t at = 0; at < kLimits; ++at) {
      const auto limit = static_cast<Limit>(at);
      if (before.total[limit] == 0 && after.total[limit] == 0) continue;
      const auto of = [limit](std::map<Limit, std::vector<double>>& shares, const WhyReport& run) {
        auto& blocks = shares[limit];
        if (blocks.empty()) blocks.assign(run.flows.empty() ? 0 : kBlocksLeast, 0.0);
        Sample sample = sample_of(blocks);
        sample.mean = 100.0 * static_cast<double>(run.total[limit]) /
                      static_cast<double>(std::max<std::uint64_t>(run.total.sum(), 1));
        return sample;
      };
      const Sample was = of(a, before), is = of(b, after);
      add(Kind::limit, text_of(limit), "share of the time", was.mean, is.mean, "%",
          sigmas_of(was, is));
    }
  }

  // One figure a run: how much it varies from run to run two runs do not tell.
  void flows() const {
    const auto of = [](const WhyReport& run) -> std::optional<double> {
      double bits = 0, seconds = 0;
      for (const WhyFlow& flow : run.flows) {
        if (flow.minor) continue;
        bits += 8.0 * static_cast<double>(flow.bytes());
        seconds =
            std::max(seconds, static_cast<double>(flow.facts.last_ns - flow.facts.first_ns) / 1e9);
      }
      if (seconds <= 0) return {};
      return bits / seconds / 1e6;
    };
    const auto a = of(before), b = of(after);
    if (a && b) add(Kind::flow, "throughput", "", *a, *b, "Mb/s", {});
  }
};

}  // namespace

DiffReport compare(const WhyReport& before, const WhyReport& after) {
  DiffReport report;
  report.before = before.path.run;
  report.after = after.path.run;
  report.before_title = Comparison::title_of(before);
  report.after_title = Comparison::title_of(after);
  if (!report.before.is_zero() && report.before == report.after)
    report.doubts.push_back("both are the same run");
  const Comparison comparison{before, after, report};
  comparison.settings();
  comparison.flows();
  comparison.direction(false);
  comparison.direction(true);
  comparison.limits();
  for (const auto* one : {&before, &after}) {
    for (const std::string& line : one->doubts)
      report.doubts.push_back(Comparison::title_of(*one) + ": " + line);
    if (!one->path.complete)
      report.doubts.push_back(Comparison::title_of(*one) + ": its evidence is incomplete");
  }
  return report;
}

}  // namespace fieldline::analysis
