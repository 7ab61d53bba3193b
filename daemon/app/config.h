// SPDX-License-Identifier: Apache-2.0
// What fieldlined is told: one TOML file, packaging/fieldlined.toml is the annotated example.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "base/result.h"
#include "proto/flow.h"
#include "proto/frame.h"
#include "sense/policy.h"
#include "stream/identity.h"

namespace fieldline::app {

struct ArchivePin {
  std::string host;
  std::uint16_t port = FL_STREAM_PORT;
  stream::Fingerprint key{};
  bool also = false;  // a mirror: gets every run, whichever archive that selects
};

// What each role that honours triggers is told.
struct RoleConfig {
  std::string name, domain, identity, allowed_signers;
  std::vector<std::string> interfaces;
  std::vector<ArchivePin> archives;  // the first is the role's own
  sense::Policy policy;
  std::uint32_t max_flows = FL_FLOWS_DEFAULT;
  std::uint64_t spool_bytes = 0, spool_disk_bytes = 0;  // in memory; on disk, 0: memory alone
  std::string spool_directory;
};

struct SensorConfig : RoleConfig {
  std::vector<std::string> in_path;  // beside the taps, which are `interfaces`
  bool time_per_poll = false;        // taps read the clock once for what one poll took in
  bool port_totals = true;           // readers of a run are told what else its ports carried
  std::uint32_t header_ring_bytes = 0;
};

struct HostConfig : RoleConfig {
  std::string source = "auto";  // "module", "ebpf", or whichever there is
  std::uint32_t event_ring_bytes = 0;
};

struct ProducerPin {
  std::string name;
  stream::Fingerprint key{};
};

// What an archive takes of applications that come with a grant (libfieldline).
struct ApplicationLimits {
  std::uint64_t connections = 64;    // at a time; 0: none are taken
  std::uint64_t events = 1'000'000;  // of one run
};

struct ArchiveConfig {
  std::string address, directory, identity, readers;  // readers: an allowed_signers file
  std::uint16_t port = FL_STREAM_PORT;
  std::uint64_t chunk_bytes = 0;
  archive::Rules retention;
  std::vector<ProducerPin> producers;
  ApplicationLimits applications;
  std::vector<std::string> see_all, admins;  // patterns of principals
};

struct Config {
  std::string log_level;
  std::optional<SensorConfig> sensor;
  std::optional<HostConfig> host;
  std::optional<ArchiveConfig> archive;

  // Every problem of the file at once, with line and column.
  static Result<Config> load(const std::string& path);
};

}  // namespace fieldline::app
