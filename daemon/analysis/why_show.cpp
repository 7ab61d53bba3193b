// SPDX-License-Identifier: Apache-2.0
// What why says to people.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analysis/streams.h"
#include "analysis/why.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

constexpr std::size_t kFlowsShown = 16, kStreamsShown = 64;
constexpr double kLeastShown = 0.05;  // percent: less is 0.0
constexpr std::size_t kStrip = 60;    // characters of a flow's time
// Of each limit in the strip, in their order.
constexpr const char kLetters[] = "a.bphcCLQwRs?";
static_assert(sizeof(kLetters) == kLimits + 1);

std::string bytes_text(std::uint64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (bytes >= 10'000'000) return fmt::format("{:.0f} MB", value / 1e6);
  if (bytes >= 10'000) return fmt::format("{:.0f} kB", value / 1e3);
  return fmt::format("{} B", bytes);
}

std::string time_text(std::uint64_t ns) {
  if (ns >= 10'000'000'000) return fmt::format("{:.1f} s", static_cast<double>(ns) / 1e9);
  return fmt::format("{:.{}f} ms", static_cast<double>(ns) / 1e6, ns >= 10'000'000 ? 0 : 2);
}

double seconds_of(const WhyFlow& flow) {
  return static_cast<double>(flow.facts.last_ns - flow.facts.first_ns) / 1e9;
}

std::string section_text(const WhyReport& report, const WhyFlow& flow, std::size_t at) {
  const Direction& direction = direction_of(report, flow);
  return name_of(direction, direction.sections[at]);
}

// "46 lost s1 - s2"
std::string losses_text(const WhyReport& report, const WhyFlow& flow) {
  std::string text;
  for (const auto& [section, count] : flow.lost) {
    text += fmt::format("{}{} lost {}", text.empty() ? "" : ", ", grouped(count),
                        section_text(report, flow, section));
  }
  const auto& points = direction_of(report, flow).points;
  const bool sampled =
      std::any_of(points.begin(), points.end(), [](const Point& one) { return one.sample_n != 1; });
  if (!text.empty()) return sampled ? text + " of the sample" : text;
  if (sampled) return "where, a sample does not tell";
  if (report.path.run.is_zero()) return "where, no sensor saw";
  return flow.reverse ? "no sensor saw it lost" : "its direction is not known";
}

std::string queue_text(const WhyReport& report, const WhyFlow& flow) {
  std::string text;
  for (const auto& [section, ns] : flow.queue_ns) {
    text += fmt::format("{}{} ({:.0f} % of that)", text.empty() ? "" : ", ",
                        section_text(report, flow, section), percent(ns, flow.total[Limit::queue]));
  }
  const std::string where = report.path.run.is_zero() && report.path.captures.empty()
                                ? "where, one host cannot tell"
                            : text.empty() ? "where, no section shows"
                                           : "it waited in " + text;
  return fmt::format("round trip {:.1f} to {:.1f} ms; {}", flow.facts.rtt_min_us / 1e3,
                     flow.facts.rtt_max_us / 1e3, where);
}

std::string writer_text(const SendFacts& facts) {
  if (facts.writes == 0) return "";
  std::string text = fmt::format("{} writes of {} on average", grouped(facts.writes),
                                 bytes_text(facts.written / facts.writes));
  if (facts.longest_gap_ns) text += ", up to " + time_text(facts.longest_gap_ns) + " apart";
  if (facts.pid) text += fmt::format(", pid {}", facts.pid);
  return text;
}

std::string reader_text(const WhyFlow& flow) {
  if (!flow.reader) return fmt::format("window down to {}", bytes_text(flow.facts.window_min));
  const ReadFacts& reader = *flow.reader;
  return fmt::format("up to {} unread at {}, reads up to {} apart{}", bytes_text(reader.unread_max),
                     flow.reader_host, time_text(reader.longest_gap_ns),
                     reader.pid ? fmt::format(", pid {}", reader.pid) : "");
}

// What cut the window. Records do not tell ECN from a host's own queue that was full: the kernel
// enters CWR for both.
std::string cuts_text(const WhyReport& report, const WhyFlow& flow) {
  const SendFacts& facts = flow.facts;
  std::string text;
  if (facts.reductions > 0)
    text = fmt::format("{} cuts without loss (CWR: by ECN or the host's own queue)",
                       grouped(facts.reductions));
  if (facts.reductions > 0 && facts.retransmitted == 0) return text;
  return text + (text.empty() ? "" : "; ") +
         fmt::format("{}; {} sent again", losses_text(report, flow), grouped(facts.retransmitted));
}

std::string proof(const WhyReport& report, const WhyFlow& flow, Limit limit) {
  const SendFacts& facts = flow.facts;
  switch (limit) {
    case Limit::application:
    case Limit::idle:
      return writer_text(facts);
    case Limit::send_buffer:
      return fmt::format("send buffer {}{}", bytes_text(facts.send_buffer),
                         facts.refused ? ", " + grouped(facts.refused) + " writes refused" : "");
    case Limit::pacing:
      return facts.pacing_rate == 0
                 ? ""
                 : "paced at " + rate_text(8.0 * static_cast<double>(facts.pacing_rate));
    case Limit::own_host:
      return "windows open and data waiting";
    case Limit::cwnd:
      return fmt::format("up to {} segments of {} B, never cut", grouped(facts.cwnd_max),
                         facts.mss);
    case Limit::cwnd_cut:
      return cuts_text(report, flow);
    case Limit::loss:
      if (flow.host.empty()) return losses_text(report, flow);
      return fmt::format("{} recoveries, {} timeouts", grouped(facts.recoveries),
                         grouped(facts.timeouts));
    case Limit::queue:
      return queue_text(report, flow);
    case Limit::receive_window:
      return fmt::format("window {} at most", bytes_text(facts.window_max));
    case Limit::receiver:
      return reader_text(flow);
    case Limit::sender:
      return "headers alone do not tell application, send buffer, cwnd and pacing apart";
    case Limit::unknown:
      if (flow.host.empty() && flow.facts.rtt_max_us == 0 && flow.facts.acked == 0)
        return "no acknowledgement is seen there: join both directions of a place (mergecap)";
      return flow.host.empty() ? "before the first acknowledgement"
                               : "before the first record of TCP, or records were lost";
  }
  return "";
}

std::string flow_line(const WhyFlow& flow) {
  const double seconds = seconds_of(flow);
  const std::uint64_t bytes = flow.bytes();
  std::string line = fmt::format("port {} -> {}", flow.local_port, flow.peer_port);
  line += flow.host.empty() ? ", headers at " + printable(flow.point) : " from " + flow.host;
  line += fmt::format("  {:.1f} s, {}", seconds, bytes_text(bytes));
  if (seconds > 0) line += ", " + rate_text(static_cast<double>(bytes) * 8 / seconds);
  if (flow.facts.rtt_min_us)
    line += fmt::format(", round trip {} at least",
                        time_text(flow.facts.rtt_min_us * std::uint64_t{1000}));
  return line + "\n";
}

// One letter for each of equal parts of the flow's time: what most of it was waited for.
std::string strip(const WhyFlow& flow) {
  if (flow.intervals.empty()) return "";
  const std::uint64_t first = flow.intervals.front().from_ns;
  const std::uint64_t span = flow.intervals.back().from_ns - first;  // to where the last begins
  const std::uint64_t part = std::max(span / kStrip + 1, flow.width_ns);
  std::vector<LimitTimes> parts(span / part + 1);
  for (const WhyInterval& interval : flow.intervals)
    parts[(interval.from_ns - first) / part].add(interval.times);
  std::string text;
  for (const LimitTimes& times : parts) {
    const bool any = times.sum() > 0;
    text += any ? kLetters[static_cast<std::size_t>(times.greatest())] : ' ';
  }
  return fmt::format("  |{}| {} a letter\n", text, time_text(part));
}

// The kernel's busy time is that with something to send or under way.
std::string kernel_line(const WhyFlow& flow) {
  const SendFacts& facts = flow.facts;
  if (facts.kernel_ns == 0) return "";
  const std::uint64_t all = flow.total.sum();
  const auto kernel = [&](std::uint64_t us) { return percent(us * 1000, facts.kernel_ns); };
  return fmt::format(
      "  the kernel's own account: rwnd_limited {:.1f} % (here {:.1f} %), sndbuf_limited {:.1f} % "
      "(here {:.1f} %), busy {:.1f} %\n",
      kernel(facts.rwnd_limited_us),
      percent(flow.total[Limit::receive_window] + flow.total[Limit::receiver], all),
      kernel(facts.sndbuf_limited_us), percent(flow.total[Limit::send_buffer], all),
      kernel(facts.busy_us));
}

std::string flow_table(const WhyReport& report, const WhyFlow& flow, bool color) {
  const std::string head = flow_line(flow);
  std::string text = color ? "\033[1m" + head.substr(0, head.size() - 1) + "\033[0m\n" : head;
  text += "  LIMITED BY               SHARE  PROOF\n";
  std::vector<Limit> limits;
  for (std::size_t at = 0; at < kLimits; ++at) {
    const auto limit = static_cast<Limit>(at);
    const bool seen = percent(flow.total[limit], flow.total.sum()) >= kLeastShown;
    if (seen || limit == Limit::unknown) limits.push_back(limit);
  }
  std::stable_sort(limits.begin(), limits.end(), [&](Limit a, Limit b) {
    if ((a == Limit::unknown) != (b == Limit::unknown)) return b == Limit::unknown;
    return flow.total[a] > flow.total[b];
  });
  for (const Limit limit : limits) {
    const bool any = flow.total[limit] > 0;
    const std::string line = fmt::format(
        "{} {:<22} {:>5.1f} %  {}", kLetters[static_cast<std::size_t>(limit)], text_of(limit),
        percent(flow.total[limit], flow.total.sum()), any ? proof(report, flow, limit) : "");
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text + strip(flow) + kernel_line(flow);
}

std::string ports_text(const WhyFlow& flow) {
  return fmt::format("{} -> {}", flow.local_port, flow.peer_port);
}

// What the slow one waited for, or that none is slow.
std::string verdict(const WhyReport& report, const Streams& found) {
  if (!found.slowest) return "no stream is slower than half of the others' median\n";
  const WhyFlow& slow = *found.slowest;
  const Limit limit = slow.total.greatest();
  const auto stream = std::find_if(found.streams.begin(), found.streams.end(),
                                   [&](const Stream& one) { return one.flow == &slow; });
  std::string text =
      fmt::format("SLOW: port {}, {} beside {} of the others; {:.1f} % of its time limited by {}",
                  ports_text(slow), rate_text(stream->rate), rate_text(found.others),
                  percent(slow.total[limit], slow.total.sum()), text_of(limit));
  const std::string why = proof(report, slow, limit);
  return text + (why.empty() ? "" : " (" + why + ")") + "\n";
}

std::string streams_table(const WhyReport& report) {
  const Streams found = side_by_side(report.flows);
  if (found.streams.empty()) return "";
  std::string text = fmt::format("{} streams side by side\n", found.streams.size());
  text += "  PORTS               BYTES         RATE   AGAIN  LIMITED BY               SHARE\n";
  std::size_t shown = 0;
  for (const Stream& stream : found.streams) {
    const WhyFlow& flow = *stream.flow;
    if (++shown > kStreamsShown && &flow != found.slowest) continue;
    const Limit limit = flow.total.greatest();
    text +=
        fmt::format("{} {:<14} {:>10} {:>12} {:>7}  {:<22} {:>5.1f} %\n",
                    &flow == found.slowest ? '>' : ' ', ports_text(flow), bytes_text(flow.bytes()),
                    rate_text(stream.rate), grouped(flow.facts.retransmitted), text_of(limit),
                    percent(flow.total[limit], flow.total.sum()));
  }
  if (found.streams.size() > kStreamsShown)
    text += fmt::format("  of the others the first {} are shown\n", kStreamsShown);
  return text + verdict(report, found);
}

}  // namespace

std::string to_table(const WhyReport& report, bool color) {
  std::string text;
  std::size_t shown = 0;
  for (const WhyFlow& flow : report.flows) {
    if (flow.minor || shown == kFlowsShown) break;
    text += flow_table(report, flow, color);
    ++shown;
  }
  if (const std::size_t more = report.flows.size() - shown; more > 0)
    text += fmt::format("and {} more with less data; --json has all\n", grouped(more));
  text += streams_table(report);
  for (const std::string& line : report.doubts) text += "   * " + printable(line) + "\n";
  return text;
}

}  // namespace fieldline::analysis
