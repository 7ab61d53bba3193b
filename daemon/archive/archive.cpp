// SPDX-License-Identifier: Apache-2.0
#include "archive/file_archive.h"

#include <algorithm>
#include <filesystem>

namespace fieldline::archive {

namespace {

constexpr std::size_t kMaxName = 256;

// The directory itself is made at the first start.
std::string existing_parent(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::path path = std::filesystem::absolute(directory, ignored);
  while (path.has_relative_path() && !std::filesystem::exists(path, ignored))
    path = path.parent_path();
  return path.string();
}

}  // namespace

Result<void> FileArchive::start() {
  source_->archive = this;
  auto space = shelf_.files.space(existing_parent(options_.directory));
  if (space && space->read_only) {
    return fail(
        Code::denied,
        "the file system is mounted read-only; see why (dmesg), then mount it again with "
        "`mount -o remount,rw`. The chunks are pcapng: fieldline path and tshark read them");
  }
  for (const auto& folder : {shelf_.open_folder(), shelf_.sealed_folder()}) {
    auto made = shelf_.files.make_directories(folder);
    if (!made) return made.error();
  }
  // Two writers would tear each other's chunks. Held until the process ends or the archive is
  // closed.
  auto locked = lock_file(options_.directory + "/lock");
  if (!locked && locked.error().code == Code::denied) {
    return fail(Code::denied,
                "another process has this archive open; stop it, or give each archive "
                "a directory of its own");
  }
  if (!locked) return locked.error();
  lock_ = std::move(*locked);
  auto index = Index::open(index_path());
  if (index) {
    index_ = std::move(*index);
  } else {
    auto built = reindex();
    if (!built) return built.error();
  }
  auto cut = recover(shelf_, *index_);
  if (!cut) return cut.error();
  counters_.torn_bytes_cut += *cut;
  look_at_disk();
  return open_deletions();
}

Result<std::uint64_t> FileArchive::begin_session(const SessionInfo& info) {
  const RunId& id = info.id;
  if (!index_) return fail(Code::closed, kClosed);
  look_at_disk();
  if (disk_.is_full) return full();
  auto at = sessions_.find(id);
  if (at != sessions_.end() && at->second->torn) {
    drop(at);
    at = sessions_.end();
  }
  if (at != sessions_.end()) {
    auto his = at->second->info().check_same(info);
    if (!his) return his.error();
    return at->second->synced_sequence();
  }
  const std::string& principal = info.owner ? info.owner->principal : std::string();
  for (const auto* name : {&info.producer, &info.name, &info.domain, &principal}) {
    if (id.is_zero() || name->size() > kMaxName)
      return fail(Code::invalid, "a session has an id, and names of at most 256 bytes");
  }
  auto session = std::make_unique<Session>(shelf_, options_.chunk_bytes, info, counters_);
  auto resumed = session->resume(*index_);
  if (!resumed) return Error(resumed.error()).in("opening session " + id.hex());
  stale_.reserve(sessions_.size() + 1);
  return (sessions_[id] = std::move(session))->synced_sequence();
}

template <class Item>
Result<void> FileArchive::append_item(const RunId& id, const Item& item) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return fail(Code::not_found, "session " + id.hex() + " is not open");
  Session* session = at->second.get();
  if (session->torn) return fail(Code::exhausted, "out of memory");
  auto stored = guarded([&] { return session->append(item); });
  session->torn = !stored && stored.error().code == Code::exhausted;
  if (!stored) return stored.error();
  if (!*stored) return {};
  if (std::find(stale_.begin(), stale_.end(), session) == stale_.end()) stale_.push_back(session);
  return {};
}

Result<void> FileArchive::put(const std::vector<Session*>& sessions) {
  std::vector<Summary*> summaries;
  for (Session* session : sessions) {
    auto some = session->unindexed();
    summaries.insert(summaries.end(), some.begin(), some.end());
  }
  const std::uint64_t now_ns = clock_.utc_ns();
  for (Summary* summary : summaries) {
    summary->stored_at(now_ns);
    for (const auto& [run, part] : summary->runs) {
      if (part.changed && deletions_->has(run)) leftovers_.insert(run);
    }
  }
  auto done = index_->put(summaries);
  if (!done) {
    counters_.index_errors++;
    return done.error();
  }
  for (Session* session : sessions) {
    session->indexed();
    stale_.erase(std::remove(stale_.begin(), stale_.end(), session), stale_.end());
  }
  return {};
}

// Readers see what is in the files; a session whose file takes nothing now is seen as it was, and
// so is everything while the index takes nothing: a full disk keeps nobody from reading.
Result<void> FileArchive::refresh_index() {
  if (!index_) return fail(Code::closed, kClosed);
  if (stale_.empty()) return {};
  std::vector<Session*> flushed;
  for (Session* session : stale_) {
    if (!session->torn && session->flush()) flushed.push_back(session);
  }
  (void)put(flushed);
  return {};
}

// What is on disk is called safe first; then a disk without room sends the producers away.
Result<void> FileArchive::sync_all(const std::function<void(const RunId&, std::uint64_t)>& safe) {
  auto synced = sync_touched(safe);
  if (!synced) return synced;
  look_at_disk();
  return disk_.is_full ? full() : synced;
}

// An index that cannot be written keeps nobody from being told that the items are safe: it is made
// good at the next call or the next start.
Result<void> FileArchive::sync_touched(
    const std::function<void(const RunId&, std::uint64_t)>& safe) {
  if (!index_) return fail(Code::closed, kClosed);
  Result<void> first_error;
  std::vector<Session*> synced;
  for (auto& [id, session] : sessions_) {
    if (!session->touched || session->torn) continue;
    auto done = session->has_unsynced() ? session->sync() : Result<void>();
    if (done) {
      synced.push_back(session.get());
    } else if (first_error) {
      first_error = Error(done.error()).in("syncing session " + id.hex());
    }
  }
  disk_.trouble = first_error ? std::string() : first_error.error().text();
  if (synced.empty()) return first_error;
  counters_.syncs++;
  (void)put(synced);
  for (Session* session : synced) {
    session->touched = false;
    safe(session->info().id, session->synced_sequence());
  }
  return first_error;
}

Result<void> FileArchive::end_session(const RunId& id) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return {};
  Session* session = at->second.get();
  if (session->torn) {
    drop(at);
    return {};
  }
  auto done = session->any_run_on() ? session->sync() : session->seal();
  if (!done) return Error(done.error()).in("closing session " + id.hex());
  (void)put({session});
  drop(at);
  return {};
}

void FileArchive::drop(Sessions::iterator at) {
  stale_.erase(std::remove(stale_.begin(), stale_.end(), at->second.get()), stale_.end());
  idle_.erase(at->first);
  sessions_.erase(at);
}

Result<void> FileArchive::close() {
  if (!index_) return {};
  auto done = sync_touched([](const RunId&, std::uint64_t) {});
  if (!done) return done.error();
  stale_.clear();
  sessions_.clear();
  rebuild_.reset();
  index_.reset();
  lock_.reset();
  return {};
}

Result<std::unique_ptr<Archive>> Archive::open(const Options& options) {
  FileSystem& files = options.files != nullptr ? *options.files : system_files();
  auto archive = std::make_unique<FileArchive>(options, Shelf{files, options.directory});
  auto started = archive->start();
  if (!started) return Error(started.error()).in("opening the archive " + options.directory);
  return std::unique_ptr<Archive>(std::move(archive));
}

}  // namespace fieldline::archive
