// SPDX-License-Identifier: Apache-2.0
#include "analysis/modulation.h"

#include <netinet/in.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "analysis/event_flows.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

constexpr std::size_t kFlowsShown = 8;

const char* name_of(HostLayer layer) {
  switch (layer) {
    case HostLayer::application_out:
      return "send()";
    case HostLayer::tcp_out:
    case HostLayer::tcp_in:
      return "tcp";
    case HostLayer::ip_out:
    case HostLayer::ip_in:
      return "ip";
    case HostLayer::device_out:
    case HostLayer::device_in:
      return "device";
    case HostLayer::application_in:
      return "recv()";
  }
  return "";
}

bool goes_out(HostLayer layer) {
  return layer <= HostLayer::device_out;
}

void add_rows(const EventSocket& socket, bool out, ModulationFlow& flow) {
  for (const auto& [layer, spacing] : socket.layers) {
    if (goes_out(layer) == out) flow.rows.push_back({socket.host, name_of(layer), "", spacing});
  }
}

// The socket of a host that has these ports and sends in this direction, if exactly one does.
const EventSocket* socket_of(const PathReport& path, std::uint16_t local, std::uint16_t peer,
                             bool reverse) {
  const EventSocket* found = nullptr;
  for (const EventSocket& socket : path.events.sockets) {
    if (socket.local_port != local || socket.peer_port != peer ||
        is_reverse(socket, path.grant).value_or(reverse) != reverse)
      continue;
    if (found) return nullptr;
    found = &socket;
  }
  return found;
}

void add_points(const Direction& direction, const FlowSpacing& spacing, ModulationFlow& flow) {
  for (std::size_t at = 0; at < spacing.points.size(); ++at) {
    if (spacing.points[at].bytes() > 0)
      flow.rows.push_back({"", "", direction.points[at].name, spacing.points[at]});
  }
}

ModulationFlow flow_of(const PathReport& path, const FlowSpacing& spacing, bool reverse) {
  ModulationFlow flow{spacing.sport, spacing.dport, spacing.protocol, reverse, {}};
  const bool tcp = spacing.protocol == IPPROTO_TCP;
  const EventSocket* sender = tcp ? socket_of(path, flow.sport, flow.dport, reverse) : nullptr;
  const EventSocket* reader = tcp ? socket_of(path, flow.dport, flow.sport, !reverse) : nullptr;
  if (sender) add_rows(*sender, true, flow);
  add_points(reverse ? path.reverse : path.forward, spacing, flow);
  if (reader) add_rows(*reader, false, flow);
  return flow;
}

std::string micros(double ns) {
  const double us = ns / 1e3;
  return fmt::format("{:.{}f}", us, us < 10 ? 2 : us < 1000 ? 1 : 0);
}

std::string row_text(const ModulationRow& row) {
  const Spread &sizes = row.spacing.sizes(), &gaps = row.spacing.gaps();
  const std::string at =
      row.point.empty() ? printable(row.host) + " " + row.layer : printable(row.point);
  return fmt::format("  {:<18} {:>9} {:>9.0f} {:>7} {:>7} {:>10} {:>10} {:>10} {:>6}\n", at,
                     grouped(sizes.count()), sizes.mean(), sizes.percentile(50),
                     sizes.percentile(99), micros(gaps.mean()),
                     micros(static_cast<double>(gaps.percentile(50))),
                     micros(static_cast<double>(gaps.percentile(99))),
                     gaps.mean() > 0 ? fmt::format("{:.2f}", gaps.deviation() / gaps.mean()) : "-");
}

json spread_json(const Spread& spread) {
  return {{"min", spread.least()},        {"mean", spread.mean()},
          {"p50", spread.percentile(50)}, {"p99", spread.percentile(99)},
          {"max", spread.greatest()},     {"deviation", spread.deviation()}};
}

json row_json(const ModulationRow& row) {
  return {{"host", row.host.empty() ? json() : json(row.host)},
          {"layer", row.layer.empty() ? json() : json(row.layer)},
          {"point", row.point.empty() ? json() : json(row.point)},
          {"count", row.spacing.sizes().count()},
          {"bytes", row.spacing.bytes()},
          {"size", spread_json(row.spacing.sizes())},
          {"gap_ns", spread_json(row.spacing.gaps())}};
}

}  // namespace

ModulationReport judge_modulation(PathReport path) {
  ModulationReport report;
  std::set<const EventSocket*> told;
  for (const bool reverse : {false, true}) {
    for (const FlowSpacing& spacing : (reverse ? path.reverse : path.forward).spacing) {
      report.flows.push_back(flow_of(path, spacing, reverse));
      told.insert(socket_of(path, spacing.sport, spacing.dport, reverse));
    }
  }
  // Those that no vantage point saw.
  const auto& sockets = path.events.sockets;
  const OtherEnds ends(sockets);
  for (const EventSocket& socket : sockets) {
    const EventSocket* other = ends.of(socket);
    if (told.contains(&socket) || !is_sender(socket, other)) continue;
    ModulationFlow flow{socket.local_port,
                        socket.peer_port,
                        IPPROTO_TCP,
                        is_reverse(socket, path.grant).value_or(false),
                        {}};
    add_rows(socket, true, flow);
    if (other) add_rows(*other, false, flow);
    report.flows.push_back(std::move(flow));
  }
  std::erase_if(report.flows, [](const ModulationFlow& flow) { return flow.rows.empty(); });
  std::stable_sort(
      report.flows.begin(), report.flows.end(),
      [](const ModulationFlow& a, const ModulationFlow& b) { return a.bytes() > b.bytes(); });
  report.doubts = doubts_of(path.events);
  for (const EventHost& host : path.events.hosts) {
    std::string absent;
    for (const auto& name : host.absent) absent += (absent.empty() ? "" : ", ") + name;
    if (!absent.empty())
      report.doubts.push_back("host " + host.name + " records by " + host.source +
                              ", which cannot give " + absent);
  }
  report.path = std::move(path);
  return report;
}

json to_json(const ModulationReport& report) {
  json flows = json::array();
  for (const ModulationFlow& flow : report.flows) {
    json rows = json::array();
    for (const ModulationRow& row : flow.rows) rows.push_back(row_json(row));
    flows.push_back({{"sport", flow.sport},
                     {"dport", flow.dport},
                     {"protocol", flow.protocol},
                     {"direction", flow.reverse ? "reverse" : "forward"},
                     {"rows", std::move(rows)}});
  }
  return {{"schema", "fieldline.modulation/1"},
          {"run", report.path.run.is_zero() ? json() : json(report.path.run.hex())},
          {"flows", std::move(flows)},
          {"doubts", report.doubts}};
}

std::string to_table(const ModulationReport& report, bool color) {
  std::string text;
  for (std::size_t at = 0; at < std::min(report.flows.size(), kFlowsShown); ++at) {
    const ModulationFlow& flow = report.flows[at];
    const std::string head =
        fmt::format("port {} -> {}, payload bytes and gaps in us", flow.sport, flow.dport);
    text += (color ? "\033[1m" + head + "\033[0m" : head) + "\n";
    text += fmt::format("  {:<18} {:>9} {:>9} {:>7} {:>7} {:>10} {:>10} {:>10} {:>6}\n", "AT",
                        "COUNT", "SIZE mean", "p50", "p99", "GAP mean", "p50", "p99", "CV");
    for (const ModulationRow& row : flow.rows) text += row_text(row);
  }
  if (report.flows.size() > kFlowsShown)
    text += fmt::format("and {} more flows; --json has all\n",
                        grouped(report.flows.size() - kFlowsShown));
  for (const std::string& line : report.doubts) text += "   * " + printable(line) + "\n";
  return text;
}

}  // namespace fieldline::analysis
