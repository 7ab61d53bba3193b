// SPDX-License-Identifier: Apache-2.0
#include "cli/path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/file.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/flow_spec.h"
#include "cli/text.h"

namespace fieldline::cli {

namespace {

using analysis::PathAnalyzer;

// pcapng bytes, as they come, into the analysis.
class Feeder {
 public:
  Feeder(PathAnalyzer& analyzer, std::size_t stream) : analyzer_(analyzer), stream_(stream) {}

  Result<void> feed(ByteView bytes) {
    reader_.feed(bytes);
    for (;;) {
      auto block = reader_.next();
      if (!block) return block.error();
      if (!*block) return {};
      begun_ = true;
      if (auto taken = analyzer_.feed(**block, stream_); !taken) return taken.error();
    }
  }
  std::size_t pending() const { return reader_.pending(); }
  bool begun() const { return begun_; }

 private:
  PathAnalyzer& analyzer_;
  const std::size_t stream_;
  pcapng::Reader reader_;
  bool begun_ = false;  // there was a whole block
};

bool is_file(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && !S_ISDIR(st.st_mode);
}

// A torn tail is told, and what stands before it counts.
Result<void> feed_file(PathAnalyzer& analyzer, std::size_t stream, const std::string& path) {
  auto file = system_files().open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  Feeder feeder(analyzer, stream);
  Bytes piece(1 << 18);
  for (std::uint64_t at = 0;;) {
    auto n = (*file)->read_at(at, piece);
    if (!n) return n.error();
    if (*n == 0) break;
    at += *n;
    if (auto fed = feeder.feed(ByteView(piece).first(*n)); !fed) {
      return fail(fed.error().code,
                  path + ": " + fed.error().context +
                      "; it must be a pcapng file, as `fieldline query -o` writes");
    }
  }
  if (!feeder.begun()) {
    return fail(
        Code::invalid,
        path + " is no pcapng file, as `fieldline query -o` writes, not even its beginning");
  }
  if (feeder.pending() > 0)
    note(path + ": the last block is cut; going on with the whole ones before it");
  return {};
}

int feed_run(PathAnalyzer& analyzer, const std::string& run, const Result<UserSettings>& settings) {
  if (!settings) return complain(settings.error(), kUsage);
  Feeder feeder(analyzer, 0);
  Result<void> fed;
  auto result =
      ask_archive(*settings, {{"op", "query"}, {"run", run}, {"reports", true}, {"events", false}},
                  [&](ByteView bytes) {
                    fed = feeder.feed(bytes);
                    return bool(fed);
                  });
  if (!fed) return complain(std::move(fed.error()).in("the archive's answer"));
  if (!result) return complain(result.error());
  return kOk;
}

bool of_files(const PathOptions& options) {
  return std::any_of(options.what.begin(), options.what.end(), is_file);
}

bool could_be_run(const std::string& text) {
  return text == "last" ||
         (text.size() <= 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos);
}

int feed_all(PathAnalyzer& analyzer, const PathOptions& options,
             const Result<UserSettings>& settings) {
  bool files = of_files(options);
  if (!files && options.what.size() != 1) {
    return complain(fail(Code::invalid, "path takes one run, or pcapng files that exist"), kUsage);
  }
  if (!files && !could_be_run(options.what.front())) {
    return complain(fail(Code::invalid, "'" + options.what.front() +
                                            "' is no file here, and no run: a run is `last` or the "
                                            "first hexadecimal digits that `fieldline runs` shows"),
                    kUsage);
  }
  if (!files) return feed_run(analyzer, options.what.front(), settings);
  for (std::size_t i = 0; i < options.what.size(); ++i) {
    auto fed = feed_file(analyzer, i, options.what[i]);
    if (!fed) return complain(fed.error());
  }
  return kOk;
}

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
  auto analyzer = PathAnalyzer::create();
  int fed = feed_all(*analyzer, options, settings);
  if (fed != kOk) return fed;
  auto report = analyzer->report();
  std::string text;
  if (options.json) {
    text = json_text(analysis::to_json(report), 2) + "\n";
  } else {
    text = analysis::to_table(report, is_terminal(STDOUT_FILENO));
    if (options.lost) text += render_lost(report);
    if (!of_files(options)) {
      std::string run = report.run.brief();
      text += "NEXT     fieldline query " + run + " -o " + run + ".pcapng\n";
    }
  }
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return report.complete || !options.check ? kOk : kPartial;
}

}  // namespace fieldline::cli
