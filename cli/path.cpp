// SPDX-License-Identifier: Apache-2.0
#include "cli/path.h"

#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/figures.h"
#include "cli/flow_spec.h"
#include "cli/text.h"

namespace fieldline::cli {

namespace {

struct Lost {
  const analysis::LostPacket* packet;
  std::string where;
};

void collect(const analysis::Direction& direction, const char* arrow, std::vector<Lost>& lost) {
  auto name = [&](int index, const char* outside) {
    bool known = index >= 0 && static_cast<std::size_t>(index) < direction.points.size();
    return known ? printable(direction.points[static_cast<std::size_t>(index)].name)
                 : std::string(outside);
  };
  for (const auto& section : direction.sections) {
    std::string where = std::string(arrow) + " " + name(section.upstream, "source") + " - " +
                        name(section.downstream, "destination");
    for (const auto& packet : section.lost_packets) lost.push_back({&packet, where});
  }
}

}  // namespace

std::string render_lost(const analysis::PathReport& report) {
  std::vector<Lost> lost;
  collect(report.forward, "->", lost);
  collect(report.reverse, "<-", lost);
  std::stable_sort(lost.begin(), lost.end(), [](const Lost& a, const Lost& b) {
    return a.packet->timestamp_ns < b.packet->timestamp_ns;
  });
  std::vector<std::vector<std::string>> rows;
  for (const auto& [packet, where] : lost) {
    rows.push_back({format_utc(packet->timestamp_ns), name_of_protocol(packet->protocol),
                    std::to_string(packet->sport), std::to_string(packet->dport),
                    std::to_string(packet->sequence), std::to_string(packet->payload),
                    std::to_string(packet->ip_id), where});
  }
  if (rows.empty()) return "no packet was lost between vantage points\n";
  return format_table({{"LAST SEEN"},
                       {"PROTO"},
                       {"SPORT", Align::right},
                       {"DPORT", Align::right},
                       {"SEQ", Align::right},
                       {"LEN", Align::right},
                       {"IPID", Align::right},
                       {"SECTION"}},
                      rows);
}

int path(const PathOptions& options, const Result<UserSettings>& settings) {
  if (auto plot = check_plot(options.plot); !plot) return complain(plot.error(), kUsage);
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  auto report = (*analyzer)->report();
  std::string text;
  if (options.json) {
    text = json_text(analysis::to_json(report), 2) + "\n";
  } else {
    text = analysis::to_table(report, has_color(STDOUT_FILENO));
    if (options.lost) text += render_lost(report);
    if (!of_files(options.input)) {
      std::string run = report.run.brief();
      text += "NEXT     fieldline query " + run + " -o " + run + ".pcapng\n";
    }
  }
  if (auto drawn = draw(report, options.plot); !drawn) return complain(drawn.error());
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return report.complete || !options.check ? kOk : kPartial;
}

}  // namespace fieldline::cli
