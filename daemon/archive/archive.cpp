// SPDX-License-Identifier: Apache-2.0
#include "archive/archive.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cctype>

#include "archive/cursor.h"
#include "archive/index.h"
#include "archive/recovery.h"
#include "archive/session.h"
#include "base/fd.h"

namespace fieldline::archive {

namespace {

constexpr std::size_t kMaxName = 256;
constexpr std::size_t kCandidates = 5;
constexpr const char* kClosed = "the archive is closed, or lost its index; restart it";

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

// Two writers would tear each other's chunks. Held until the process ends or the archive is closed.
Result<Fd> lock(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) return fail_errno("opening " + path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Code::denied,
                "another process has this archive open; stop it, or give each archive "
                "a directory of its own");
  }
  return fd;
}

class FileArchive final : public Archive {
 public:
  FileArchive(const Options& options, const Shelf& shelf) : options_(options), shelf_(shelf) {}
  ~FileArchive() override { source_->archive = nullptr; }

  Result<void> start();
  Result<std::uint64_t> open_session(const RunId& session, const std::string& producer,
                                     const std::string& name, const std::string& domain) override;
  Result<void> append(const RunId& session, const Record& record) override {
    return append_item(session, record);
  }
  Result<void> append(const RunId& session, const pcapng::Report& report) override {
    return append_item(session, report);
  }
  Result<void> sync(const std::function<void(const RunId&, std::uint64_t)>& safe) override;
  Result<void> close_session(const RunId& session) override;
  Result<void> close() override;

  Result<std::vector<RunSummary>> runs(std::size_t limit, const Principal& reader) override;
  Result<std::optional<RunSummary>> find(const RunId& run, const Principal& reader) override;
  Result<RunId> resolve(const std::string& prefix_or_last, const Principal& reader) override;
  Result<std::unique_ptr<Cursor>> query(const Query& query) override;
  Result<nlohmann::json> reindex() override;
  Counters counters() const override { return counters_; }

 private:
  struct Source final : RunSource {
    FileArchive* archive = nullptr;

    Result<std::vector<RunChunk>> parts_of(const RunId& run, const Principal& reader) override {
      if (archive == nullptr) return fail(Code::closed, kClosed);
      auto fresh = archive->refresh_index();
      if (!fresh) return fresh.error();
      return archive->index_->parts_of(run, reader);
    }
    Result<bool> complete(const RunId& run, const Principal& reader) override {
      if (archive == nullptr) return fail(Code::closed, kClosed);
      auto fresh = archive->refresh_index();
      if (!fresh) return fresh.error();
      return archive->index_->complete(run, reader);
    }
  };

  std::string index_path() const { return options_.directory + "/index.sqlite"; }
  Result<nlohmann::json> rebuild();
  template <class Item>
  Result<void> append_item(const RunId& session, const Item& item);
  Result<void> refresh_index();
  Result<void> put(const std::vector<Session*>& sessions);

  Options options_;
  Shelf shelf_;
  Counters counters_;
  Fd lock_;
  std::unique_ptr<Index> index_;
  std::map<RunId, std::unique_ptr<Session>> sessions_;
  std::vector<Session*> stale_;  // appended to since the index was last written
  std::shared_ptr<Source> source_ = std::make_shared<Source>();
};

Result<void> FileArchive::start() {
  source_->archive = this;
  for (const auto& folder : {shelf_.open_folder(), shelf_.sealed_folder()}) {
    auto made = shelf_.files.make_directories(folder);
    if (!made) return made.error();
  }
  auto locked = lock(options_.directory + "/lock");
  if (!locked) return locked.error();
  lock_ = std::move(*locked);
  auto index = Index::open(index_path());
  if (index) {
    index_ = std::move(*index);
  } else {
    auto built = rebuild();
    if (!built) return built.error();
  }
  auto cut = recover(shelf_, *index_);
  if (!cut) return cut.error();
  counters_.torn_bytes_cut += *cut;
  return {};
}

// The new index takes the old one's place by rename, so that there is a whole one at any moment.
// What SQLite kept beside the old one goes first: it must never be taken for the new one's.
Result<nlohmann::json> FileArchive::rebuild() {
  const std::string old = index_path(), fresh = old + ".new";
  auto removed = remove_all(shelf_.files, {fresh + "-journal", fresh});
  if (!removed) return removed.error();
  auto built = build_index(shelf_, fresh);
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
  index_.reset();
  lock_.reset();
  return {};
}

Result<std::vector<RunSummary>> FileArchive::runs(std::size_t limit, const Principal& reader) {
  auto fresh = refresh_index();
  if (!fresh) return fresh.error();
  auto ids = index_->newest(limit, reader);
  if (!ids) return ids.error();
  std::vector<RunSummary> summaries;
  for (const auto& id : *ids) {
    auto summary = index_->summary_of(id, reader);
    if (!summary) return summary.error();
    summaries.push_back(std::move(*summary));
  }
  return summaries;
}

Result<std::optional<RunSummary>> FileArchive::find(const RunId& run, const Principal& reader) {
  auto parts = source_->parts_of(run, reader);
  if (!parts) return parts.error();
  if (parts->empty()) return std::optional<RunSummary>{};
  auto summary = index_->summary_of(run, reader);
  if (!summary) return summary.error();
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
  auto found = last ? index_->newest(1, reader)
                    : index_->with_prefix(prefix_or_last, kCandidates + 1, reader);
  if (!found) return found.error();
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
  auto parts = source_->parts_of(query.run, query.reader);
  if (!parts) return parts.error();
  if (parts->empty() && !query.follow) return no_such_run(query.run.hex());
  return make_cursor(shelf_, query, *parts, source_);
}

Result<nlohmann::json> FileArchive::reindex() {
  auto fresh = refresh_index();
  if (!fresh && !index_) return fresh.error();
  return rebuild();
}

}  // namespace

Error no_such_run(const std::string& name) {
  return fail(Code::not_found,
              name == "last" ? "no run of yours here yet"
                             : "no run " + name + " of yours here; `fieldline runs` lists yours");
}

Result<std::unique_ptr<Archive>> Archive::open(const Options& options) {
  FileSystem& files = options.files != nullptr ? *options.files : system_files();
  auto archive = std::make_unique<FileArchive>(options, Shelf{files, options.directory});
  auto started = archive->start();
  if (!started) return Error(started.error()).in("opening the archive " + options.directory);
  return std::unique_ptr<Archive>(std::move(archive));
}

}  // namespace fieldline::archive
