// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/read_report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace fieldline::cli {

namespace {

double seconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

double rate(const ReadCounts& counts) {
  return static_cast<double>(counts.records) / std::max(seconds(counts.elapsed_ns), 1e-9);
}

}  // namespace

std::string progress_line(const ReadCounts& counts, double file_used) {
  return fmt::format(
      "{:.1f} s  {} records ({:.0f}/s)  {} lost  file {:.0f} %  fullest ring {:.0f} %  sleep "
      "{:.1f} "
      "ms",
      seconds(counts.elapsed_ns), grouped(counts.records), rate(counts), grouped(counts.lost),
      100 * file_used, 100 * counts.fullest, static_cast<double>(counts.sleep_ns) / 1e6);
}

std::string summary_line(const ReadCounts& counts, const std::string& file, double file_used) {
  std::string line =
      fmt::format("{}: {} records, {} lost, {} bytes in {:.1f} s; {} ({:.0f} % used)", file,
                  grouped(counts.records), grouped(counts.lost), grouped(counts.bytes),
                  seconds(counts.elapsed_ns), end_text(counts.end), 100 * file_used);
  if (counts.lost != 0) {
    line += fmt::format("; to lose less: a larger ring_kb, or --delay below {:.1f}",
                        static_cast<double>(counts.sleep_ns) / 1e6);
  }
  return line;
}

std::string summary_json(const ReadCounts& counts, const std::string& file,
                         const magnet::TraceWriter& writer, std::size_t record_size) {
  constexpr const char* kEnds[] = {"stopped", "time", "file_full", "device_gone"};
  const nlohmann::json document = {
      {"schema", "fieldline.magnet-read/1"},
      {"file", file},
      {"end", kEnds[static_cast<int>(counts.end)]},
      {"records", counts.records},
      {"lost", counts.lost},
      {"repeated", counts.repeated},
      {"bytes", counts.bytes},
      {"file_bytes", writer.size()},
      {"file_used", writer.used()},
      {"discarded", writer.discarded()},
      {"record_size", record_size},
      {"rounds", counts.rounds},
      {"seconds", seconds(counts.elapsed_ns)},
      {"fullest_ring", counts.fullest},
      {"fill_ms", static_cast<double>(counts.fill_time_ns) / 1e6},
      {"sleep_ms", static_cast<double>(counts.sleep_ns) / 1e6},
  };
  return document.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace fieldline::cli
