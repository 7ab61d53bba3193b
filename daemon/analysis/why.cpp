// SPDX-License-Identifier: Apache-2.0
#include "analysis/why.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "analysis/event_flows.h"

namespace fieldline::analysis {
namespace {

// A round trip is long when a quarter of the least, and more than a busy host's own jitter, is on
// top of it; where no section shows that, when half is: the hosts add of their own.
constexpr double kRiseShare = 0.25, kUnseenShare = 0.5, kRiseUs = 500, kUnseenUs = 5000;
// Of the rise of the round trip, what one section must show to be the one. Much more than that is
// not a queue but two clocks that drift apart.
constexpr double kSectionShare = 0.5, kSectionMost = 1.5;
// Of a sender's segments, those that follow an acknowledgement at once.
constexpr double kClocked = 0.8;
// Whether nobody read for most of a time.
constexpr double kMostly = 0.5;

const Direction& direction_of(const PathReport& path, bool reverse) {
  return reverse ? path.reverse : path.forward;
}

// How much longer than ever a section took over some time, in us, as the mean of its packets.
double rise_of(const Section& section, std::uint64_t from_ns, std::uint64_t to_ns) {
  const auto& bins = section.delays.bins();
  if (bins.empty()) return 0;
  std::int64_t least = bins.front().min_ns;
  for (const auto& bin : bins) least = std::min(least, bin.min_ns);
  double sum = 0;
  std::uint64_t count = 0;
  for_overlap(section.delays, from_ns, to_ns, [&](const DelaySeries::Bin& bin) {
    sum += bin.sum_ns;
    count += bin.count;
  });
  if (count == 0) return 0;
  return (sum / static_cast<double>(count) - static_cast<double>(least)) / 1e3;
}

struct Judge {
  const PathReport& path;
  const EventSocket* reader;
  WhyFlow& flow;

  // Whose queue holds the packets, if one shows enough of what the round trip has grown by.
  std::optional<std::size_t> queue_of(std::uint64_t from_ns, std::uint64_t to_ns,
                                      double rise_us) const {
    if (!flow.reverse) return {};
    const auto& sections = direction_of(path, *flow.reverse).sections;
    std::optional<std::size_t> most;
    double greatest = rise_us * kSectionShare;
    for (std::size_t at = 0; at < sections.size(); ++at) {
      const double rise = rise_of(sections[at], from_ns, to_ns);
      if (rise < greatest || rise > rise_us * kSectionMost) continue;
      greatest = rise;
      most = at;
    }
    return most;
  }

  // A window that is full is a queue's doing where the round trip is long.
  void judge_queue(const LimitBin& bin, WhyInterval& interval) const {
    if (bin.rtt_samples == 0 || flow.facts.rtt_min_us == 0) return;
    const double least = flow.facts.rtt_min_us;
    const double rise = bin.rtt_sum_us / static_cast<double>(bin.rtt_samples) - least;
    if (rise < std::max(least * kRiseShare, kRiseUs)) return;
    const auto section = queue_of(bin.from_ns, bin.from_ns + flow.width_ns, rise);
    if (!section && rise < std::max(least * kUnseenShare, kUnseenUs)) return;
    for (const Limit limit : {Limit::cwnd, Limit::cwnd_cut, Limit::loss})
      interval.times.move(limit, Limit::queue);
    // By headers: a window it is that is full where acknowledgements let nearly all go.
    if (section && static_cast<double>(bin.sent_on_ack) > kClocked * static_cast<double>(bin.sent))
      interval.times.move(Limit::sender, Limit::queue);
    if (interval.times[Limit::queue] == 0) return;
    interval.section = section;
    if (interval.section) flow.queue_ns[*interval.section] += interval.times[Limit::queue];
  }

  // The receiving host knows best why its window is no larger.
  void judge_receiver(WhyInterval& interval) const {
    if (!reader) return;
    const ReadFacts& facts = reader->reading.facts();
    auto waiting = reader->reading.waiting(interval.from_ns, interval.from_ns + flow.width_ns);
    if (!waiting && facts.known_ns > 0)
      waiting = static_cast<double>(facts.waiting_ns) / static_cast<double>(facts.known_ns);
    if (!waiting) return;
    if (*waiting > kMostly) {
      interval.times.move(Limit::receive_window, Limit::receiver);
    } else {
      interval.times.move(Limit::receiver, Limit::receive_window);
    }
  }

  // Without it: a window that is opened at once lets a whole one through in each round trip.
  void judge_window() const {
    const SendFacts& facts = flow.facts;
    if (reader || facts.rtt_max_us == 0) return;
    const double rounds = static_cast<double>(flow.total[Limit::receive_window]) / 1e3 /
                          static_cast<double>(facts.rtt_max_us);
    if (static_cast<double>(facts.acked) > kMostly * rounds * facts.window_max) return;
    flow.total.move(Limit::receive_window, Limit::receiver);
    for (WhyInterval& interval : flow.intervals)
      interval.times.move(Limit::receive_window, Limit::receiver);
  }

  void judge(const LimitSeries& series) const {
    flow.width_ns = series.width_ns();
    for (const LimitBin& bin : series.bins()) {
      WhyInterval interval{bin.from_ns, bin.times, {}};
      judge_queue(bin, interval);
      judge_receiver(interval);
      flow.total.add(interval.times);
      if (interval.times.sum() > 0) flow.intervals.push_back(interval);
    }
    judge_window();
  }
};

void count_losses(const PathReport& path, WhyFlow& flow) {
  if (!flow.reverse) return;
  const auto& sections = direction_of(path, *flow.reverse).sections;
  for (std::size_t at = 0; at < sections.size(); ++at) {
    const auto& listed = sections[at].lost_packets;
    const auto own = std::count_if(listed.begin(), listed.end(), [&](const LostPacket& packet) {
      return packet.sport == flow.local_port && packet.dport == flow.peer_port &&
             packet.payload > 0;
    });
    if (own > 0) flow.lost[at] = static_cast<std::uint64_t>(own);
  }
}

WhyFlow flow_of(const EventSocket& sender, const EventSocket* reader, const PathReport& path) {
  WhyFlow flow;
  flow.host = sender.host;
  flow.cookie = sender.cookie;
  flow.local_port = sender.local_port;
  flow.peer_port = sender.peer_port;
  flow.reverse = is_reverse(sender, path.grant);
  flow.facts = sender.sending.facts();
  if (reader && reader->reading.facts().reads > 0) {
    flow.reader = reader->reading.facts();
    flow.reader_host = reader->host;
  }
  Judge{path, flow.reader ? reader : nullptr, flow}.judge(sender.sending.series());
  count_losses(path, flow);
  return flow;
}

WhyFlow flow_of(const WireWaiting& waiting, bool reverse, const PathReport& path) {
  WhyFlow flow;
  flow.point = direction_of(path, reverse).points.front().name;
  flow.local_port = waiting.sport;
  flow.peer_port = waiting.dport;
  flow.reverse = reverse;
  flow.facts = waiting.facts;
  Judge{path, nullptr, flow}.judge(waiting.series);
  count_losses(path, flow);
  return flow;
}

// Those of which no host has records.
void add_wire_flows(const PathReport& path, std::vector<WhyFlow>& flows) {
  std::set<std::tuple<std::uint16_t, std::uint16_t, bool>> recorded;
  for (const EventSocket& socket : path.events.sockets) {
    const auto reverse = is_reverse(socket, path.grant);
    for (const bool way : {false, true}) {
      if (reverse.value_or(way) == way) recorded.emplace(socket.local_port, socket.peer_port, way);
    }
  }
  for (const bool reverse : {false, true}) {
    for (const WireWaiting& waiting : direction_of(path, reverse).waits) {
      if (!recorded.contains({waiting.sport, waiting.dport, reverse}))
        flows.push_back(flow_of(waiting, reverse, path));
    }
  }
}

}  // namespace

const Direction& direction_of(const WhyReport& report, const WhyFlow& flow) {
  return direction_of(report.path, *flow.reverse);
}

WhyReport judge_waiting(PathReport path) {
  WhyReport report;
  const auto& sockets = path.events.sockets;
  const OtherEnds ends(sockets);
  for (const EventSocket& socket : sockets) {
    const EventSocket* other = ends.of(socket);
    if (is_sender(socket, other)) report.flows.push_back(flow_of(socket, other, path));
  }
  add_wire_flows(path, report.flows);
  std::stable_sort(report.flows.begin(), report.flows.end(),
                   [](const WhyFlow& a, const WhyFlow& b) { return a.bytes() > b.bytes(); });
  for (WhyFlow& flow : report.flows) {
    flow.minor = flow.bytes() < report.flows.front().bytes() / 100;
    if (!flow.minor) report.total.add(flow.total);
  }
  report.doubts = doubts_of(path.events);
  if (const auto packets = path.forward.waits_left_out + path.reverse.waits_left_out)
    report.doubts.push_back(std::to_string(packets) + " packets are of more flows than are judged");
  report.path = std::move(path);
  return report;
}

void widen(WhyReport& report, std::uint64_t interval_ns) {
  for (WhyFlow& flow : report.flows) {
    if (interval_ns <= flow.width_ns) continue;
    flow.width_ns = interval_ns;
    std::vector<WhyInterval> wide;
    for (const WhyInterval& interval : flow.intervals) {
      const std::uint64_t from = interval.from_ns - interval.from_ns % interval_ns;
      if (wide.empty() || wide.back().from_ns != from) wide.push_back({from, {}, {}});
      wide.back().times.add(interval.times);
      if (interval.section) wide.back().section = interval.section;
    }
    flow.intervals = std::move(wide);
  }
}

}  // namespace fieldline::analysis
