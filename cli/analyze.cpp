// SPDX-License-Identifier: Apache-2.0
#include "cli/analyze.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "analysis/captures.h"
#include "cli/archive_link.h"
#include "cli/capture_files.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

using analysis::PathAnalyzer;

constexpr std::size_t kBeginning = 16'384;  // packets

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
      if (auto taken = analyzer_.feed(**block, stream_); !taken) return taken.error();
    }
  }

 private:
  PathAnalyzer& analyzer_;
  const std::size_t stream_;
  pcapng::Reader reader_;
};

bool is_file(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && !S_ISDIR(st.st_mode);
}

int feed_run(PathAnalyzer& analyzer, const AnalyzeOptions& options,
             const Result<UserSettings>& settings) {
  if (!settings) return complain(settings.error(), kUsage);
  Feeder feeder(analyzer, 0);
  Result<void> fed;
  auto result = ask_archive(*settings,
                            {{"op", "query"},
                             {"run", options.what.front()},
                             {"reports", true},
                             {"events", options.events}},
                            [&](ByteView bytes) {
                              fed = feeder.feed(bytes);
                              return bool(fed);
                            });
  if (!fed) return complain(std::move(fed.error()).in("the archive's answer"));
  if (!result) return complain(result.error());
  if (auto ended = analyzer.end(); !ended) return complain(ended.error());
  return kOk;
}

bool could_be_run(const std::string& text) {
  return text == "last" ||
         (text.size() <= 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos);
}

// The part of a file's name that tells it from the others.
std::string name_of(const std::string& path, const std::vector<std::string>& all) {
  const auto stem = [](const std::string& of) { return std::filesystem::path(of).stem().string(); };
  const auto same = std::count_if(
      all.begin(), all.end(), [&](const std::string& other) { return stem(other) == stem(path); });
  return same > 1 ? path : stem(path);
}

Result<std::optional<analysis::HostPair>> hosts_of(const std::string& text) {
  if (text.empty()) return std::optional<analysis::HostPair>();
  const auto comma = text.find(',');
  auto a = Address::parse(text.substr(0, comma));
  auto b = comma == std::string::npos ? a : Address::parse(text.substr(comma + 1));
  if (!a || !b || comma == std::string::npos)
    return fail(Code::invalid, "--hosts " + text + ": write two addresses, A,B");
  return std::optional<analysis::HostPair>({*a, *b});
}

// All packets by time; what was not whole is told, and put in doubt. False: see
// PathAnalyzer::end().
Result<bool> feed_files(PathAnalyzer& analyzer, const std::vector<std::string>& files) {
  auto fed = merge_captures(files, [&](std::size_t file, const pcapng::Block& block) {
    return analyzer.feed(block, file);
  });
  if (!fed) return fed.error();
  auto ended = analyzer.end();
  if (!ended || !*ended) return ended;
  for (const std::string& remark : *fed) {
    note(remark);
    analyzer.doubt(remark);
  }
  return true;
}

analysis::CaptureSurvey survey_of(const std::vector<std::string>& files) {
  analysis::CaptureSurvey survey;
  for (const auto& path : files) survey.add(name_of(path, files));
  return survey;
}

// Shows the survey at most so many packets, and settles it; whether these were all.
Result<bool> look_through(const std::vector<std::string>& files,
                          const std::optional<analysis::HostPair>& hosts, std::size_t most,
                          analysis::CaptureSurvey& survey) {
  std::size_t packets = 0;
  const auto enough = [&] { return packets >= most; };
  auto seen =
      merge_captures(files, [&](std::size_t file, const pcapng::Block& block) -> Result<void> {
        survey.see(file, block);
        packets += std::holds_alternative<pcapng::Packet>(block);
        if (enough()) return fail(Code::exhausted, "the beginning is enough");
        return {};
      });
  if (!seen && !enough()) return seen.error();
  if (auto settled = survey.settle(hosts); !settled && !enough()) return settled.error();
  return !enough();
}

void tell_others(const analysis::CaptureSurvey& survey) {
  const auto others = survey.other_pairs();
  if (others.empty()) return;
  note(grouped(survey.other_packets()) + " packets are of " + grouped(others.size()) +
       " other pairs of hosts, most of them of " + others.front() + "; choose with --hosts A,B");
}

// Once through the files, where they go on as they began: no packet is longer than the wire's, and
// the same two hosts exchange most. Else twice: what is in them, then the packets.
Result<std::unique_ptr<PathAnalyzer>> analyze_captures(
    const std::vector<std::string>& files, const std::optional<analysis::HostPair>& hosts,
    const analysis::Limits& asked) {
  analysis::Limits limits = asked;
  limits.held_max = analysis::kCaptureLimits.held_max;
  limits.patience_ns = analysis::kCaptureLimits.patience_ns;
  analysis::CaptureSurvey survey = survey_of(files);
  auto all = look_through(files, hosts, kBeginning, survey);
  if (!all) return all.error();
  if (!*all) {
    analysis::CaptureSurvey rest = survey_of(files);
    const bool assumed = rest.assume(survey);
    survey = std::move(rest);
    if (assumed) {
      auto analyzer = PathAnalyzer::of_captures(std::move(survey), limits);
      auto fed = feed_files(*analyzer, files);
      if (!fed) return fed.error();
      if (*fed) {
        tell_others(*analyzer->survey());
        return analyzer;
      }
      survey = std::move(*analyzer->survey());
    } else if (auto seen = look_through(files, hosts, SIZE_MAX, survey); !seen) {
      return seen.error();
    }
  }
  tell_others(survey);
  auto analyzer = PathAnalyzer::of_captures(std::move(survey), limits);
  if (auto fed = feed_files(*analyzer, files); !fed) return fed.error();
  return analyzer;
}

// Each file once, however it is named.
std::vector<std::string> distinct(const std::vector<std::string>& files) {
  std::vector<std::string> once;
  for (const auto& path : files) {
    const auto same = std::find_if(once.begin(), once.end(), [&](const std::string& other) {
      std::error_code error;
      return std::filesystem::equivalent(path, other, error);
    });
    if (same == once.end()) {
      once.push_back(path);
    } else {
      note(path + " is given twice: used once");
    }
  }
  return once;
}

Result<std::unique_ptr<PathAnalyzer>> analyze_files(const std::vector<std::string>& files,
                                                    const std::optional<analysis::HostPair>& hosts,
                                                    const analysis::Limits& limits) {
  std::size_t runs = 0;
  for (const auto& path : files) {
    auto of_run = is_of_run(path);
    if (!of_run) return of_run.error();
    runs += *of_run;
  }
  if (runs == 0) return analyze_captures(files, hosts, limits);
  if (runs != files.size()) {
    return fail(
        Code::invalid,
        "some of these files are Fieldline's and some are captures of others; give one kind");
  }
  auto analyzer = PathAnalyzer::create(limits);
  if (auto fed = feed_files(*analyzer, files); !fed) return fed.error();
  return analyzer;
}

}  // namespace

// Files are what exists, and what can only be meant as such: several, or a name no run has.
bool of_files(const AnalyzeOptions& options) {
  return options.what.size() > 1 ||
         std::any_of(options.what.begin(), options.what.end(), is_file) ||
         options.what.front().find_first_of("./") != std::string::npos;
}

Analysis analyze(const AnalyzeOptions& options, const Result<UserSettings>& settings) {
  if (of_files(options)) {
    auto hosts = hosts_of(options.hosts);
    if (!hosts) return complain(hosts.error(), kUsage);
    auto analyzer = analyze_files(distinct(options.what), *hosts, options.limits);
    if (!analyzer) return complain(analyzer.error());
    return std::move(*analyzer);
  }
  if (!could_be_run(options.what.front())) {
    return complain(fail(Code::invalid, "'" + options.what.front() +
                                            "' is no file here, and no run: a run is `last` or the "
                                            "first hexadecimal digits that `fieldline runs` shows"),
                    kUsage);
  }
  auto analyzer = PathAnalyzer::create(options.limits);
  if (const int fed = feed_run(*analyzer, options, settings); fed != kOk) return fed;
  return analyzer;
}

}  // namespace fieldline::cli
