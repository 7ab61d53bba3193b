// SPDX-License-Identifier: Apache-2.0
// The archive: open chunks, sealed chunks, and an index that can always be rebuilt from them.
//   DIR/open/SESSION-NNNNNN.pcapng     being written
//   DIR/sealed/SESSION-NNNNNN.pcapng   published by rename
//   DIR/index.sqlite                   WAL; deleted or damaged, it is rebuilt at the next start
//   DIR/deletions.jsonl                which runs were deleted, when and why
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/address.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/pcapng.h"
#include "base/result.h"
#include "base/run_id.h"

namespace fieldline::archive {

// What may go without being asked for. The oldest runs go first, and never one that is open or is
// being read; 0: no such rule.
struct Rules {
  std::uint64_t max_age_ns = 0;
  std::uint64_t max_bytes = 0;  // of all chunks
  std::uint64_t keep_free_bytes = 0;
  double keep_free_share = 0;  // of the file system
};

struct Options {
  std::string directory;
  std::uint64_t chunk_bytes = 64ull << 20;  // sealed when larger
  FileSystem* files = nullptr;              // nullptr: the real one
  Rules rules;
  const Clock* clock = nullptr;  // nullptr: the real one
  // Remembered of those whose last trace has gone: so many, up to twice of it between two
  // clearings.
  std::size_t deletions_kept = 20'000;
};

// One header record to be stored, all in host byte order.
struct Record {
  RunId run;
  std::uint64_t sequence = 0;
  std::uint64_t timestamp_ns = 0;
  std::uint32_t wire_len = 0;
  std::uint16_t port = 0;
  fl_chunk_packet meta{};
  ByteView data;
};

// Who asks. Somebody sees of a run what was granted to him: in each session, from a "started"
// report that names him to the next that names another, and the reports that name him. Run ids
// alone open nothing: whoever is trusted can sign a grant with the id of another's run. None: sees
// all.
using Principal = std::optional<std::string>;

// Of a session that is an application's: whose it is, and the one run of which it may tell.
struct Owner {
  RunId run;
  std::string principal;
  bool operator==(const Owner&) const = default;
};

struct Query {
  RunId run;                                    // required
  std::optional<std::string> vantage;           // "s1", "s1:tap0": sensor, or sensor and interface
  std::optional<std::uint64_t> from_ns, to_ns;  // UTC, [from, to)
  // The flow, in either direction; unset members match everything.
  struct Flow {
    std::optional<std::uint8_t> protocol;
    std::optional<Prefix> a, b;
    std::uint16_t port_a = 0, port_b = 0;
  };
  std::optional<Flow> flow;
  bool reports = true;  // activation, final counts, configuration
  bool events = true;   // hosts' event records, if reports
  bool packets = true;
  // Go on with what is still to come until the run has ended on every vantage point.
  bool follow = false;
  Principal reader = std::nullopt;
};

// As its reader sees it.
struct RunSummary {
  RunId run;
  std::string principal;
  std::uint64_t started_ns = 0, ended_ns = 0;  // 0: still on
  // Counted by chunk: one that holds records before and after a session's run changed hands counts
  // for both.
  std::uint64_t records = 0;
  std::uint64_t events = 0;  // of hosts, as their final counts say: 0 while they are on
  std::uint64_t application_events = 0;
  nlohmann::json grant;  // as the first activation report gave it
  std::vector<std::string> sensors;
  bool complete = false;  // final counts from every session that reported an activation
};

struct Counters {
  std::uint64_t records = 0, reports = 0, bytes = 0, duplicates = 0, syncs = 0, chunks_sealed = 0;
  std::uint64_t torn_bytes_cut = 0, write_errors = 0;
  std::uint64_t gaps = 0;          // item numbers that were skipped
  std::uint64_t index_errors = 0;  // each made good later
  std::uint64_t runs_deleted = 0, chunks_deleted = 0, bytes_deleted = 0;
};

struct Deletion {
  enum class Reason { age, size, free, prune };
  RunId run;
  Reason reason = Reason::prune;
  std::string by;  // who asked for it; empty: a rule
  std::vector<std::string> principals;
  std::uint64_t started_ns = 0, ended_ns = 0, records = 0;  // as they were
  std::uint64_t deleted_ns = 0;
};
const char* name_of(Deletion::Reason reason);
nlohmann::json to_json(const Deletion& deletion);

// Which runs somebody wants to be gone.
struct PruneRequest {
  std::vector<RunId> runs;
  std::optional<std::uint64_t> ended_before_ns;  // all of his that ended before
  bool dry_run = false;
  std::string by;    // who asks
  bool all = false;  // an admin: others' runs too
};
struct Pruned {
  enum class Fate { deleted, open, not_yours };
  RunSummary run;
  Fate fate = Fate::deleted;  // or would be
};

// What a look at the house came to.
struct Tended {
  std::vector<Deletion> deleted;
  std::uint64_t chunks = 0, bytes = 0;  // files that went
  bool has_more = false;                // call again soon
  // What stands in the way, in words for people; empty: nothing.
  std::string remark;
};

// The room there is, as of the last look.
struct Disk {
  std::uint64_t total = 0, free = 0;
  std::uint64_t floor = 0;  // with less room than this nothing more is taken
  bool is_full = false;
  std::string trouble;  // why the newest write was not taken; empty: it was
};

// pcapng bytes of one query, produced as they are asked for.
class Cursor {
 public:
  virtual ~Cursor() = default;
  // Up to about 256 KiB, after reading about 4 MiB at most, be there anything to show or not.
  // Empty: nothing now (followed runs), or has_turn_left(); no value: complete.
  virtual Result<std::optional<Bytes>> next() = 0;
  // The last piece was empty because enough was read for one turn: go on without waiting.
  virtual bool has_turn_left() const = 0;
  virtual std::uint64_t records() const = 0;
  virtual std::uint64_t skipped_bytes() const = 0;  // damage that was stepped over
};

// The one answer for a run that is not there and for one of which the reader sees nothing.
Error no_such_run(const std::string& name);

class Archive {
 public:
  // Recovers: cuts torn tails of open chunks, rebuilds a missing or damaged index.
  static Result<std::unique_ptr<Archive>> open(const Options& options);
  virtual ~Archive() = default;

  // The last item number of the session that is on disk; 0 for a new one. An owner's session is no
  // part of what makes a run open or complete, but for the time that it is open itself.
  virtual Result<std::uint64_t> open_session(const RunId& session, const std::string& producer,
                                             const std::string& name, const std::string& domain,
                                             const std::optional<Owner>& owner = {}) = 0;
  virtual Result<void> append(const RunId& session, const Record& record) = 0;
  virtual Result<void> append(const RunId& session, const pcapng::Report& report) = 0;
  // Both appends: an error means that the item was not stored and may be offered again.
  // fdatasync of what was written since the last call, then `safe` for each session touched.
  virtual Result<void> sync(
      const std::function<void(const RunId& session, std::uint64_t sequence)>& safe) = 0;
  // Seals its chunk if nothing of it is still on.
  virtual Result<void> close_session(const RunId& session) = 0;
  virtual Result<void> close() = 0;

  // The newest `limit` of those that the reader sees anything of, newest first; those behind
  // `before` in this order, if it is given.
  virtual Result<std::vector<RunSummary>> runs(std::size_t limit, const Principal& reader = {},
                                               const std::optional<RunId>& before = {}) = 0;
  // No value: the reader sees nothing of it.
  virtual Result<std::optional<RunSummary>> find(const RunId& run,
                                                 const Principal& reader = {}) = 0;
  virtual Result<RunId> resolve(const std::string& prefix_or_last,
                                const Principal& reader = {}) = 0;
  virtual Result<std::unique_ptr<Cursor>> query(const Query& query) = 0;
  // From the chunks; {"chunks":n,"runs":n,"records":n,"skipped_bytes":n}.
  virtual Result<nlohmann::json> reindex() = 0;
  // About 4 MiB of that; no value: call again. Everything else may be called in between, and the
  // old index answers until the new one covers all that was appended. Whoever calls goes on with
  // what was begun.
  virtual Result<std::optional<nlohmann::json>> reindex_slice() = 0;
  virtual Counters counters() const = 0;

  // -- keeping house

  // A step of what the rules ask for; bounded. Whoever calls does so every few seconds, and at once
  // while there is more. Ages are judged only while the clock is to be trusted: it is kept right by
  // something, and has not jumped.
  virtual Result<Tended> tend(bool clock_is_synchronised) = 0;
  // From now on; a clock that jumped is trusted again.
  virtual void set_rules(const Rules& rules) = 0;
  // Newest runs first; at most kMostPruned of them.
  static constexpr std::size_t kMostPruned = 1000;
  virtual Result<std::vector<Pruned>> prune(const PruneRequest& request) = 0;
  // The newest first, of those that the reader saw anything of.
  virtual std::vector<Deletion> deletions(std::size_t limit, const Principal& reader = {}) = 0;
  virtual Disk disk() const = 0;
};

}  // namespace fieldline::archive
