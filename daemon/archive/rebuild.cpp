// SPDX-License-Identifier: Apache-2.0
#include "archive/rebuild.h"

#include <algorithm>

#include "archive/recovery.h"

namespace fieldline::archive {

Result<std::unique_ptr<Rebuild>> Rebuild::begin(const Shelf& shelf, const std::string& path) {
  auto index = Index::create(path);
  if (!index) return index.error();
  return std::unique_ptr<Rebuild>(new Rebuild(shelf, std::move(*index)));
}

// It ends although the chunks grow: what was appended since the last call is read to its end and
// looked at again within one call, and nothing is appended during a call.
Result<bool> Rebuild::step(std::uint64_t most) {
  while (most > 0) {
    if (due_.empty()) {
      auto due = look();
      if (!due) return due.error();
      due_ = std::move(*due);
      if (due_.empty()) return true;
    }
    auto n = read(due_.front(), most);
    if (!n) return Error(n.error()).in("reading chunk " + due_.front().name.file());
    if (*n < most) due_.pop_front();
    most -= std::min(most, *n);
  }
  return false;
}

Result<std::deque<Rebuild::Due>> Rebuild::look() {
  std::deque<Due> due;
  for (bool sealed : {true, false}) {
    auto names = chunks_in(shelf_, sealed);
    if (!names) return names.error();
    for (const auto& name : *names) {
      auto at = covered_.find(name);
      if (at != covered_.end() && at->second.sealed == sealed) {
        if (sealed) continue;
        auto file = shelf_.files.open(shelf_.path_of(name, false), FileSystem::Mode::read);
        auto size = file ? (*file)->size() : Result<std::uint64_t>(file.error());
        if (!size) return size.error();
        if (*size == at->second.bytes) continue;
      }
      due.push_back({name, sealed});
    }
  }
  return due;
}

// The bytes read; fewer than asked for: the chunk is covered.
Result<std::uint64_t> Rebuild::read(const Due& due, std::uint64_t most) {
  auto at = parts_.find(due.name);
  if (at == parts_.end()) {
    auto scan = ChunkScan::begin(shelf_.files, shelf_.path_of(due.name, due.sealed));
    // Sealed since it was looked for.
    if (!scan && !due.sealed && scan.error().code == Code::not_found) return std::uint64_t{0};
    if (!scan) return scan.error();
    at = parts_.emplace(due.name, Part{std::move(*scan), {}}).first;
  }
  Part& part = at->second;
  auto n = part.scan.read(most, [&](const pcapng::Block& block, auto) { part.summary.add(block); });
  if (!n || *n >= most) return n;
  auto done = cover(due, part);
  if (!done) return done.error();
  if (due.sealed) parts_.erase(at);
  return n;
}

Result<void> Rebuild::cover(const Due& due, Part& part) {
  Summary& summary = part.summary;
  if (due.sealed) {
    auto ended = part.scan.end([&](const pcapng::Block& block, auto) { summary.add(block); });
    if (!ended) return ended.error();
  }
  auto closed = close_summary(summary, shelf_, due.name, due.sealed, part.scan.so_far());
  if (!closed) return closed.error();
  covered_[due.name] = {due.sealed, summary.bytes, summary.records, summary.skipped_bytes};
  return index_->put({&summary});
}

Result<void> Rebuild::forget(const ChunkName& name) {
  covered_.erase(name);
  parts_.erase(name);
  std::erase_if(due_, [&](const Due& due) { return due.name == name; });
  return index_->forget(name);
}

Result<nlohmann::json> Rebuild::result() {
  auto runs = index_->count_runs();
  if (!runs) return runs.error();
  std::uint64_t records = 0, skipped = 0;
  for (const auto& [name, chunk] : covered_) {
    records += chunk.records;
    skipped += chunk.skipped_bytes;
  }
  // In place: a json takes a Result for one of its own values, so the conversion would be
  // ambiguous.
  return {boost::system::in_place_value, nlohmann::json{{"chunks", covered_.size()},
                                                        {"runs", *runs},
                                                        {"records", records},
                                                        {"skipped_bytes", skipped}}};
}

}  // namespace fieldline::archive
