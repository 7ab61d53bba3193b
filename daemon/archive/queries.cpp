// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "archive/file_archive.h"

namespace fieldline::archive {

namespace {

constexpr std::size_t kCandidates = 5;
constexpr std::uint64_t kSliceBytes = 4 << 20;

// Removes files of that name, where they exist.
Result<void> remove_all(FileSystem& files, const std::vector<std::string>& paths) {
  for (const auto& path : paths) {
    auto there = files.open(path, FileSystem::Mode::read);
    if (!there && there.error().code == Code::not_found) continue;
    auto removed = files.remove(path);
    if (!removed) return removed.error();
  }
  return {};
}

}  // namespace

Error no_such_run(const std::string& name) {
  return fail(Code::not_found,
              name == "last" ? "no run of yours here yet"
                             : "no run " + name + " of yours here; `fieldline runs` lists yours");
}

Result<std::vector<RunSummary>> FileArchive::runs(std::size_t limit, const Principal& reader,
                                                  const std::optional<RunId>& before) {
  auto fresh = refresh_index();
  if (!fresh) return fresh.error();
  auto ids = index_->newest(limit, reader, deleted(), before);
  if (!ids) return ids.error();
  std::vector<RunSummary> summaries;
  for (const auto& id : *ids) {
    auto summary = index_->summary_of(id, reader);
    if (!summary) return summary.error();
    end_with_grant(*summary);
    summaries.push_back(std::move(*summary));
  }
  return summaries;
}

Result<std::optional<RunSummary>> FileArchive::find(const RunId& run, const Principal& reader) {
  auto parts = source_->parts_of(run, reader);
  if (!parts) return parts.error();
  if (parts->empty() || deletions_->has(run)) return std::optional<RunSummary>{};
  auto summary = index_->summary_of(run, reader);
  if (!summary) return summary.error();
  end_with_grant(*summary);
  return std::optional<RunSummary>(std::move(*summary));
}

Result<RunId> FileArchive::resolve(const std::string& prefix_or_last, const Principal& reader) {
  auto fresh = refresh_index();
  if (!fresh) return fresh.error();
  bool last = prefix_or_last == "last";
  bool hex = std::all_of(prefix_or_last.begin(), prefix_or_last.end(),
                         [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (!last && (prefix_or_last.empty() || prefix_or_last.size() > 32 || !hex)) {
    return fail(Code::invalid,
                "a run is named by hexadecimal digits or 'last'; see: fieldline runs");
  }
  auto found = last ? index_->newest(1, reader, deleted(), {})
                    : index_->with_prefix(prefix_or_last, kCandidates + 1, reader, deleted());
  if (!found) return found.error();
  // Of one that was deleted the query says so.
  if (found->empty() && !last) {
    found = deletions_->with_prefix(prefix_or_last, kCandidates + 1, reader);
  }
  if (found->empty()) {
    return no_such_run(prefix_or_last);
  }
  if (found->size() == 1) return found->front();
  std::string text = "'" + prefix_or_last + "' is the beginning of several runs:";
  for (std::size_t i = 0; i < std::min(found->size(), kCandidates); ++i)
    text += " " + (*found)[i].hex();
  return fail(Code::invalid,
              text + (found->size() > kCandidates ? " ..." : "") + "; give more digits");
}

Result<std::unique_ptr<Cursor>> FileArchive::query(const Query& query) {
  const Deletion* deletion = deletions_ ? deletions_->find(query.run) : nullptr;
  if (deletion != nullptr) {
    if (is_visible(*deletion, query.reader)) return fail(Code::not_found, describe(*deletion));
    return no_such_run(query.run.hex());
  }
  auto parts = source_->parts_of(query.run, query.reader);
  if (!parts) return parts.error();
  if (parts->empty() && !query.follow) return no_such_run(query.run.hex());
  return make_cursor(shelf_, query, *parts, source_);
}

Result<nlohmann::json> FileArchive::reindex() {
  for (;;) {
    auto slice = reindex_slice();
    if (!slice) return slice.error();
    if (*slice) return {boost::system::in_place_value, std::move(**slice)};
  }
}

// What was appended is handed to the files first, and the index changes place in the call that
// found every file covered: so nothing is missing from the new one, and what is put into it again,
// from summaries that were not indexed yet, has the keys and the totals of what stands there.
Result<std::optional<nlohmann::json>> FileArchive::reindex_slice() {
  if (!lock_) return fail(Code::closed, kClosed);
  auto fresh = refresh_index();
  if (!fresh && index_) return fresh.error();
  auto begun = rebuild_ ? Result<void>() : begin_rebuild();
  if (!begun) return begun.error();
  auto covered = rebuild_->step(kSliceBytes);
  if (!covered) {
    rebuild_.reset();
    return covered.error();
  }
  if (!*covered) return std::optional<nlohmann::json>();
  auto built = finish_rebuild();
  if (!built) return built.error();
  return std::optional<nlohmann::json>(std::move(*built));
}

Result<void> FileArchive::begin_rebuild() {
  const std::string fresh = index_path() + ".new";
  auto removed = remove_all(shelf_.files, {fresh + "-journal", fresh});
  if (!removed) return removed.error();
  auto begun = Rebuild::begin(shelf_, fresh);
  if (!begun) return begun.error();
  rebuild_ = std::move(*begun);
  return {};
}

// The new index takes the old one's place by rename, so that there is a whole one at any moment.
// What SQLite kept beside the old one goes first: it must never be taken for the new one's.
Result<nlohmann::json> FileArchive::finish_rebuild() {
  const std::string old = index_path(), fresh = old + ".new";
  auto built = rebuild_->result();
  rebuild_.reset();
  if (!built) return built.error();
  auto file = shelf_.files.open(fresh, FileSystem::Mode::append);
  auto done = file ? (*file)->sync() : Result<void>(file.error());
  if (!done) return done.error();

  index_.reset();
  done = remove_all(shelf_.files, {old + "-wal", old + "-shm", old + "-journal"});
  if (done) done = shelf_.files.rename(fresh, old);
  auto index = Index::open(old);
  if (index) index_ = std::move(*index);
  if (!done) return done.error();
  if (!index) return index.error();
  return built;
}

}  // namespace fieldline::archive
