// SPDX-License-Identifier: Apache-2.0
// From header records of many vantage points to a path: order, sections, losses, delays, and
// whether the evidence is complete. Input is a pcapng stream (archive answer or file).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/delay_series.h"
#include "analysis/flow_counts.h"
#include "analysis/flows.h"
#include "analysis/gaps.h"
#include "analysis/load.h"
#include "analysis/recorded_clock.h"
#include "analysis/senders.h"
#include "analysis/sequence_series.h"
#include "analysis/spacing.h"
#include "analysis/wire_waiting.h"
#include "base/address.h"
#include "base/pcapng.h"
#include "base/result.h"
#include "base/run_id.h"

namespace fieldline::analysis {

// By what a packet is known in a report: its digest or, where its flow went over to it, its wire
// key. It may have had the one when it was noted, and the other later.
struct PacketName {
  std::uint64_t digest = 0;         // 0: never seen (a sequence hole)
  std::uint64_t wire = 0;           // see wire_key.h; 0: none
  std::uint32_t flow = UINT32_MAX;  // in PathReport::flows, if it is one of those
};

struct LostPacket : PacketName {
  std::uint64_t timestamp_ns = 0;  // where it was last seen, or of the hole's other edge
  std::uint8_t protocol = 0;
  std::uint16_t sport = 0, dport = 0;
  std::uint32_t ip_id = 0;
  std::uint32_t sequence = 0;  // TCP
  std::uint32_t payload = 0;   // transport payload bytes
  std::uint32_t ack = 0;       // TCP
  bool or_its_ack = false;     // behind the last point: this, or the acknowledgement of it
  std::uint64_t again_ns =
      0;  // when a packet that fills the hole it left was seen; 0: none, or no hole
};

// Data that was sent again, as the first vantage point saw it.
struct Again {
  // Told by acknowledgements, or by none; unknown: they, or their options, are not all here. probe:
  // for a lost tail (RFC 8985), which only the host knows from a timer.
  enum class How { fast, timer, probe, unknown };

  LostPacket packet;          // this sending
  LostPacket before;          // the last one before it, unless `acknowledged`
  bool acknowledged = false;  // its data had been acknowledged there already
  std::uint32_t end = 0;      // sequence behind its data
  How how = How::timer;
};

struct Delay {
  std::uint64_t samples = 0;
  std::int64_t min_ns = 0, p50_ns = 0, p99_ns = 0;
};

// Between neighbours; upstream < 0: before the first vantage point, downstream < 0: after the last.
struct Section {
  int upstream = -1, downstream = -1;  // indices into Direction::points
  std::uint64_t packets = 0;           // seen upstream (downstream where there is no upstream)
  std::optional<std::uint64_t> lost;   // no value: cannot be known (say why in `note`)
  std::uint64_t reordered = 0, duplicated = 0;
  std::uint64_t appeared = 0;  // seen downstream only: another path, or blindness upstream
  std::uint64_t unseen =
      0;  // passed the downstream point without being seen there: a later one has it
  std::uint64_t unsampled = 0;  // seen upstream; the downstream point's sample is without them
  std::uint64_t recut = 0;      // of the undecided: came downstream in other pieces
  std::uint64_t undecided =
      0;  // in flight, at the edge of an activation, while a point was off; never counted as lost
  Delay delay;
  DelaySeries delays;
  std::vector<DelaySample> delay_samples;  // in no order: all, or a uniform sample of 262,144
  std::vector<LostPacket> lost_packets;
  // In front of the first point: what stands as lost packets, but for a time at which it was off.
  std::vector<LostPacket> doubted_packets;
  std::vector<PacketName> undecided_packets;
  bool by_counters = false;  // of a run that is counted alone: nothing is known of single packets
  std::string note;
};

// Both ports of a tap are one vantage point in the path: each direction is seen by the port that
// carries it. A vantage point is named "sensor", and "sensor:interface" where one direction was
// seen on several ports.
struct Point {
  std::string name, sensor, interface, domain, session;
  std::uint64_t seen =
      0;  // by the kernel, from the final counts (or the records, where there are none)
  std::uint64_t recorded = 0;                    // header records in the archive
  std::uint64_t bytes = 0;                       // wire bytes recorded
  std::map<std::string, std::uint64_t> dropped;  // by name: ring, read, spool, capture
  std::uint64_t sampled_out = 0;  // on purpose: of no sample that was asked for, or only counted
  std::uint32_t sample_n = 1;     // one of so many packets is recorded here; 0: none
  std::uint64_t late = 0, unjoined = 0;  // of the records: of no use for joining (see notes)
  // By its own clock; no value: not said.
  std::optional<std::uint64_t> started_ns, ended_ns;
  bool final_counts = false;
  std::optional<Load> load;  // no value: its sensor gave no totals
};

// What carried a flow's data past each point of a direction.
struct FlowSpacing {
  std::uint16_t sport = 0, dport = 0;
  std::uint8_t protocol = 0;
  std::vector<Spacing> points;  // as Direction::points; one that saw nothing of it is empty
};

struct Direction {
  std::vector<Point> points;      // in path order
  std::vector<Section> sections;  // points.size() + 1 of them: before the first .. after the last
  std::vector<Again> again;       // at most 65,536
  // By PathReport::flows, at points.front(); the first of them. Of a sample: packets and payload.
  std::vector<FlowCounts> flows;
  std::vector<SequenceLine> sequences;  // with Limits::sequences; of the first flows of TCP
  OtherCounts other_flows;              // of the rest
  std::vector<WireWaiting> waits;       // with Limits::waits
  std::uint64_t waits_left_out = 0;     // packets of more flows
  std::vector<FlowSpacing> spacing;     // with Limits::spacing
};

// "s1 - s2", "before s1", "after s2"; safe for a terminal.
std::string name_of(const Direction& direction, const Section& section);

struct PathReport {
  RunId run;  // zero for captures
  std::vector<std::string> captures;
  nlohmann::json grant, principal;
  std::map<std::string, nlohmann::json> systems;  // see Ledger::systems()
  std::map<std::string, RecordedClock> clocks;    // see Ledger::clocks()
  std::uint64_t first_ns = 0, last_ns = 0;
  std::vector<FlowKey> flows;  // a is the grant's host A
  Direction forward, reverse;
  bool complete = false;                // seen = recorded + named drops at every point, and no drop
  std::vector<std::string> incomplete;  // why not, one line each
  std::vector<Gap> gaps;                // of sensors and hosts, with time and cause
  std::vector<nlohmann::json> refusals;  // sensors that said no
  EventSockets events;                   // of the hosts, as far as their records were in the input
  std::map<std::string, std::uint64_t>
      ignored;  // records and reports that could not be used, by reason
};

// Feed blocks in any order of vantage points; report() at any time (live) or at the end. Bad blocks
// are counted in PathReport::ignored. What comes in order of time needs memory for the packets that
// are under way, not for the run. `stream` tells several inputs apart (one per archive or file),
// because the numbers of interfaces are per input.
//
// What is held of the input, in packets, and how long a vantage point is waited for that is silent
// or shares no packet with the others. Beyond either, what it brings later is neither joined nor
// taken for a loss.
struct Limits {
  std::size_t held_max = std::size_t{1} << 20;
  std::uint64_t patience_ns = 60'000'000'000;
  std::uint64_t interval_ns = 100'000'000;  // of what is told by time
  bool waits = false;                       // what senders waited for, by headers
  bool sequences = false;                   // time and sequence, for a figure
  bool spacing = false;                     // sizes and gaps at each layer and point
};

constexpr Limits kCaptureLimits{std::size_t{1} << 22, UINT64_MAX};

class CaptureSurvey;

class PathAnalyzer {
 public:
  static std::unique_ptr<PathAnalyzer> create(Limits limits = {});
  // Of capture files without a run: the files of the survey, which is settled or has assumed what
  // they are, each fed as the stream of its number. Their
  // clocks may be hours apart: patience has no end.
  static std::unique_ptr<PathAnalyzer> of_captures(CaptureSurvey survey,
                                                   Limits limits = kCaptureLimits);
  virtual ~PathAnalyzer() = default;
  virtual Result<void> feed(const pcapng::Block& block, std::size_t stream = 0) = 0;
  // No block will come any more: report() then need not leave anything under way. False: the
  // captures are not as was assumed of them; they are to be fed to an analyzer of this survey().
  virtual Result<bool> end() = 0;
  virtual CaptureSurvey* survey() = 0;  // nullptr: of no captures
  virtual PathReport report() = 0;
  virtual std::size_t held() const = 0;
  // Why the input itself is not whole, as an incomplete line of captures.
  virtual void doubt(const std::string& remark) = 0;
};

nlohmann::json to_json(const PathReport& report);  // docs/format/json.md, "path"
// The table of docs; width: columns of the terminal. color: ANSI.
std::string to_table(const PathReport& report, bool color = false);

}  // namespace fieldline::analysis
