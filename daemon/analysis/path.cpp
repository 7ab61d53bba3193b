// SPDX-License-Identifier: Apache-2.0
#include "analysis/path.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <type_traits>

#include "analysis/captures.h"
#include "analysis/counted.h"
#include "analysis/doubts.h"
#include "analysis/matcher.h"
#include "proto/frame.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

constexpr std::size_t kDocumentMax = 1 << 20;
constexpr std::size_t kPairsListed = 1024;

json parse_document(std::string_view text) {
  if (text.size() > kDocumentMax) return json();
  json document = json::parse(text, nullptr, false);
  return document.is_object() ? document : json();
}

// An interface block of the input, resolved; with a problem its packets are of no use.
struct Source {
  VantageKey vantage;
  std::string session;
  Ledger::Page page;
  PortLoad* load = nullptr;
  std::uint16_t link_type = kLinkEthernet;
  // Forward, reverse, once there is a record; of a capture of several interfaces by each of them.
  using Lanes = std::array<std::optional<std::uint32_t>, 2>;
  Lanes whole;
  std::map<std::uint32_t, Lanes> lanes;
  const char* problem = nullptr;
};

struct Input {
  std::vector<Source> sources;
  std::string session;  // of the section, if it says so
};

class Analyzer final : public PathAnalyzer {
 public:
  explicit Analyzer(Limits limits, std::optional<CaptureSurvey> survey = std::nullopt)
      : survey_(std::move(survey)),
        matcher_(flows_, limits),
        senders_(limits.interval_ns, limits.spacing) {
    if (survey_ && !survey_->assumes()) take_survey();
  }

  Result<void> feed(const pcapng::Block& block, std::size_t stream) override {
    if (!input_ || stream_ != stream) input_ = &inputs_[stream];
    stream_ = stream;
    if (const auto* packet = std::get_if<pcapng::Packet>(&block)) return take(*input_, *packet);
    if (survey_ && survey_->assumes()) survey_->see(stream, block);
    return std::visit([&](const auto& one) { return take(*input_, one); }, block);
  }

  std::size_t held() const override { return matcher_.held(); }
  CaptureSurvey* survey() override { return survey_ ? &*survey_ : nullptr; }

  Result<bool> end() override {
    if (survey_ && survey_->assumes()) {
      auto holds = survey_->holds();
      if (!holds || !*holds) return holds;
      take_survey();
    }
    matcher_.finish(ledger_);
    return true;
  }

  void doubt(const std::string& remark) override { remarks_.push_back(remark); }

  PathReport report() override {
    PathReport report;
    report.run = run_;
    if (survey_) describe(*survey_, report);
    if (!survey_) report.grant = ledger_.grant();
    report.principal = ledger_.principal();
    report.systems = ledger_.systems();
    report.clocks = ledger_.clocks();
    report.first_ns = first_ns_;
    report.last_ns = last_ns_;
    Matcher finished = matcher_;
    finished.finish(ledger_);
    const bool counted = ledger_.counts_alone() && matcher_.records() == 0;
    for (const bool reverse : {false, true}) {
      Direction& direction = reverse ? report.reverse : report.forward;
      direction = counted ? counted_direction(ledger_, reverse)
                          : finished.direction(reverse, ledger_, loads_);
    }
    if (counted) time_by_counters(report);
    for (std::uint32_t flow = 0; flow < flows_.size() && flow < FlowStats::kFlowsMax; ++flow)
      report.flows.push_back(flows_.key(flow));
    report.refusals = ledger_.refusals();
    report.events = senders_.finish();
    report.ignored = ignored_;
    report.gaps = ledger_.gaps();
    report.incomplete = ledger_.incomplete();
    doubt_input(ignored_, report.incomplete);
    if (survey_) doubt_captures(*survey_, report.incomplete);
    report.incomplete.insert(report.incomplete.end(), remarks_.begin(), remarks_.end());
    doubt_joining(matcher_, survey_.has_value(), report.incomplete);
    if (matcher_.records() == 0 && !ledger_.counts_alone())
      report.incomplete.push_back("no header records: no sensor saw a packet of this run");
    report.complete = report.incomplete.empty();
    return report;
  }

 private:
  void take_survey() {
    for (const Capture& file : survey_->files())
      ledger_.capture(file.name, file.first_ns, file.last_ns, file.dropped);
    if (survey_->other_packets()) ignored_["packet_of_other_hosts"] = survey_->other_packets();
  }

  Result<void> take(Input& input, const pcapng::Section& section) {
    input.sources.clear();
    input.session = string_in(parse_document(section.comment), "session").value_or("");
    return {};
  }

  Result<void> take(Input& input, const pcapng::Interface& interface) {
    input.sources.push_back(survey_ ? capture_source(stream_, interface) : source_of(interface));
    if (input.sources.back().problem) ++ignored_[input.sources.back().problem];
    return {};
  }

  Result<void> take(Input&, const pcapng::Statistics&) { return {}; }

  Result<void> take(Input& input, const pcapng::Packet& packet) {
    if (packet.interface >= input.sources.size()) return ignore("packet_interface_unknown");
    Source& source = input.sources[packet.interface];
    const unsigned depth =
        packet.meta ? (packet.meta->flags & FL_RECORD_DEPTH) >> FL_RECORD_DEPTH_SHIFT : kInnermost;
    const PacketInfo info = parse_packet(packet.data, packet.wire_len, source.link_type, depth);
    CaptureSurvey::Sender* sender = survey_ ? sender_of(packet, info) : nullptr;
    if (source.problem) return ignore("packet_interface_unusable");
    if (survey_) return take_captured(source, packet, info, sender);
    if (!packet.meta) return ignore("packet_without_digest");
    const bool reverse = packet.meta->flags & FL_RECORD_REVERSE;
    const std::uint32_t packets = std::max<std::uint32_t>(packet.meta->gso_segs, 1);
    if (!Ledger::record(source.page, reverse, packet.sequence, packets))
      return ignore("packet_twice");
    // A later fragment has no more than its IP header, which joins it like any packet.
    if (info.problem && !info.later_fragment) ++ignored_[std::string("headers_") + info.problem];
    note_time(packet.timestamp_ns);
    const std::uint64_t bytes = wire_bytes(packet, info, packets);
    if (source.load) source.load->record(packet.timestamp_ns, bytes, packets);
    const std::uint32_t lane = lane_of(source, reverse);
    const std::uint32_t flow = flows_.number(info, reverse);
    matcher_.lane(lane, reverse).bytes += bytes;
    if (packets > 1) {
      see_super(source, lane, reverse, packet, info, flow);
    } else {
      Sighting sighting = sighting_of(info, flow, packet.meta->digest, packet.timestamp_ns);
      sighting.rank = static_cast<std::uint8_t>(packet.meta->flags >> FL_RECORD_RANK_SHIFT);
      matcher_.see(lane, reverse, std::move(sighting));
    }
    matcher_.advance(ledger_);
    return {};
  }

  // On the wire each of its segments has headers of its own.
  static std::uint64_t wire_bytes(const pcapng::Packet& packet, const PacketInfo& info,
                                  std::uint32_t packets) {
    if (!info.transport || packet.wire_len <= info.payload) return packet.wire_len;
    return packet.wire_len + std::uint64_t{packets - 1} * (packet.wire_len - info.payload);
  }

  // Its one digest is none of its segments'. How many they are its sensor said.
  void see_super(const Source& source, std::uint32_t lane, bool reverse,
                 const pcapng::Packet& packet, const PacketInfo& info, std::uint32_t flow) {
    const auto sighting = [&](const PacketInfo& part) {
      return sighting_of(part, flow, packet.meta->digest, packet.timestamp_ns);
    };
    const std::uint32_t packets = packet.meta->gso_segs;
    const auto unjoined = why_unjoined(source, info, packet.meta->gso_size, packets);
    if (unjoined && !is_whole(info, packet.meta->gso_size, packets))
      return matcher_.see_unjoined(lane, reverse, sighting(info), *unjoined, packets);
    if (!unjoined) matcher_.go_over(reverse, flow);
    for (const WireSegment& segment : split(info, packet.meta->gso_size)) {
      Sighting part = sighting(part_of(info, segment));
      part.rank = 0;
      if (unjoined) {
        matcher_.see_unjoined(lane, reverse, std::move(part), *unjoined);
      } else {
        matcher_.see(lane, reverse, std::move(part));
      }
    }
  }

  // No value: its segments join.
  std::optional<Unjoined> why_unjoined(const Source& source, const PacketInfo& info,
                                       std::uint32_t size, std::uint32_t packets) const {
    if (info.transport && info.protocol != kTcp) return Unjoined::no_tcp;
    if (!is_whole(info, size, packets)) return Unjoined::unclear;
    if (info.problem) return Unjoined::cut;
    if (ledger_.watch(source.vantage.sensor).sample_bits > 0) return Unjoined::sampled;
    return std::nullopt;
  }

  CaptureSurvey::Sender* sender_of(const pcapng::Packet& packet, const PacketInfo& info) {
    if (!survey_->assumes()) return info.transport ? survey_->sender(info) : nullptr;
    const Capture& file = survey_->files()[stream_];
    const std::uint64_t first_ns = file.first_ns;
    CaptureSurvey::Sender* sender = survey_->see(stream_, packet, info);
    if (file.first_ns != first_ns)
      ledger_.capture(file.name, file.first_ns, file.last_ns, std::nullopt);
    return survey_->is_wrong() ? nullptr : sender;
  }

  Result<void> take_captured(Source& source, const pcapng::Packet& packet, const PacketInfo& info,
                             CaptureSurvey::Sender* sender) {
    if (!info.transport) return ignore(std::string("headers_") + info.problem);
    if (!sender) return {};  // counted by the survey
    const bool reverse = sender->reverse;
    note_time(packet.timestamp_ns);
    const std::uint32_t lane =
        lane_of(source, reverse, interface_inside(packet.data, source.link_type));
    if (sender->flow == FlowTable::kNone) sender->flow = flows_.number(info, reverse);
    const std::uint32_t flow = sender->flow;
    matcher_.lane(lane, reverse).bytes += packet.wire_len;
    const auto size = CaptureSurvey::segment_size(info, sender->size);
    if (!size || *size == 0) {
      Ledger::record(source.page, reverse, std::nullopt);
      Sighting sighting = sighting_of(info, flow, survey_->key(*sender, info), packet.timestamp_ns);
      if (size) {
        matcher_.see_unjoined(lane, reverse, std::move(sighting), Unjoined::unclear);
      } else {
        matcher_.see(lane, reverse, std::move(sighting));
      }
    } else {
      for (const WireSegment& segment : split(info, *size)) {
        Ledger::record(source.page, reverse, std::nullopt);
        matcher_.see(lane, reverse,
                     sighting_of(part_of(info, segment), flow, survey_->key(*sender, info, segment),
                                 packet.timestamp_ns));
      }
    }
    matcher_.advance(ledger_);
    return {};
  }

  void note_time(std::uint64_t time) {
    first_ns_ = first_ns_ == 0 ? time : std::min(first_ns_, time);
    last_ns_ = std::max(last_ns_, time);
  }

  std::uint32_t lane_of(Source& source, bool reverse, std::uint32_t inside = 0) {
    auto& lane = (inside == 0 ? source.whole : source.lanes[inside])[reverse];
    if (lane) return *lane;
    VantageKey key = source.vantage;
    if (inside != 0) key.interface = "if" + std::to_string(inside);
    lane = matcher_.lane_of(key, reverse);
    return *lane;
  }

  Result<void> take(Input& input, const pcapng::Report& report) {
    if (!report.run.is_zero() && !is_ours(report.run)) return ignore("report_of_other_run");
    if (report.type == FL_FRAME_EVENT_RECORDS)
      return senders_.take(report.payload) ? Result<void>() : ignore("events_unreadable");
    if (report.type == FL_FRAME_PORT_TOTALS)
      return loads_.take(report.payload, report.sequence) ? Result<void>()
                                                          : ignore("totals_unreadable");
    if (report.encoding != FL_ENCODING_JSON) return {};
    const json document = parse_document(text(report.payload));
    if (document.is_null()) return ignore("report_malformed");
    senders_.describe(document);
    const std::string session = string_in(document, "session").value_or(input.session);
    if (const char* problem = ledger_.report(report.type, document, session, report.sequence)) {
      return ignore(problem);
    }
    return {};
  }

  Result<void> ignore(const std::string& reason) {
    ++ignored_[reason];
    return {};
  }

  // A stream is one run's: the first that is named.
  bool is_ours(const RunId& run) {
    if (run_.is_zero()) run_ = run;
    return run_ == run;
  }

  // Interfaces of one file share a clock: its place is the file.
  Source capture_source(std::size_t file, const pcapng::Interface& interface) {
    Source source;
    const Capture& capture = survey_->files()[file];
    source.link_type = interface.link_type;
    if (!is_link_known(interface.link_type)) source.problem = "interface_link_unknown";
    source.vantage = {
        "", capture.name,
        interface.name.empty() ? "if" + std::to_string(interfaces_[file]) : interface.name};
    for (const Source& other : inputs_[file].sources) {
      if (other.vantage == source.vantage)
        source.vantage.interface += "#" + std::to_string(interfaces_[file]);
    }
    ++interfaces_[file];
    if (source.problem) return source;
    source.page = ledger_.open_capture(capture.name);
    matcher_.open(source.vantage, "");
    return source;
  }

  void describe(const CaptureSurvey& survey, PathReport& report) const {
    for (const Capture& file : survey.files()) report.captures.push_back(file.name);
    json pairs = json::array();
    std::optional<std::uint8_t> protocol;
    bool mixed = false;
    for (std::uint32_t flow = 0; flow < flows_.size(); ++flow) {
      const FlowKey& key = flows_.key(flow);
      mixed |= protocol && *protocol != key.protocol;
      protocol = key.protocol;
      if (flow < kPairsListed) pairs.push_back({key.port_a, key.port_b});
    }
    report.grant = {{"host_a", survey.hosts().a.to_string()},
                    {"host_b", survey.hosts().b.to_string()},
                    {"pairs", pairs}};
    if (protocol && !mixed) report.grant["protocol"] = *protocol;
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
      source.page = ledger_.open(*sensor, source.session);
      source.load = loads_.port(source.vantage, source.session, port);
      matcher_.open(source.vantage, source.session);
    }
    return source;
  }

  std::vector<std::string> remarks_;
  std::optional<CaptureSurvey> survey_;
  std::map<std::size_t, Input> inputs_;
  std::map<std::size_t, std::size_t> interfaces_;  // of each capture so far
  Input* input_ = nullptr;                         // being fed
  std::size_t stream_ = 0;
  FlowTable flows_;
  Matcher matcher_;
  Ledger ledger_;
  Loads loads_;
  Senders senders_;
  RunId run_;
  std::uint64_t first_ns_ = 0, last_ns_ = 0;
  std::map<std::string, std::uint64_t> ignored_;
};

}  // namespace

std::unique_ptr<PathAnalyzer> PathAnalyzer::create(Limits limits) {
  return std::make_unique<Analyzer>(limits);
}

std::unique_ptr<PathAnalyzer> PathAnalyzer::of_captures(CaptureSurvey survey, Limits limits) {
  return std::make_unique<Analyzer>(limits, std::move(survey));
}

}  // namespace fieldline::analysis
