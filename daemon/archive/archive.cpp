// SPDX-License-Identifier: Apache-2.0
#include "archive/file_archive.h"

#include <algorithm>

namespace fieldline::archive {

namespace {

constexpr std::size_t kMaxName = 256;

}  // namespace

Result<void> FileArchive::start() {
  source_->archive = this;
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
  return {};
}

Result<std::uint64_t> FileArchive::open_session(const RunId& id, const std::string& producer,
                                                const std::string& name,
                                                const std::string& domain) {
  if (!index_) return fail(Code::closed, kClosed);
  auto at = sessions_.find(id);
  if (at != sessions_.end()) {
    if (at->second->info().producer != producer) {
      return fail(Code::denied,
                  "session " + id.hex() + " belongs to another key; restart the producer");
    }
    return at->second->synced_sequence();
  }
  if (id.is_zero() || producer.size() > kMaxName || name.size() > kMaxName ||
      domain.size() > kMaxName) {
    return fail(Code::invalid, "a session has an id, and names of at most 256 bytes");
  }
  auto session = std::make_unique<Session>(shelf_, options_.chunk_bytes,
                                           SessionInfo{id, producer, name, domain}, counters_);
  auto resumed = session->resume(*index_);
  if (!resumed) return Error(resumed.error()).in("opening session " + id.hex());
  return (sessions_[id] = std::move(session))->synced_sequence();
}

template <class Item>
Result<void> FileArchive::append_item(const RunId& id, const Item& item) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return fail(Code::not_found, "session " + id.hex() + " is not open");
  Session* session = at->second.get();
  auto stored = session->append(item);
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
  auto done = index_->put(summaries);
  if (!done) return done.error();
  for (Session* session : sessions) {
    session->indexed();
    stale_.erase(std::remove(stale_.begin(), stale_.end(), session), stale_.end());
  }
  return {};
}

// Readers see what is in the files; a session whose file takes nothing now is seen as it was.
Result<void> FileArchive::refresh_index() {
  if (!index_) return fail(Code::closed, kClosed);
  if (stale_.empty()) return {};
  std::vector<Session*> flushed;
  for (Session* session : stale_) {
    if (session->flush()) flushed.push_back(session);
  }
  return put(flushed);
}

// An index that cannot be written keeps nobody from being told that the items are safe: it is made
// good at the next call or the next start.
Result<void> FileArchive::sync(const std::function<void(const RunId&, std::uint64_t)>& safe) {
  if (!index_) return fail(Code::closed, kClosed);
  Result<void> first_error;
  std::vector<Session*> synced;
  for (auto& [id, session] : sessions_) {
    if (!session->touched) continue;
    auto done = session->has_unsynced() ? session->sync() : Result<void>();
    if (done) {
      synced.push_back(session.get());
    } else if (first_error) {
      first_error = Error(done.error()).in("syncing session " + id.hex());
    }
  }
  if (synced.empty()) return first_error;
  counters_.syncs++;
  if (!put(synced)) counters_.write_errors++;
  for (Session* session : synced) {
    session->touched = false;
    safe(session->info().id, session->synced_sequence());
  }
  return first_error;
}

Result<void> FileArchive::close_session(const RunId& id) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return {};
  Session* session = at->second.get();
  auto done = session->any_run_on() ? session->sync() : session->seal();
  if (!done) return Error(done.error()).in("closing session " + id.hex());
  if (!put({session})) counters_.write_errors++;
  stale_.erase(std::remove(stale_.begin(), stale_.end(), session), stale_.end());
  sessions_.erase(at);
  return {};
}

Result<void> FileArchive::close() {
  if (!index_) return {};
  auto done = sync([](const RunId&, std::uint64_t) {});
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
