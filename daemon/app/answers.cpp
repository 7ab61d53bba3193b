// SPDX-License-Identifier: Apache-2.0
#include "app/answers.h"

#include <algorithm>
#include <limits>

#include <boost/asio/post.hpp>

namespace fieldline::app {

using nlohmann::json;

namespace {

Error wrong_member(const char* member, const std::string& what) {
  return fail(Code::invalid, std::string("request: \"") + member + "\" is not " + what +
                                 "; see docs/format/json.md");
}

// The readers of members: absent ones leave `into` as it is.
Result<void> read(const json& from, const char* member, bool& into) {
  auto at = from.find(member);
  if (at == from.end()) return {};
  if (!at->is_boolean()) return wrong_member(member, "true or false");
  into = at->get<bool>();
  return {};
}

template <class Number>
Result<void> read_number(const json& from, const char* member, Number& into) {
  auto at = from.find(member);
  if (at == from.end()) return {};
  constexpr std::uint64_t most = std::numeric_limits<Number>::max();
  if (!at->is_number_unsigned() || at->get<std::uint64_t>() > most)
    return wrong_member(member, "a number from 0 to " + std::to_string(most));
  into = static_cast<Number>(at->get<std::uint64_t>());
  return {};
}

template <class Number>
Result<void> read_number(const json& from, const char* member, std::optional<Number>& into) {
  if (!from.contains(member)) return {};
  return read_number(from, member, into.emplace());
}

Result<void> read(const json& from, const char* member, std::optional<std::string>& into) {
  auto at = from.find(member);
  if (at == from.end()) return {};
  if (!at->is_string()) return wrong_member(member, "a string");
  into = at->get<std::string>();
  return {};
}

Result<void> read(const json& from, const char* member, std::optional<Prefix>& into) {
  std::optional<std::string> typed;
  auto done = read(from, member, typed);
  if (!done || !typed) return done;
  auto prefix = Prefix::parse(*typed);
  if (!prefix) return prefix.error();
  into = *prefix;
  return {};
}

Result<void> read_flow(const json& from, archive::Query::Flow& flow) {
  if (!from.is_object()) return wrong_member("flow", "an object");
  Result<void> done = read_number(from, "protocol", flow.protocol);
  if (done) done = read(from, "a", flow.a);
  if (done) done = read(from, "b", flow.b);
  if (done) done = read_number(from, "port_a", flow.port_a);
  if (done) done = read_number(from, "port_b", flow.port_b);
  return done;
}

class ResultAnswer final : public stream::Answer {
 public:
  explicit ResultAnswer(json result) : result_(std::move(result)) {}
  Result<std::optional<Bytes>> next() override { return std::optional<Bytes>{}; }
  json result() override { return result_; }

 private:
  json result_;
};

class QueryAnswer final : public stream::Answer {
 public:
  QueryAnswer(AnswerSource& source, archive::Query query, std::function<bool()> stands,
              std::function<void()> on_more)
      : source_(source),
        query_(std::move(query)),
        stands_(std::move(stands)),
        on_more_(std::move(on_more)) {
    if (query_.follow) source_.followers.add(this, on_more_);
  }
  ~QueryAnswer() override { source_.followers.remove(this); }

  Result<std::optional<Bytes>> next() override {
    if (!stands_()) {
      return fail(Code::denied, "the archive's operator changed what you may see; ask again");
    }
    if (!cursor_) {
      auto cursor = source_.archive.query(query_);
      if (!cursor) return cursor.error();
      cursor_ = std::move(*cursor);
    }
    auto piece = cursor_->next();
    bool is_empty = piece && *piece && (*piece)->empty();
    if (is_empty && cursor_->has_turn_left()) boost::asio::post(source_.executor, on_more_);
    return piece;
  }

  json result() override {
    return {{"run", query_.run.hex()},
            {"records", cursor_ ? cursor_->records() : 0},
            {"skipped_bytes", cursor_ ? cursor_->skipped_bytes() : 0}};
  }

 private:
  AnswerSource& source_;
  archive::Query query_;
  std::function<bool()> stands_;
  std::function<void()> on_more_;
  std::unique_ptr<archive::Cursor> cursor_;
};

class ReindexAnswer final : public stream::Answer {
 public:
  ReindexAnswer(AnswerSource& source, std::function<void()> on_more)
      : source_(source), on_more_(std::move(on_more)) {}

  Result<std::optional<Bytes>> next() override {
    auto result = source_.archive.reindex_slice();
    if (!result) return result.error();
    if (!*result) {
      boost::asio::post(source_.executor, on_more_);
      return std::optional<Bytes>(Bytes{});
    }
    result_ = std::move(**result);
    return std::optional<Bytes>{};
  }
  json result() override { return result_; }

 private:
  AnswerSource& source_;
  std::function<void()> on_more_;
  json result_;
};

}  // namespace

// A woken answer may end and leave the map.
void Followers::wake_all() {
  auto waiting = waiting_;
  for (const auto& [answer, wake] : waiting) {
    if (waiting_.contains(answer)) wake();
  }
}

Result<archive::Query> parse_query(const json& request, const RunId& run) {
  archive::Query query;
  query.run = run;
  Result<void> done = read(request, "follow", query.follow);
  if (done) done = read(request, "reports", query.reports);
  if (done) done = read(request, "events", query.events);
  if (done) done = read(request, "packets", query.packets);
  if (done) done = read(request, "vantage", query.vantage);
  if (done) done = read_number(request, "from_ns", query.from_ns);
  if (done) done = read_number(request, "to_ns", query.to_ns);
  if (done && request.contains("flow")) done = read_flow(request["flow"], query.flow.emplace());
  if (!done) return done.error();
  return query;
}

Result<PruneWords> parse_prune(const json& request) {
  PruneWords words;
  Result<void> done = read(request, "dry_run", words.dry_run);
  if (done) done = read_number(request, "older_than_ns", words.older_than_ns);
  if (!done) return done.error();
  auto runs = request.find("runs");
  if (runs != request.end()) {
    const bool fits =
        runs->is_array() && runs->size() <= archive::Archive::kMostPruned &&
        std::all_of(runs->begin(), runs->end(), [](const json& run) { return run.is_string(); });
    if (!fits) {
      return wrong_member("runs", "an array of at most " +
                                      std::to_string(archive::Archive::kMostPruned) + " strings");
    }
    words.runs = runs->get<std::vector<std::string>>();
  }
  if (words.runs.empty() && !words.older_than_ns) {
    return fail(Code::invalid, "prune: name \"runs\" or \"older_than_ns\"");
  }
  return words;
}

std::unique_ptr<stream::Answer> result_answer(json result) {
  return std::make_unique<ResultAnswer>(std::move(result));
}

std::unique_ptr<stream::Answer> query_answer(AnswerSource& source, archive::Query query,
                                             std::function<bool()> stands,
                                             std::function<void()> on_more) {
  return std::make_unique<QueryAnswer>(source, std::move(query), std::move(stands),
                                       std::move(on_more));
}

std::unique_ptr<stream::Answer> reindex_answer(AnswerSource& source,
                                               std::function<void()> on_more) {
  return std::make_unique<ReindexAnswer>(source, std::move(on_more));
}

}  // namespace fieldline::app
