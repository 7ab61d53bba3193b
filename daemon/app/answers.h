// SPDX-License-Identifier: Apache-2.0
// What the archive role answers with: each next() is short, so that the one thread goes on
// acknowledging however much there is to read.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <nlohmann/json.hpp>

#include "archive/archive.h"
#include "stream/server.h"

namespace fieldline::app {

// Answers that wait for what is still to be stored.
class Followers {
 public:
  void add(const void* answer, std::function<void()> wake) {
    waiting_.insert_or_assign(answer, std::move(wake));
  }
  void remove(const void* answer) { waiting_.erase(answer); }
  void wake_all();

 private:
  std::map<const void*, std::function<void()>> waiting_;
};

// What answers share; outlives them.
struct AnswerSource {
  boost::asio::any_io_executor executor;
  archive::Archive& archive;
  Followers followers;
};

// What a "prune" request asks for: runs as they are named there.
struct PruneWords {
  std::vector<std::string> runs;
  std::optional<std::uint64_t> older_than_ns;
  bool dry_run = true;
};
Result<PruneWords> parse_prune(const nlohmann::json& request);

// Every member of the type and range that docs/format/json.md gives it, or an error that names it.
Result<archive::Query> parse_query(const nlohmann::json& request, const RunId& run);

// Its result alone.
std::unique_ptr<stream::Answer> result_answer(nlohmann::json result);
// A query's pcapng. A followed one may name a run that is not there yet. `stands`: false once the
// reader's rights are not those that the query was made with.
std::unique_ptr<stream::Answer> query_answer(AnswerSource& source, archive::Query query,
                                             std::function<bool()> stands,
                                             std::function<void()> on_more);
// Slice by slice.
std::unique_ptr<stream::Answer> reindex_answer(AnswerSource& source, std::function<void()> on_more);

}  // namespace fieldline::app
