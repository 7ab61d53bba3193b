// SPDX-License-Identifier: Apache-2.0
// The JSON documents that a role sends (docs/format/json.md), from what the rooms below know.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/clock_watch.h"
#include "app/config.h"
#include "capture/host_recorder.h"
#include "capture/recorder.h"
#include "sense/activation.h"
#include "source/chrony.h"
#include "source/source.h"
#include "source/system_facts.h"
#include "stream/producer.h"

namespace fieldline::app {

struct RoleStatus {
  std::string role, sensor;
  std::uint64_t at_ns = 0;
  std::size_t runs = 0, flows = 0;
  std::uint64_t accepted = 0, unclaimed = 0;
  sense::RefusalCounters refused{};
  nlohmann::json ports;
  stream::ProducerCounters stream;
  std::string state;
};

struct ClockQuality {
  std::string sensor;
  std::uint64_t at_ns = 0, tai_offset_s = 0;
  std::uint64_t stamps_early_by_ns = 0;  // where packets share a reading of the clock
  source::ClockFacts kernel;
  std::optional<source::ChronyTracking> chrony;
  std::uint64_t steps_so_far = 0;
  std::vector<ClockStep> steps;  // since the report before
};

nlohmann::json configuration_report(const RoleConfig& config, const RunId& session,
                                    std::uint64_t tai_offset_s);
// What a run keeps of the host that it was recorded on.
nlohmann::json system_json(const source::SystemFacts& facts);
nlohmann::json clock_report(const ClockQuality& quality);
nlohmann::json activation_report(const std::string& event, const std::string& sensor,
                                 const sense::Activation& activation, std::uint64_t at_ns,
                                 const std::string& reason);
nlohmann::json refusal_report(const std::string& sensor, const sense::Grant& grant,
                              const sense::Refusal& refusal, std::uint64_t at_ns);
nlohmann::json counts_report(
    const std::string& sensor, const sense::Activation& activation, std::uint64_t at_ns, bool final,
    const std::array<fl_flow_counters, 2>& flows,
    const std::map<capture::Recorder::Point, capture::PointCounts>& points);
// When the spool took no more.
nlohmann::json gaps_json(const std::vector<capture::Gap>& gaps);
// The vantage points of a sensor's session.
nlohmann::json configured_ports(const std::vector<source::PortState>& ports);
nlohmann::json port_report(std::uint16_t number, const source::PortState& port,
                           const fl_port_counters& counters);
// What the NIC dropped in front of a port: as it stands, or since a run began.
nlohmann::json nic_json(const source::NicDrops& drops);
nlohmann::json nic_report(std::uint16_t number, const source::PortState& port,
                          const source::NicDrops& drops);
nlohmann::json status_report(const RoleStatus& status);

struct FeedReport {
  std::string kind, why;
  std::vector<std::string> absent;
};
nlohmann::json host_configuration_report(const HostConfig& config, const RunId& session,
                                         std::uint64_t tai_offset_s, const FeedReport& feed);
// `since`: what the source counted since the run began, for all that it recorded.
nlohmann::json host_counts_report(const std::string& host, const sense::Activation& activation,
                                  std::uint64_t at_ns, bool final, const std::string& source,
                                  const capture::HostCounts& counts,
                                  const magnet::Accounting& since,
                                  const std::vector<std::string>& absent);
// An interface that is watched for triggers alone.
nlohmann::json trigger_port_report(std::uint16_t port, const std::string& interface,
                                   const fl_port_counters& counters);

}  // namespace fieldline::app
