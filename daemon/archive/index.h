// SPDX-License-Identifier: Apache-2.0
// What finds chunks and runs: SQLite in WAL mode. Never the truth: each chunk's row says how many
// bytes of the chunk it covers, and whoever opens the archive compares that with the files. So
// synchronous=NORMAL is enough: a power failure may take the newest transactions, never the
// database's shape, and what is missing is read from the chunks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/sqlite.h"
#include "archive/summary.h"

namespace fieldline::archive {

struct ChunkRow {
  ChunkName name;
  bool sealed = false;
  std::uint64_t bytes = 0, last_sequence = 0;
  std::uint64_t newest_ns = 0;  // of what it holds, or of when that was stored if that was later
  std::string producer;
};

struct RunChunk {
  ChunkName name;
  bool sealed = false;
  std::uint64_t bytes = 0;
  std::string sensor;
  std::string owner;                                    // whose session it is, of an application's
  std::uint64_t first_sequence = 0, last_sequence = 0;  // of all its items
  std::uint64_t newest_ns = 0, chunk_newest_ns = 0;     // of the run there, of all that is there
  RunPart part;
};

// How a run stands for the archive itself.
struct RunStanding {
  RunSummary summary;
  std::set<std::string> principals;  // to whom it was granted; nobody: whom its reports name
  std::vector<RunId> on;             // sessions that have not ended it
  std::uint64_t newest_ns = 0;       // as of a chunk, but for applications of others
};

// Runs that are as if they were not there.
using Hidden = std::function<bool(const RunId&)>;

class Index {
 public:
  // An error for an index that is missing, damaged or of another version: rebuild it.
  static Result<std::unique_ptr<Index>> open(const std::string& path);
  // Into a file that does not exist. Nothing of it is durable: whoever publishes the file syncs it
  // first.
  static Result<std::unique_ptr<Index>> create(const std::string& path);

  // Brings the rows of these chunks up to their summaries, in one transaction.
  Result<void> put(const std::vector<Summary*>& summaries);
  // The same for a chunk that was scanned: nothing of its older rows stays.
  Result<void> replace(Summary& summary);
  Result<void> forget(const ChunkName& name);

  Result<std::vector<ChunkRow>> chunks();
  Result<std::vector<ChunkRow>> chunks_of(const RunId& session);  // by number
  // Of the sessions in which a report of the run names the reader; by session and number.
  Result<std::vector<RunChunk>> parts_of(const RunId& run, const Principal& reader);
  // Newest first; behind `before`, if it is given.
  Result<std::vector<RunId>> newest(std::size_t limit, const Principal& reader,
                                    const Hidden& hidden, const std::optional<RunId>& before);
  Result<std::vector<RunId>> with_prefix(const std::string& hex, std::size_t limit,
                                         const Principal& reader, const Hidden& hidden);
  // Of which nothing was recorded or stored since; the oldest first, behind `after`.
  Result<std::vector<RunId>> older_than(std::uint64_t newest_ns, std::size_t limit,
                                        const Principal& reader, const Hidden& hidden,
                                        const std::optional<RunId>& after = std::nullopt);
  Result<RunSummary> summary_of(const RunId& run, const Principal& reader);
  // Every session that reported the run as started has given final counts since; at least one did.
  Result<bool> complete(const RunId& run, const Principal& reader);
  Result<RunStanding> standing_of(const RunId& run, const Principal& reader = {});
  Result<std::uint64_t> count_runs();

  // Behind `after` in the order of age, the oldest first.
  Result<std::vector<ChunkRow>> oldest_chunks(bool sealed, const ChunkRow& after,
                                              std::size_t limit);
  Result<std::vector<RunId>> runs_of(const ChunkName& name);
  Result<bool> has_successor(const ChunkName& name);
  Result<std::uint64_t> total_bytes();
  Result<void> mark_sealed(const ChunkName& name);

 private:
  explicit Index(Database db) : db_(std::move(db)) {}
  Result<void> write(Summary& summary);
  Result<void> drop(const ChunkName& name);
  Result<void> age_runs_of(const ChunkName& name);
  Result<void> transaction(const std::function<Result<void>()>& body);

  Database db_;
};

}  // namespace fieldline::archive
