// SPDX-License-Identifier: Apache-2.0
// The archive over files and an index: archive.cpp writes, queries.cpp answers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "archive/cursor.h"
#include "archive/index.h"
#include "archive/rebuild.h"
#include "archive/recovery.h"
#include "archive/session.h"
#include "base/fd.h"

namespace fieldline::archive {

inline constexpr const char* kClosed = "the archive is closed, or lost its index; restart it";

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
  Result<std::optional<nlohmann::json>> reindex_slice() override;
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
  Result<void> begin_rebuild();
  Result<nlohmann::json> finish_rebuild();
  template <class Item>
  Result<void> append_item(const RunId& session, const Item& item);
  Result<void> refresh_index();
  Result<void> put(const std::vector<Session*>& sessions);

  Options options_;
  Shelf shelf_;
  Counters counters_;
  Fd lock_;
  std::unique_ptr<Index> index_;
  std::unique_ptr<Rebuild> rebuild_;  // under way
  std::map<RunId, std::unique_ptr<Session>> sessions_;
  std::vector<Session*> stale_;  // appended to since the index was last written
  std::shared_ptr<Source> source_ = std::make_shared<Source>();
};

}  // namespace fieldline::archive
