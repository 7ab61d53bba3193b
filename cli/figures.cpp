// SPDX-License-Identifier: Apache-2.0
#include "cli/figures.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"

namespace fieldline::cli {
namespace {

using analysis::Cause;
using analysis::Direction;
using analysis::OneWay;
using analysis::Section;

constexpr const char *kBlue = "#1f5a99", *kOrange = "#d1701f", *kGreen = "#3b8f5a",
                     *kRed = "#c22525", *kPurple = "#8a4a9e", *kGrey = "#777777";
constexpr const char* kTime = "time since the first packet, by the sending point's clock (s)";
constexpr std::size_t kFlows = 4;

double seconds(std::uint64_t time, std::uint64_t origin) {
  return static_cast<double>(static_cast<long double>(time) - static_cast<long double>(origin)) /
         1e9;
}

const analysis::Point& point_of(const Direction& direction, int at) {
  return direction.points[static_cast<std::size_t>(at)];
}

std::string title_of(const analysis::PathReport& report, const std::string& what) {
  return report.captures.empty() ? fmt::format("{} of run {}", what, report.run.brief())
                                 : fmt::format("{} of {} captures", what, report.captures.size());
}

// Places have a clock each: time is counted from the first packet that any section of it has.
class Origins {
 public:
  explicit Origins(const analysis::PathReport& report) {
    for (const Direction* direction : {&report.forward, &report.reverse}) {
      for (const Section& section : direction->sections) {
        if (section.delays.bins().empty()) continue;
        const std::uint64_t first = section.delays.bins().front().from_ns;
        const auto [known, fresh] = origins_.try_emplace(key(*direction, section), first);
        if (!fresh) known->second = std::min(known->second, first);
      }
    }
  }
  std::uint64_t of(const Direction& direction, const Section& section) const {
    const auto known = origins_.find(key(direction, section));
    return known == origins_.end() ? 0 : known->second;
  }

 private:
  static std::string key(const Direction& direction, const Section& section) {
    if (section.upstream < 0) return "";
    const analysis::Point& point = point_of(direction, section.upstream);
    return point.domain + "/" + point.sensor;
  }

  std::map<std::string, std::uint64_t> origins_;
};

struct Unit {
  double per = 1;  // ns
  const char* name = "ns";
};

Unit unit_of(const std::vector<OneWay::Bin>& bins) {
  double largest = 0;
  for (const auto& bin : bins) {
    largest = std::max({largest, std::abs(static_cast<double>(bin.max_ns)),
                        std::abs(static_cast<double>(bin.min_ns))});
  }
  if (largest >= 10e9) return {1e9, "s"};
  return largest >= 1e6 ? Unit{1e6, "ms"} : Unit{1e3, "us"};
}

// Of bins of one width.
Panel delay_panel(const Direction& direction, const Section& section, bool reverse,
                  const std::vector<OneWay::Bin>& bins, std::uint64_t width_ns,
                  std::uint64_t origin) {
  const Unit unit = unit_of(bins);
  Panel panel;
  panel.title =
      fmt::format("{} {} - {}", reverse ? "<-" : "->", point_of(direction, section.upstream).name,
                  point_of(direction, section.downstream).name);
  panel.y = fmt::format("delay ({})", unit.name);
  const double width = static_cast<double>(width_ns) / 1e9;
  const double whole = bins.empty() ? 0 : seconds(bins.back().from_ns, bins.front().from_ns);
  Curve band{fmt::format("least to most of {:.3g} s", width), Mark::band, kBlue, {}, 0};
  Curve most{"least to p99", Mark::band, kBlue, {}, 0};
  Curve least{"least", Mark::line, kBlue, {}, 0}, mean{"mean", Mark::line, kOrange, {}, 0};
  for (const auto& bin : bins) {
    const double at = seconds(bin.from_ns, origin) + width / 2;
    const double low = static_cast<double>(bin.min_ns) / unit.per;
    band.values.push_back({at, low, static_cast<double>(bin.max_ns) / unit.per});
    if (bin.p99_ns)
      most.values.push_back({at, low, std::max(low, static_cast<double>(*bin.p99_ns) / unit.per)});
    least.values.push_back({at, low, 0});
    mean.values.push_back({at, static_cast<double>(bin.mean_ns) / unit.per, 0});
  }
  band.gap = most.gap = least.gap = mean.gap = std::max(20 * width, whole / 50);
  Curve lost{grouped(section.lost.value_or(0)) + " lost", Mark::edge, kRed, {}, 0};
  for (const auto& packet : section.lost_packets)
    lost.values.push_back({seconds(packet.timestamp_ns, origin), 0, 0});
  panel.curves = {std::move(band), std::move(most), std::move(least), std::move(mean),
                  std::move(lost)};
  return panel;
}

std::vector<OneWay::Bin> bins_of(const Section& section) {
  std::vector<OneWay::Bin> bins;
  const auto p99 = analysis::p99_of(section.delays, section.delay_samples);
  for (const auto& bin : section.delays.bins()) {
    bins.push_back({bin.from_ns, bin.min_ns,
                    std::llround(bin.sum_ns / static_cast<double>(bin.count)), bin.max_ns,
                    p99[bins.size()]});
  }
  return bins;
}

struct Chosen {
  const analysis::SequenceLine* line;
  bool reverse;
  std::size_t again = 0;
};

bool is_of(const analysis::Verdict& verdict, const Chosen& chosen,
           const analysis::PathReport& report) {
  const analysis::FlowKey& key = report.flows[chosen.line->flow];
  return verdict.reverse == chosen.reverse &&
         verdict.again.packet.sport == (chosen.reverse ? key.port_b : key.port_a) &&
         verdict.again.packet.dport == (chosen.reverse ? key.port_a : key.port_b);
}

// Most sent again first; where nothing was, most sent.
std::vector<Chosen> lines_of(const analysis::RetransReport& report) {
  std::vector<Chosen> all;
  for (const bool reverse : {false, true}) {
    const Direction& direction = reverse ? report.path.reverse : report.path.forward;
    for (const auto& line : direction.sequences) {
      if (line.flow >= report.path.flows.size() || line.bins.empty()) continue;
      all.push_back({&line, reverse, 0});
      for (const auto& verdict : report.verdicts)
        all.back().again += is_of(verdict, all.back(), report.path);
    }
  }
  const auto sent = [](const Chosen& one) {
    std::int64_t high = 0;
    for (const auto& bin : one.line->bins) high = std::max(high, bin.high);
    return high;
  };
  std::stable_sort(all.begin(), all.end(), [&](const Chosen& a, const Chosen& b) {
    return a.again != b.again ? a.again > b.again : sent(a) > sent(b);
  });
  const bool any = !all.empty() && all.front().again > 0;
  std::erase_if(all, [&](const Chosen& one) { return any && one.again == 0; });
  if (all.size() > (any ? kFlows : 1)) all.resize(any ? kFlows : 1);
  return all;
}

Panel sequence_panel(const Chosen& chosen, const analysis::RetransReport& report) {
  const analysis::FlowKey& key = report.path.flows[chosen.line->flow];
  const auto& bins = chosen.line->bins;
  const std::uint64_t origin = bins.front().from_ns;
  std::int64_t most = 0;
  for (const auto& bin : bins) most = std::max(most, bin.high);
  const double per = most >= 1'000'000 ? 1e6 : 1e3;
  Panel panel;
  panel.title = fmt::format("{} {}:{} - {}:{}", chosen.reverse ? "<-" : "->", key.a.to_string(),
                            key.port_a, key.b.to_string(), key.port_b);
  panel.y = per > 1e3 ? "sequence (MB)" : "sequence (kB)";
  Curve sent{"sent", Mark::bars, kBlue, {}, 0}, acked{"acknowledged", Mark::steps, kGreen, {}, 0};
  for (const auto& bin : bins) {
    const double at = seconds(bin.from_ns, origin);
    if (bin.sent)
      sent.values.push_back(
          {at, static_cast<double>(bin.low) / per, static_cast<double>(bin.high) / per});
    if (bin.acknowledged) acked.values.push_back({at, static_cast<double>(bin.ack) / per, 0});
  }
  std::map<Cause, Curve> again;
  Curve lost{"lost", Mark::cross, kRed, {}, 0};
  again[Cause::lost] = {"sent again: was lost", Mark::dots, kOrange, {}, 0};
  again[Cause::ack_lost] = {"sent again: acknowledgement lost", Mark::dots, kPurple, {}, 0};
  again[Cause::never_left] = {"sent again: had not left the host", Mark::dots, kGreen, {}, 0};
  again[Cause::spurious] = {"sent again: spurious", Mark::dots, kGrey, {}, 0};
  again[Cause::undecided] = {"sent again: undecided", Mark::dots, "#000000", {}, 0};
  const auto put = [&](Curve& curve, const analysis::LostPacket& packet) {
    const auto byte = chosen.line->byte_at(packet.timestamp_ns, packet.sequence);
    curve.values.push_back(
        {seconds(packet.timestamp_ns, origin), static_cast<double>(byte) / per, 0});
  };
  for (const auto& verdict : report.verdicts) {
    if (!is_of(verdict, chosen, report.path)) continue;
    put(again[verdict.cause], verdict.again.packet);
    const bool seen = verdict.again.before.timestamp_ns != 0 && !verdict.again.acknowledged;
    if (verdict.cause == Cause::lost && seen) put(lost, verdict.again.before);
  }
  panel.curves = {std::move(sent), std::move(acked)};
  for (auto& [cause, curve] : again) {
    if (curve.values.empty()) continue;
    curve.name += " (" + grouped(curve.values.size()) + ")";
    panel.curves.push_back(std::move(curve));
  }
  lost.name += " (" + grouped(lost.values.size()) + ")";
  if (!lost.values.empty()) panel.curves.push_back(std::move(lost));
  return panel;
}

}  // namespace

Figure figure_of(const analysis::PathReport& report) {
  Figure figure{title_of(report, "Delay as the clocks have it,"), kTime, {}};
  const Origins origins(report);
  for (const bool reverse : {false, true}) {
    const Direction& direction = reverse ? report.reverse : report.forward;
    for (const Section& section : direction.sections) {
      if (section.delays.bins().empty()) continue;
      figure.panels.push_back(delay_panel(direction, section, reverse, bins_of(section),
                                          section.delays.width_ns(),
                                          origins.of(direction, section)));
    }
  }
  return figure;
}

Figure figure_of(const analysis::OwdReport& report) {
  Figure figure{title_of(report.path, "One-way delay"), kTime, {}};
  const Origins origins(report.path);
  for (const OneWay& way : report.ways) {
    if (way.kind == OneWay::Kind::nothing) continue;
    const Direction& direction = way.reverse ? report.path.reverse : report.path.forward;
    const Section& section = direction.sections[way.section];
    const std::uint64_t origin = origins.of(direction, section);
    Panel panel = delay_panel(direction, section, way.reverse, way.bins, way.width_ns, origin);
    if (way.kind == OneWay::Kind::variation) {
      panel.title += ": above the least, which is not known";
    } else if (way.pair) {
      panel.title += fmt::format(": every value +- {:.3f} ms, the same for all",
                                 static_cast<double>(way.error_ns) / 1e6);
      const analysis::ClockPair& pair = report.clocks[*way.pair];
      // By the other clock's time it cannot be drawn to the point.
      const bool same = (pair.a == point_of(direction, section.upstream).sensor) != pair.by_b;
      for (const auto& step : pair.course.steps) {
        if (same) panel.uprights.push_back(seconds(pair.time_of(step.to), origin));
      }
      if (!panel.uprights.empty()) panel.title += "; dashed: a clock steps";
    }
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

Figure figure_of(const analysis::RetransReport& report) {
  Figure figure{title_of(report.path, "Time and sequence"),
                "time since the flow's first packet (s)",
                {},
                480};
  for (const Chosen& chosen : lines_of(report))
    figure.panels.push_back(sequence_panel(chosen, report));
  return figure;
}

}  // namespace fieldline::cli
