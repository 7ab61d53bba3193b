// SPDX-License-Identifier: Apache-2.0
// The archive over files and an index: archive.cpp writes, queries.cpp answers, house.cpp deletes.
#pragma once

#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <vector>

#include "archive/cursor.h"
#include "archive/deletions.h"
#include "archive/index.h"
#include "archive/rebuild.h"
#include "archive/recovery.h"
#include "archive/retention.h"
#include "archive/session.h"
#include "base/fd.h"

namespace fieldline::archive {

inline constexpr const char* kClosed = "the archive is closed, or lost its index; restart it";

// Without memory whatever was begun ends as an error, and all that lasts is as it was.
template <class Body>
auto guarded(Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(Code::exhausted, "out of memory");  // short enough to take none
  }
}

class FileArchive final : public Archive {
 public:
  FileArchive(const Options& options, const Shelf& shelf)
      : options_(options),
        shelf_(shelf),
        clock_(options.clock != nullptr ? *options.clock : system_clock_) {}
  ~FileArchive() override { source_->archive = nullptr; }

  Result<void> start();
  Result<std::uint64_t> open_session(const RunId& session, const std::string& producer,
                                     const std::string& name, const std::string& domain,
                                     const std::optional<Owner>& owner) override {
    return guarded([&] {
      return begin_session({session, producer, name, domain, owner, clock_.utc_ns()});
    });
  }
  Result<void> append(const RunId& session, const Record& record) override {
    return append_item(session, record);
  }
  Result<void> append(const RunId& session, const pcapng::Report& report) override {
    return append_item(session, report);
  }
  Result<void> sync(const std::function<void(const RunId&, std::uint64_t)>& safe) override {
    return guarded([&] { return sync_all(safe); });
  }
  Result<void> close_session(const RunId& session) override {
    return guarded([&] { return end_session(session); });
  }
  Result<void> close() override;

  Result<std::vector<RunSummary>> runs(std::size_t limit, const Principal& reader,
                                       const std::optional<RunId>& before) override;
  Result<std::optional<RunSummary>> find(const RunId& run, const Principal& reader) override;
  Result<RunId> resolve(const std::string& prefix_or_last, const Principal& reader) override;
  Result<std::unique_ptr<Cursor>> query(const Query& query) override;
  Result<nlohmann::json> reindex() override;
  Result<std::optional<nlohmann::json>> reindex_slice() override;
  Counters counters() const override { return counters_; }

  Result<Tended> tend(bool clock_is_synchronised) override {
    return guarded([&] { return keep(clock_is_synchronised); });
  }
  void set_rules(const Rules& rules) override;
  Result<std::vector<Pruned>> prune(const PruneRequest& request) override {
    return guarded([&] { return prune_some(request); });
  }
  std::vector<Deletion> deletions(std::size_t limit, const Principal& reader) override;
  Disk disk() const override;

 private:
  struct Source final : RunSource {
    FileArchive* archive = nullptr;
    std::map<RunId, std::size_t> read;  // answers under way

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
    std::optional<Error> gone(const RunId& run) override {
      const Deletion* deletion = archive != nullptr ? archive->deletions_->find(run) : nullptr;
      if (deletion == nullptr) return std::nullopt;
      return fail(Code::not_found, describe(*deletion) + ", while it was read");
    }
    void begin_reading(const RunId& run) override { ++read[run]; }
    void end_reading(const RunId& run) override {
      if (--read[run] == 0) read.erase(run);
    }
  };

  using Sessions = std::map<RunId, std::unique_ptr<Session>>;
  // For how long nothing has come.
  struct Idle {
    std::uint64_t last_sequence = 0, since_ns = 0;  // monotonic
  };

  std::string index_path() const { return options_.directory + "/index.sqlite"; }
  Result<void> begin_rebuild();
  Result<nlohmann::json> finish_rebuild();
  template <class Item>
  Result<void> append_item(const RunId& session, const Item& item);
  Result<std::uint64_t> begin_session(const SessionInfo& info);
  Result<void> end_session(const RunId& session);
  Result<void> sync_all(const std::function<void(const RunId&, std::uint64_t)>& safe);
  Result<void> refresh_index();
  void drop(Sessions::iterator at);
  Result<void> sync_touched(const std::function<void(const RunId&, std::uint64_t)>& safe);
  Result<void> put(const std::vector<Session*>& sessions);
  Hidden deleted() const {
    return [this](const RunId& run) { return deletions_->has(run); };
  }
  Result<void> open_deletions();
  Result<Tended> keep(bool clock_is_synchronised);
  Result<bool> stands(const RunId& run);  // something of it, in a chunk
  Result<void> shorten_deletions();
  Result<std::vector<Pruned>> prune_some(const PruneRequest& request);

  void look_at_disk();
  Error full() const;
  bool is_long_ago(std::uint64_t newest_ns) const;
  bool has_gone_away(const RunId& session, std::uint64_t newest_ns) const;
  void end_with_grant(RunSummary& run) const;
  bool is_open(const RunStanding& run) const;
  Result<bool> is_removable(const ChunkRow& chunk);
  Result<void> close_idle();
  Result<void> delete_old(Tended& tended);
  Result<void> delete_for_room(Tended& tended);
  Result<void> delete_runs_of(const ChunkRow& chunk, Deletion::Reason reason, Tended& tended);
  Result<void> delete_runs(const std::vector<RunId>& runs, Deletion::Reason reason,
                           const std::string& by, Tended& tended);
  Result<void> sweep(const std::vector<RunId>& runs, Tended& tended);
  Result<void> sweep_leftovers(Tended& tended);
  Result<void> remove(const ChunkRow& chunk, Tended& tended);
  Result<void> close_chunks_of(const std::vector<RunId>& runs);
  Result<std::vector<RunId>> prunable(const PruneRequest& request);

  Options options_;
  Shelf shelf_;
  SystemClock system_clock_;
  const Clock& clock_;
  Counters counters_;
  Fd lock_;
  std::unique_ptr<Index> index_;
  std::unique_ptr<Rebuild> rebuild_;  // under way
  Sessions sessions_;
  std::vector<Session*> stale_;  // appended to since the index was last written

  std::optional<Deletions> deletions_;
  std::set<RunId> leftovers_;  // deleted, and still in chunks
  RunId swept_;                // the last of them that was looked at
  ClockWatch clock_watch_;
  std::map<RunId, Idle> idle_;  // by session
  std::optional<RunId> aged_;   // behind which the next step looks for runs that are too old
  ChunkRow looked_at_;          // the last chunk that could not go
  Disk disk_;

  std::shared_ptr<Source> source_ = std::make_shared<Source>();
};

}  // namespace fieldline::archive
