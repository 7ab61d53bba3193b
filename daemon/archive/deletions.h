// SPDX-License-Identifier: Apache-2.0
// Which runs were deleted: DIR/deletions.jsonl, one line each (docs/format/deletions.md). A line is
// on disk before the first byte of its run goes, and a run that has one is shown to nobody,
// whatever of it still stands in chunks or arrives later: so every step of a deletion may be the
// last before a crash, and an index that is built again from the chunks brings nothing back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/chunk.h"

namespace fieldline::archive {

class Deletions {
 public:
  // What a crash left behind the last whole line is cut.
  static Result<Deletions> open(const Shelf& shelf);

  // All of them durably, or an error and none: it may be tried again.
  Result<void> add(const std::vector<Deletion>& deletions);

  // Of runs that are gone from the chunks the newest `kept` deletions are remembered: `stands` says
  // which runs are not. After an error the list is as it was.
  Result<void> shorten(std::size_t kept, const std::function<Result<bool>(const RunId&)>& stands);

  const Deletion* find(const RunId& run) const;
  bool has(const RunId& run) const { return by_run_.contains(run); }
  // Newest first.
  std::vector<Deletion> newest(std::size_t limit, const Principal& reader) const;
  // Of those that the reader sees, whose id begins so.
  std::vector<RunId> with_prefix(const std::string& hex, std::size_t limit,
                                 const Principal& reader) const;
  std::size_t size() const { return by_run_.size(); }

 private:
  explicit Deletions(const Shelf& shelf) : shelf_(shelf) {}
  std::string path() const { return shelf_.directory + "/deletions.jsonl"; }
  Result<void> load();
  void take(Deletion deletion);

  Shelf shelf_;
  std::map<RunId, Deletion> by_run_;
  std::vector<RunId> order_;  // as they were deleted
  std::unique_ptr<File> file_;
  std::uint64_t size_ = 0;    // whole lines on disk
  bool cut_first_ = false;    // the file's tail is unknown
  bool name_synced_ = false;  // the directory entry is on disk
};

bool is_visible(const Deletion& deletion, const Principal& reader);
// "... was deleted on 2026-11-22T12:00:00Z: ..."
std::string describe(const Deletion& deletion);

}  // namespace fieldline::archive
