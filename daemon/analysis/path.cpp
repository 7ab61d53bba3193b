// SPDX-License-Identifier: Apache-2.0
#include "analysis/path.h"

#include <algorithm>
#include <type_traits>

#include "analysis/vantage.h"
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

// An interface block of the input, resolved; without a vantage its packets are of no use.
struct Lane {
  Vantage* vantage = nullptr;  // nodes of a map: stable
  std::string sensor, session;
  const char* problem = nullptr;
};

struct Input {
  std::vector<Lane> lanes;
  std::string session;  // of the section, if it says so
};

class Analyzer final : public PathAnalyzer {
 public:
  Result<void> feed(const pcapng::Block& block, std::size_t stream) override {
    Input& input = inputs_[stream];
    return std::visit([&](const auto& one) { return take(input, one); }, block);
  }

  PathReport report() override {
    PathReport report;
    report.run = run_;
    report.grant = ledger_.grant();
    report.principal = ledger_.principal();
    report.first_ns = first_ns_;
    report.last_ns = last_ns_;
    assemble(vantages_, ledger_, flows_, report);
    report.refusals = ledger_.refusals();
    report.ignored = ignored_;
    report.incomplete = ledger_.incomplete();
    doubts(report.incomplete);
    report.complete = report.incomplete.empty();
    return report;
  }

 private:
  Result<void> take(Input& input, const pcapng::Section& section) {
    input.lanes.clear();
    input.session = string_in(parse_document(section.comment), "session").value_or("");
    return {};
  }

  Result<void> take(Input& input, const pcapng::Interface& interface) {
    input.lanes.push_back(lane_of(interface));
    if (input.lanes.back().problem) ++ignored_[input.lanes.back().problem];
    return {};
  }

  Result<void> take(Input&, const pcapng::Statistics&) { return {}; }

  Result<void> take(Input& input, const pcapng::Packet& packet) {
    if (packet.interface >= input.lanes.size()) return ignore("packet_interface_unknown");
    Lane& lane = input.lanes[packet.interface];
    if (!lane.vantage) return ignore("packet_interface_unusable");
    if (!packet.meta) return ignore("packet_without_digest");
    const bool reverse = packet.meta->flags & FL_RECORD_REVERSE;
    Track& track = lane.vantage->tracks[reverse];
    if (track.size() >= Track::kMax) {
      return fail(
          Code::exhausted,
          "more than 2^32 records of one vantage point; query a shorter time (--from, --to)");
    }
    if (!ledger_.record(lane.sensor, lane.session, reverse, packet.sequence))
      return ignore("packet_twice");
    const PacketInfo info = parse_packet(packet.data, packet.wire_len);
    if (info.problem) ++ignored_[std::string("headers_") + info.problem];
    track.add(info, flows_.number(info, reverse), packet.meta->digest, packet.timestamp_ns);
    lane.vantage->bytes[reverse] += packet.wire_len;
    lane.vantage->super_packets += packet.meta->gso_segs > 1;
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

  Lane lane_of(const pcapng::Interface& interface) {
    Lane lane;
    const json comment = parse_document(interface.comment);
    const auto run_text = string_in(comment, "run"), sensor = string_in(comment, "sensor");
    const auto run = RunId::parse(run_text.value_or(""));
    if (!run || run->is_zero() || !sensor || sensor->empty()) {
      lane.problem = "interface_without_run";
    } else if (interface.link_type != FL_PCAPNG_LINKTYPE_ETHERNET) {
      lane.problem = "interface_not_ethernet";
    } else if (!is_ours(*run)) {
      lane.problem = "interface_of_other_run";
    } else {
      lane.sensor = *sensor;
      lane.session = string_in(comment, "session").value_or("");
      const auto port = number_in(comment, "port");
      const std::string fallback =
          !interface.name.empty() ? interface.name : "port" + std::to_string(port.value_or(0));
      lane.vantage = &vantages_[{string_in(comment, "domain").value_or(""), *sensor,
                                 string_in(comment, "interface").value_or(fallback)}];
      lane.vantage->sessions.insert(lane.session);
      ledger_.open(lane.sensor, lane.session);
    }
    return lane;
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
    bool any = false;
    for (const auto& [key, vantage] : vantages_) {
      any |= vantage.tracks[0].size() + vantage.tracks[1].size() > 0;
      if (vantage.super_packets == 0) continue;
      lines.push_back("sensor " + key.sensor + ", " + key.interface + ": " +
                      std::to_string(vantage.super_packets) +
                      " records are of several wire packets each and join with nothing; turn tso, "
                      "gso and gro off");
    }
    if (!any) lines.push_back("no header records: no sensor saw a packet of this run");
  }

  std::map<std::size_t, Input> inputs_;
  Vantages vantages_;
  FlowTable flows_;
  Ledger ledger_;
  RunId run_;
  std::uint64_t first_ns_ = 0, last_ns_ = 0;
  std::map<std::string, std::uint64_t> ignored_;
};

}  // namespace

std::unique_ptr<PathAnalyzer> PathAnalyzer::create() {
  return std::make_unique<Analyzer>();
}

}  // namespace fieldline::analysis
