// SPDX-License-Identifier: Apache-2.0
#include "archive/recovery.h"

#include <algorithm>
#include <map>

namespace fieldline::archive {

namespace {

// A section header is shorter than this; a file that is longer and has no readable one is damaged,
// not unborn.
constexpr std::uint64_t kLongestHead = 16 << 10;

// The bytes cut from one open chunk.
Result<std::uint64_t> recover_open(const Shelf& shelf, const ChunkName& name, bool has_successor) {
  auto scanned = scan_chunk(shelf, name, false);
  if (!scanned) return scanned.error();
  const auto& end = scanned->end;
  if (end.good_end == 0 && end.size <= kLongestHead) {
    auto removed = shelf.files.remove(shelf.path_of(name, false));
    if (!removed) return removed.error();
    return end.size;
  }
  std::uint64_t cut = 0;
  if (end.good_end != 0) {
    auto done = cut_and_sync(shelf, name, end);
    if (!done) return done.error();
    cut = end.size - end.good_end;
  }
  if (has_successor || end.good_end == 0 || end.skipped_inside > 0) {
    auto sealed = seal_as_it_is(shelf, name);
    if (!sealed) return sealed.error();
  }
  return cut;
}

// Makes the index's row of a chunk cover the file. Behind damage the older row knows the last item
// number, unless it covers more than the file has: then the damage is a tear, and nothing behind it
// was acknowledged.
Result<void> catch_up(const Shelf& shelf, Index& index, const ChunkName& name, bool sealed,
                      const ChunkRow* row) {
  auto file = shelf.files.open(shelf.path_of(name, sealed), FileSystem::Mode::read);
  if (!file) return file.error();
  auto size = (*file)->size();
  if (!size) return size.error();
  if (row != nullptr && row->sealed == sealed && row->bytes == *size) return {};
  auto scanned = scan_chunk(shelf, name, sealed);
  if (!scanned) return scanned.error();
  if (scanned->end.skipped_inside > 0 && row != nullptr) {
    std::uint64_t last = scanned->last_sequence;
    if (row->bytes <= *size) last = std::max(last, row->last_sequence);
    scanned->summary.last_sequence = last;
  }
  return index.replace(scanned->summary);
}

}  // namespace

Result<void> cut_and_sync(const Shelf& shelf, const ChunkName& name, const ScanEnd& end) {
  auto file = shelf.files.open(shelf.path_of(name, false), FileSystem::Mode::append);
  if (!file) return file.error();
  if (end.good_end < end.size) {
    auto cut = (*file)->truncate(end.good_end);
    if (!cut) return cut.error();
  }
  auto synced = (*file)->sync();
  if (!synced) return synced.error();
  return shelf.files.sync_directory(shelf.open_folder());
}

Result<void> seal_as_it_is(const Shelf& shelf, const ChunkName& name) {
  auto renamed = shelf.files.rename(shelf.path_of(name, false), shelf.path_of(name, true));
  if (!renamed) return renamed.error();
  auto synced = shelf.files.sync_directory(shelf.sealed_folder());
  if (!synced) return synced.error();
  return shelf.files.sync_directory(shelf.open_folder());
}

Result<std::vector<ChunkName>> chunks_in(const Shelf& shelf, bool sealed) {
  auto files = shelf.files.list(sealed ? shelf.sealed_folder() : shelf.open_folder());
  if (!files) return files.error();
  std::vector<ChunkName> names;
  for (const auto& file : *files) {
    if (auto name = ChunkName::parse(file)) names.push_back(*name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> close_summary(Summary& summary, const Shelf& shelf, const ChunkName& name, bool sealed,
                           const ScanEnd& end) {
  auto written = shelf.files.modified_ns(shelf.path_of(name, sealed));
  // Sealed since it was looked for.
  if (!written) written = shelf.files.modified_ns(shelf.path_of(name, true));
  if (!written) return written.error();
  summary.stored_at(*written);
  summary.head.session.id = name.session;
  summary.head.number = name.number;
  summary.sealed = sealed;
  summary.bytes = end.size;
  summary.skipped_bytes = end.skipped_bytes;
  return {};
}

Result<Scanned> scan_chunk(const Shelf& shelf, const ChunkName& name, bool sealed,
                           const OnBlock& also) {
  Scanned scanned;
  Summary& summary = scanned.summary;
  OnBlock on_block = [&](const pcapng::Block& block, std::uint64_t skipped) {
    summary.add(block);
    if (skipped == 0) scanned.last_sequence = summary.last_sequence;
    if (also) also(block, skipped);
  };
  const std::string context = "reading chunk " + name.file();
  auto scan = ChunkScan::begin(shelf.files, shelf.path_of(name, sealed));
  if (!scan) return std::move(scan.error()).in(context);
  auto read = scan->read(UINT64_MAX, on_block);
  if (!read) return std::move(read.error()).in(context);
  auto end = scan->end(on_block);
  if (!end) return std::move(end.error()).in(context);
  auto closed = close_summary(summary, shelf, name, sealed, *end);
  if (!closed) return std::move(closed.error()).in(context);
  scanned.end = *end;
  if (summary.head.first > 0) {
    scanned.last_sequence = std::max(scanned.last_sequence, summary.head.first - 1);
  }
  return scanned;
}

Result<std::uint64_t> recover(const Shelf& shelf, Index& index) {
  auto open = chunks_in(shelf, false);
  if (!open) return open.error();
  std::uint64_t cut = 0;
  for (std::size_t i = 0; i < open->size(); ++i) {
    const ChunkName& name = (*open)[i];
    bool has_successor = i + 1 < open->size() && (*open)[i + 1].session == name.session;
    auto bytes = recover_open(shelf, name, has_successor);
    if (!bytes) return Error(bytes.error()).in("recovering chunk " + name.file());
    cut += *bytes;
  }

  auto rows = index.chunks();
  if (!rows) return rows.error();
  std::map<ChunkName, const ChunkRow*> known;
  for (const auto& row : *rows) known[row.name] = &row;
  for (bool sealed : {true, false}) {
    auto names = chunks_in(shelf, sealed);
    if (!names) return names.error();
    for (const auto& name : *names) {
      auto at = known.find(name);
      auto done = catch_up(shelf, index, name, sealed, at == known.end() ? nullptr : at->second);
      if (!done) return done.error();
      if (at != known.end()) known.erase(at);
    }
  }
  for (const auto& [name, row] : known) {
    auto forgotten = index.forget(name);
    if (!forgotten) return forgotten.error();
  }
  return cut;
}

}  // namespace fieldline::archive
