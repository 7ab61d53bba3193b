// SPDX-License-Identifier: Apache-2.0
#include "app/reports.h"

#include <sys/utsname.h>

#include "proto/digest.h"

namespace fieldline::app {

using nlohmann::json;

namespace {

const char* name_of_direction(std::uint8_t direction) {
  return direction == FL_FORWARD ? "forward" : "reverse";
}

const char* name_of_verb(std::uint8_t verb) {
  return verb == FL_VERB_COUNT ? "count" : "capture";
}

json grant_json(const sense::Grant& grant) {
  json pairs = json::array();
  for (const auto& pair : grant.pairs) pairs.push_back({pair.a, pair.b});
  return {{"verb", name_of_verb(grant.verb)},
          {"protocol", grant.protocol},
          {"host_a", grant.host_a.to_string()},
          {"host_b", grant.host_b.to_string()},
          {"pairs", pairs},
          {"issued_at_ns", grant.issued_at_ns},
          {"not_after_ns", grant.not_after_ns},
          {"snaplen", grant.snaplen},
          {"sample_n", grant.sample_n}};
}

// What of the packets is recorded here: one of so many, or none.
void add_sampling(json& report, const sense::Decision& decision) {
  const bool counted = decision.sample_bits == FL_SAMPLE_NONE;
  report["verb"] = name_of_verb(counted ? FL_VERB_COUNT : FL_VERB_CAPTURE);
  if (!counted) report["sample_n"] = std::uint64_t{1} << decision.sample_bits;
}

json flow_json(const fl_flow_counters& flow) {
  return {{"packets", flow.packets},
          {"bytes", flow.bytes},
          {"lifted", flow.lifted},
          {"sampled_out", flow.sampled_out},
          {"dropped_ring", flow.dropped_ring},
          {"dropped_read", flow.dropped_read}};
}

}  // namespace

json configuration_report(const RoleConfig& config, const RunId& session,
                          std::uint64_t tai_offset_s) {
  utsname host{};
  uname(&host);
  return {{"schema", "fieldline.configuration/1"},
          {"sensor", config.name},
          {"domain", config.domain},
          {"session", session.hex()},
          {"host", host.nodename},
          {"kernel", host.release},
          {"clock", "tai"},
          {"tai_offset_s", tai_offset_s},
          {"ports", json::array()}};
}

namespace {

// What names a port and does not change while its sensor runs.
json port_json(std::size_t number, const source::PortState& port) {
  constexpr std::array places{"tap", "in", "out"};
  return {{"port", number},           {"interface", port.name},
          {"device", port.interface}, {"place", places.at(static_cast<std::size_t>(port.place))},
          {"kind", port.kind},        {"driver", port.driver}};
}

}  // namespace

json configured_ports(const std::vector<source::PortState>& ports) {
  json list = json::array();
  for (const auto& port : ports) list.push_back(port_json(list.size(), port));
  return list;
}

json system_json(const source::SystemFacts& facts) {
  json interfaces = json::object();
  for (const auto& one : facts.interfaces) {
    interfaces[one.name] = {{"driver", one.driver},
                            {"mtu", one.mtu},
                            {"queue_length", one.queue_length},
                            {"qdisc", one.qdisc},
                            {"speed_mbps", one.speed_mbps ? json(*one.speed_mbps) : json()},
                            {"offloads", one.offloads}};
  }
  const auto told = [](const std::string& text) { return text.empty() ? json() : json(text); };
  json routes = json::object();
  for (const auto& [to, route] : facts.routes) {
    routes[to] = {{"device", route.device},
                  {"gateway", told(route.gateway)},
                  {"source", route.source},
                  {"congestion_control", told(route.congestion_control)},
                  {"metrics", route.metrics}};
  }
  return {{"kernel", facts.kernel},
          {"sysctls", facts.sysctls},
          {"interfaces", interfaces},
          {"routes", routes},
          {"clock",
           {{"synchronized", facts.clock.synchronized},
            {"source", facts.clock.source},
            {"max_error_ns", facts.clock.max_error_ns},
            {"estimated_error_ns", facts.clock.estimated_error_ns},
            {"frequency_ppm", facts.clock.frequency_ppm}}}};
}

// chronyd is believed where it follows a source: it knows what it has told the kernel, and more.
json clock_report(const ClockQuality& quality) {
  const auto& [sensor, at_ns, tai_offset_s, early_ns, kernel, chrony, steps_so_far, steps] =
      quality;
  json list = json::array(), of_chrony;
  for (const ClockStep& step : steps) {
    list.push_back({{"what", name_of(step.what)},
                    {"from_ns", step.from_ns},
                    {"to_ns", step.to_ns},
                    {"by_ns", step.by_ns}});
  }
  if (chrony) {
    of_chrony = {{"synchronized", chrony->synchronized},
                 {"stratum", chrony->stratum},
                 {"offset_ns", chrony->offset_ns},
                 {"root_delay_ns", chrony->root_delay_ns},
                 {"root_dispersion_ns", chrony->root_dispersion_ns}};
  }
  const bool by_chrony = chrony && chrony->synchronized;
  return {{"schema", "fieldline.clock_quality/1"},
          {"sensor", sensor},
          {"at_ns", at_ns},
          {"tai_offset_s", tai_offset_s},
          {"source", kernel.source},
          {"by", by_chrony ? "chrony" : "kernel"},
          {"synchronized", by_chrony || kernel.synchronized},
          {"error_ns", early_ns + (by_chrony ? chrony->error_ns() : kernel.error_ns())},
          {"stamps_early_by_ns", early_ns},
          {"kernel",
           {{"synchronized", kernel.synchronized},
            {"offset_ns", kernel.offset_ns},
            {"max_error_ns", kernel.max_error_ns},
            {"estimated_error_ns", kernel.estimated_error_ns},
            {"frequency_ppm", kernel.frequency_ppm}}},
          {"chrony", of_chrony},
          {"steps_so_far", steps_so_far},
          {"steps", list}};
}

json activation_report(const std::string& event, const std::string& sensor,
                       const sense::Activation& activation, std::uint64_t at_ns,
                       const std::string& reason) {
  json report = {{"schema", "fieldline.activation/1"},
                 {"event", event},
                 {"run", activation.run.hex()},
                 {"principal", activation.principal},
                 {"rule", activation.decision.rule},
                 {"reason", reason},
                 {"sensor", sensor},
                 {"at_ns", at_ns},
                 {"deadline_ns", activation.deadline_utc_ns},
                 {"flows", (activation.slots.size() + 1) / 2},
                 {"pulses", activation.pulses},
                 {"clamped", activation.decision.clamped},
                 {"inner", activation.decision.inner},
                 {"grant", grant_json(activation.grant)}};
  add_sampling(report, activation.decision);
  return report;
}

json refusal_report(const std::string& sensor, const sense::Grant& grant,
                    const sense::Refusal& refusal, std::uint64_t at_ns) {
  return {{"schema", "fieldline.activation/1"},
          {"event", "refused"},
          {"run", grant.run.hex()},
          {"principal", refusal.principal},
          {"reason", name_of(refusal.reason)},
          {"detail", refusal.detail},
          {"rule", refusal.rule},
          {"sensor", sensor},
          {"at_ns", at_ns},
          {"grant", grant_json(grant)}};
}

json counts_report(const std::string& sensor, const sense::Activation& activation,
                   std::uint64_t at_ns, bool final, const std::array<fl_flow_counters, 2>& flows,
                   const std::map<capture::Recorder::Point, capture::PointCounts>& points) {
  json recorded = json::array();
  std::array<std::uint64_t, 2> dropped_spool{};
  for (const auto& [point, counts] : points) {
    recorded.push_back({{"port", point.first},
                        {"direction", name_of_direction(point.second)},
                        {"recorded", counts.recorded},
                        {"bytes", counts.bytes},
                        {"super_packets", counts.super_packets}});
    dropped_spool[point.second] += counts.dropped_spool;
  }
  json report = {
      {"schema", "fieldline.final_counts/1"},
      {"run", activation.run.hex()},
      {"sensor", sensor},
      {"at_ns", at_ns},
      {"final", final},
      {"points", recorded},
      {"flows",
       {{"forward", flow_json(flows[FL_FORWARD])}, {"reverse", flow_json(flows[FL_REVERSE])}}},
      {"dropped_spool",
       {{"forward", dropped_spool[FL_FORWARD]}, {"reverse", dropped_spool[FL_REVERSE]}}}};
  add_sampling(report, activation.decision);
  return report;
}

json gaps_json(const std::vector<capture::Gap>& gaps) {
  json list = json::array();
  for (const capture::Gap& gap : gaps) {
    list.push_back({{"cause", "spool"},
                    {"from_ns", gap.from_ns},
                    {"until_ns", gap.until_ns},
                    {"count", gap.count}});
  }
  return list;
}

json port_report(std::uint16_t number, const source::PortState& port, const fl_port_counters& c) {
  json counters = {{"packets", c.packets},
                   {"bytes", c.bytes},
                   {"unmatched", c.unmatched},
                   {"matched", c.matched},
                   {"lifted", c.lifted},
                   {"sampled_out", c.sampled_out},
                   {"taken_again", c.taken_again},
                   {"dropped_ring", c.dropped_ring},
                   {"dropped_read", c.dropped_read},
                   {"triggers", c.triggers},
                   {"triggers_dropped_ring", c.triggers_dropped_ring},
                   {"triggers_bad_length", c.triggers_bad_length},
                   {"triggers_fragmented", c.triggers_fragmented},
                   {"super_packets", c.super_packets}};
#define ADD(constant, counter) counters[#counter] = c.counter;
  FL_UNPARSED(ADD)
#undef ADD
  json report = port_json(number, port);
  report["attachment"] = port.attachment;
  report["remark"] = port.remark;
  report["counters"] = std::move(counters);
  return report;
}

json nic_json(const source::NicDrops& drops) {
  return {{"dropped", drops.total()}, {"kernel", drops.kernel}, {"driver", drops.driver}};
}

json nic_report(std::uint16_t number, const source::PortState& port,
                const source::NicDrops& drops) {
  json report = nic_json(drops);
  report["port"] = number;
  report["interface"] = port.name;
  return report;
}

json trigger_port_report(std::uint16_t port, const std::string& interface,
                         const fl_port_counters& c) {
  return {{"port", port},
          {"interface", interface},
          {"counters",
           {{"triggers", c.triggers},
            {"triggers_dropped_ring", c.triggers_dropped_ring},
            {"triggers_bad_length", c.triggers_bad_length},
            {"triggers_fragmented", c.triggers_fragmented}}}};
}

// A host is no vantage point: it has no ports, and its records are no packets.
json host_configuration_report(const HostConfig& config, const RunId& session,
                               std::uint64_t tai_offset_s, const FeedReport& feed) {
  json report = configuration_report(config, session, tai_offset_s);
  report["role"] = "host";
  report["interfaces"] = config.interfaces;
  report["events"] = {{"source", feed.kind}, {"why", feed.why}, {"absent", feed.absent}};
  return report;
}

json host_counts_report(const std::string& host, const sense::Activation& activation,
                        std::uint64_t at_ns, bool final, const std::string& source,
                        const capture::HostCounts& counts, const magnet::Accounting& since,
                        const std::vector<std::string>& absent) {
  json report = counts_report(host, activation, at_ns, final, {}, {});
  report["events"] = {{"source", source},
                      {"seen", counts.events + since.lost + since.missed + counts.unasked},
                      {"recorded", counts.recorded},
                      {"counted", counts.counted},
                      {"lost", since.lost + counts.unasked},
                      {"missed", since.missed},
                      {"dropped_spool", counts.dropped_spool},
                      {"sockets_opened", counts.sockets},
                      {"samples", counts.samples},
                      {"samples_dropped", counts.samples_dropped},
                      {"absent", absent}};
  return report;
}

json status_report(const RoleStatus& status) {
  json refused = json::object();
  for (std::size_t i = 0; i < sense::kReasons; ++i) {
    refused[name_of(static_cast<sense::Reason>(i))] = status.refused[i];
  }
  return {{"schema", "fieldline.status/1"},
          {"role", status.role},
          {"sensor", status.sensor},
          {"at_ns", status.at_ns},
          {"runs", status.runs},
          {"flows", status.flows},
          {"accepted", status.accepted},
          {"unclaimed", status.unclaimed},
          {"refused", refused},
          {"ports", status.ports},
          {"stream",
           {{"state", status.state},
            {"offered", status.stream.offered},
            {"acknowledged", status.stream.acknowledged},
            {"dropped_spool", status.stream.dropped_spool},
            {"spooled_bytes", status.stream.spooled_bytes},
            {"spooled_items", status.stream.spooled_items},
            {"spool_disk_bytes", status.stream.spool_disk_bytes},
            {"spool_disk_written", status.stream.spool_disk_written},
            {"spool_disk_lost", status.stream.spool_disk_lost},
            {"spool_disk_errors", status.stream.spool_disk_errors},
            {"resent", status.stream.resent},
            {"connects", status.stream.connects},
            {"failures", status.stream.failures}}}};
}

}  // namespace fieldline::app
