// SPDX-License-Identifier: Apache-2.0
// What the index knows of one chunk. The same code sums up blocks while they are written and while
// a chunk is scanned, so that an index grown item by item equals one rebuilt from the chunks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "archive/archive.h"
#include "archive/chunk.h"
#include "base/pcapng.h"
#include "base/run_id.h"

namespace fieldline::archive {

struct SessionInfo {
  RunId id;
  std::string producer, name, domain;
  std::optional<Owner> owner = std::nullopt;  // it is an application's
  std::uint64_t opened_ns = 0;                // of such a one: by the archive's own clock

  bool is_of(const RunId& run) const { return owner && owner->run == run; }
  // denied: who comes as `other` is not whose session this is.
  Result<void> check_same(const SessionInfo& other) const;
};

// What of one run stands in one chunk.
struct RunPart {
  std::uint64_t records = 0;
  std::uint64_t reports = 0;                // copies at the chunk's head included
  std::uint64_t first_ns = 0, last_ns = 0;  // of its records
  std::uint64_t began_ns = 0;               // of its earliest record or report; 0: not known
  // The archive's own time when the newest of it was put into the index, so that a run does not
  // age by the clock of a sensor; of a chunk that was scanned, when its file was written last.
  std::uint64_t stored_ns = 0;
  bool changed = false;  // since the index was last written

  std::uint64_t newest_ns() const { return std::max({last_ns, began_ns, stored_ns}); }
};

struct IndexedReport {
  RunId run;
  std::uint64_t sequence = 0;
  std::uint8_t type = 0;
  std::string json;
  std::string principal;  // of an activation report
};

// The section's comment: who wrote the chunk, and the number of the first item that is no copy.
struct ChunkHead {
  SessionInfo session;
  std::uint32_t number = 0;
  std::uint64_t first = 0;

  std::string comment() const;
  static std::optional<ChunkHead> parse(std::string_view comment);
};

// An interface block's comment.
struct InterfaceHead {
  RunId run, session;
  std::string sensor, domain, interface;
  std::uint16_t port = 0;

  std::string name() const { return sensor + ":" + interface; }
  std::string comment() const;
  static std::optional<InterfaceHead> parse(std::string_view comment);
};

struct Summary {
  ChunkHead head;
  bool known = false;  // its head was read
  bool sealed = false;
  std::uint64_t bytes = 0, skipped_bytes = 0;
  std::uint64_t stored_ns = 0;                          // as of its parts
  std::uint64_t first_sequence = 0, last_sequence = 0;  // copies not counted; 0: none
  std::uint64_t records = 0, reports = 0;               // copies not counted
  std::map<RunId, RunPart> runs;
  std::vector<IndexedReport> indexed;  // since the index was last written

  ChunkName name() const { return {head.session.id, head.number}; }
  void add(const pcapng::Block& block);
  void add(const pcapng::Section& section);
  void add(const pcapng::Interface& interface);
  void add(const pcapng::Packet& packet);
  void add(const pcapng::Report& report);
  void add(const pcapng::Statistics&) {}
  // The run of an interface block of the chunk; nullptr for one that is not ours.
  const RunId* run_of(std::uint32_t interface) const;
  // What changed is put into the index now.
  void stored_at(std::uint64_t utc_ns);
  // Everything that changed is in the index.
  void indexed_now();
  std::uint64_t newest_ns() const;

 private:
  void advance(std::uint64_t sequence);

  std::vector<RunId> interface_runs_;  // by interface number
};

// Whether the report's run is on behind it; no value: it says nothing of that.
std::optional<bool> says_on(const pcapng::Report& report);

// A report's payload as a JSON object; an empty object for anything else.
nlohmann::json parse_object(ByteView payload);
// Members of a JSON object from outside: of the wanted type, or nothing.
std::string string_of(const nlohmann::json& object, const char* member);
std::uint64_t number_of(const nlohmann::json& object, const char* member);
bool flag_of(const nlohmann::json& object, const char* member);
// dump() that cannot throw on bytes that are not UTF-8.
std::string dump(const nlohmann::json& value);

}  // namespace fieldline::archive
