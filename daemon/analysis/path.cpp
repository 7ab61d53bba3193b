// SPDX-License-Identifier: Apache-2.0
#include "analysis/path.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <type_traits>

#include "analysis/matcher.h"
#include "proto/frame.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

constexpr std::size_t kDocumentMax = 1 << 20;

json parse_document(std::string_view text) {
  if (text.size() > kDocumentMax) return json();
  json document = json::parse(text, nullptr, false);
  return document.is_object() ? document : json();
}

// An interface block of the input, resolved; with a problem its packets are of no use.
struct Source {
  VantageKey vantage;
  std::string session;
  std::array<std::optional<std::uint32_t>, 2> lanes;  // forward, reverse; once there is a record
  const char* problem = nullptr;
};

struct Input {
  std::vector<Source> sources;
  std::string session;  // of the section, if it says so
};

class Analyzer final : public PathAnalyzer {
 public:
  explicit Analyzer(std::size_t held_max) : matcher_(flows_, held_max) {}

  Result<void> feed(const pcapng::Block& block, std::size_t stream) override {
    Input& input = inputs_[stream];
    return std::visit([&](const auto& one) { return take(input, one); }, block);
  }

  std::size_t held() const override { return matcher_.held(); }

  PathReport report() override {
    PathReport report;
    report.run = run_;
    report.grant = ledger_.grant();
    report.principal = ledger_.principal();
    report.first_ns = first_ns_;
    report.last_ns = last_ns_;
    Matcher finished = matcher_;
    finished.finish(ledger_);
    report.forward = finished.direction(false, ledger_);
    report.reverse = finished.direction(true, ledger_);
    report.refusals = ledger_.refusals();
    report.ignored = ignored_;
    report.incomplete = ledger_.incomplete();
    doubts(report.incomplete);
    report.complete = report.incomplete.empty();
    return report;
  }

 private:
  Result<void> take(Input& input, const pcapng::Section& section) {
    input.sources.clear();
    input.session = string_in(parse_document(section.comment), "session").value_or("");
    return {};
  }

  Result<void> take(Input& input, const pcapng::Interface& interface) {
    input.sources.push_back(source_of(interface));
    if (input.sources.back().problem) ++ignored_[input.sources.back().problem];
    return {};
  }

  Result<void> take(Input&, const pcapng::Statistics&) { return {}; }

  Result<void> take(Input& input, const pcapng::Packet& packet) {
    if (packet.interface >= input.sources.size()) return ignore("packet_interface_unknown");
    Source& source = input.sources[packet.interface];
    if (source.problem) return ignore("packet_interface_unusable");
    if (!packet.meta) return ignore("packet_without_digest");
    const bool reverse = packet.meta->flags & FL_RECORD_REVERSE;
    if (!ledger_.record(source.vantage.sensor, source.session, reverse, packet.sequence))
      return ignore("packet_twice");
    const PacketInfo info = parse_packet(packet.data, packet.wire_len);
    if (info.problem) ++ignored_[std::string("headers_") + info.problem];
    auto& lane = source.lanes[reverse];
    if (!lane) lane = matcher_.lane_of(source.vantage, reverse);
    matcher_.see(
        *lane, reverse, packet.wire_len, packet.meta->gso_segs > 1,
        sighting_of(info, flows_.number(info, reverse), packet.meta->digest, packet.timestamp_ns));
    matcher_.advance(ledger_);
    first_ns_ = first_ns_ == 0 ? packet.timestamp_ns : std::min(first_ns_, packet.timestamp_ns);
    last_ns_ = std::max(last_ns_, packet.timestamp_ns);
    return {};
  }

  Result<void> take(Input& input, const pcapng::Report& report) {
    if (!report.run.is_zero() && !is_ours(report.run)) return ignore("report_of_other_run");
    if (report.encoding != FL_ENCODING_JSON) return {};
    const json document = parse_document(text(report.payload));
    if (document.is_null()) return ignore("report_malformed");
    const std::string session = string_in(document, "session").value_or(input.session);
    if (const char* problem = ledger_.report(report.type, document, session, report.sequence)) {
      return ignore(problem);
    }
    return {};
  }

  Result<void> ignore(const char* reason) {
    ++ignored_[reason];
    return {};
  }

  // A stream is one run's: the first that is named.
  bool is_ours(const RunId& run) {
    if (run_.is_zero()) run_ = run;
    return run_ == run;
  }

  Source source_of(const pcapng::Interface& interface) {
    Source source;
    const json comment = parse_document(interface.comment);
    const auto run_text = string_in(comment, "run"), sensor = string_in(comment, "sensor");
    const auto run = RunId::parse(run_text.value_or(""));
    if (!run || run->is_zero() || !sensor || sensor->empty()) {
      source.problem = "interface_without_run";
    } else if (interface.link_type != FL_PCAPNG_LINKTYPE_ETHERNET) {
      source.problem = "interface_not_ethernet";
    } else if (!is_ours(*run)) {
      source.problem = "interface_of_other_run";
    } else {
      source.session = string_in(comment, "session").value_or("");
      const auto port = number_in(comment, "port");
      const std::string fallback =
          !interface.name.empty() ? interface.name : "port" + std::to_string(port.value_or(0));
      source.vantage = {string_in(comment, "domain").value_or(""), *sensor,
                        string_in(comment, "interface").value_or(fallback)};
      ledger_.open(*sensor, source.session);
      matcher_.open(source.vantage, source.session);
    }
    return source;
  }

  void doubts(std::vector<std::string>& lines) const {
    std::uint64_t unused = 0;
    std::string why;
    for (const auto& [reason, count] : ignored_) {
      if (reason == "packet_twice" || reason.rfind("headers_", 0) == 0) continue;
      unused += count;
      why += (why.empty() ? "" : ", ") + reason + " " + std::to_string(count);
    }
    if (unused)
      lines.push_back(std::to_string(unused) + " blocks of the input could not be used (" + why +
                      ")");
    std::map<VantageKey, std::uint64_t> super_packets;
    std::set<std::string> late;
    for (const bool reverse : {false, true}) {
      for (const Lane& lane : matcher_.lanes(reverse)) {
        super_packets[lane.key] += lane.super_packets;
        if (lane.late.any) late.insert(lane.key.sensor);
      }
    }
    for (const std::string& sensor : late) {
      lines.push_back("sensor " + sensor +
                      ": some of its records came long behind the others' and were not joined; "
                      "losses beside it are undecided then");
    }
    for (const auto& [key, count] : super_packets) {
      if (count == 0) continue;
      lines.push_back("sensor " + key.sensor + ", " + key.interface + ": " + std::to_string(count) +
                      " records are of several wire packets each and join with nothing; turn tso, "
                      "gso and gro off");
    }
    if (matcher_.records() == 0)
      lines.push_back("no header records: no sensor saw a packet of this run");
  }

  std::map<std::size_t, Input> inputs_;
  FlowTable flows_;
  Matcher matcher_;
  Ledger ledger_;
  RunId run_;
  std::uint64_t first_ns_ = 0, last_ns_ = 0;
  std::map<std::string, std::uint64_t> ignored_;
};

}  // namespace

std::unique_ptr<PathAnalyzer> PathAnalyzer::create(std::size_t held_max) {
  return std::make_unique<Analyzer>(held_max);
}

}  // namespace fieldline::analysis
