// SPDX-License-Identifier: Apache-2.0
#include "archive/cursor.h"

#include <algorithm>
#include <map>

#include "archive/filter.h"
#include "archive/session_stream.h"
#include "archive/summary.h"

namespace fieldline::archive {

namespace {

constexpr std::size_t kPieceBytes = 256 << 10;

class RunCursor final : public Cursor {
 public:
  RunCursor(const Shelf& shelf, const Query& query, std::shared_ptr<RunSource> source)
      : shelf_(shelf), query_(query), source_(std::move(source)) {}
  ~RunCursor() override {
    if (reads_) source_->end_reading(query_.run);
  }

  void add(const std::vector<RunChunk>& parts);
  Result<std::optional<Bytes>> next() override;
  bool has_turn_left() const override { return budget_.exceeded; }
  std::uint64_t records() const override { return records_; }
  std::uint64_t skipped_bytes() const override;

 private:
  struct Output {
    std::uint32_t number = 0;
    std::uint64_t records = 0, last_ns = 0;
  };

  void begin(Bytes& out);
  Result<void> look_again();
  // The earliest item at the front of any stream.
  Result<SessionStream*> earliest();
  Result<void> produce(Bytes& out);
  void write(Bytes& out, const SessionStream::Item& item);
  void finish(Bytes& out);

  Shelf shelf_;
  Query query_;
  std::shared_ptr<RunSource> source_;
  Budget budget_;
  std::map<RunId, std::unique_ptr<SessionStream>> streams_;
  std::map<std::string, Output> outputs_;  // by interface comment and name
  std::uint64_t records_ = 0;
  bool begun_ = false, done_ = false;
  bool reads_ = false;  // begin_reading() was called
};

Result<std::optional<Bytes>> RunCursor::next() {
  if (done_) return std::optional<Bytes>{};
  if (auto gone = source_->gone(query_.run)) return *gone;
  Bytes out;
  budget_ = {};
  if (!begun_) begin(out);
  auto produced = produce(out);
  if (!produced) return produced.error();
  if (!out.empty() || budget_.exceeded) return std::optional<Bytes>(std::move(out));
  if (query_.follow) {
    // Asked before the last look: whatever was stored before the final counts is then seen.
    auto complete = source_->complete(query_.run, query_.reader);
    if (!complete) return complete.error();
    auto looked = look_again();
    if (!looked) return looked.error();
    produced = produce(out);
    if (!produced) return produced.error();
    if (!out.empty() || budget_.exceeded || !*complete) return std::optional<Bytes>(std::move(out));
    query_.follow = false;
    for (auto& [session, stream] : streams_) stream->end_following();
    return next();
  }
  finish(out);
  done_ = true;
  if (out.empty()) return std::optional<Bytes>{};
  return std::optional<Bytes>(std::move(out));
}

void RunCursor::begin(Bytes& out) {
  begun_ = true;
  nlohmann::json comment = {{"schema", "fieldline.answer/1"}, {"run", query_.run.hex()}};
  pcapng::write(out, pcapng::Section{"fieldline", dump(comment)});
}

Result<void> RunCursor::look_again() {
  auto parts = source_->parts_of(query_.run, query_.reader);
  if (!parts) return parts.error();
  add(*parts);
  return {};
}

void RunCursor::add(const std::vector<RunChunk>& parts) {
  for (const auto& part : parts) {
    if (!matches_sensor(query_, part.sensor)) continue;
    auto& stream = streams_[part.name.session];
    if (!stream) stream = std::make_unique<SessionStream>(shelf_, query_, budget_);
    stream->add(part);
  }
  // Nobody keeps a run by asking for it who sees nothing of it.
  if (!reads_ && !parts.empty()) source_->begin_reading(query_.run);
  reads_ |= !parts.empty();
}

// Each session's items are nearly in order as they were stored; the merge does not sort within a
// session. Nothing is earliest while a stream has not been read up to its next item.
Result<SessionStream*> RunCursor::earliest() {
  SessionStream* first = nullptr;
  std::uint64_t first_ns = 0;
  for (auto& [session, stream] : streams_) {
    auto item = stream->front();
    if (!item) return item.error();
    if (budget_.exceeded) return static_cast<SessionStream*>(nullptr);
    if (*item == nullptr) continue;
    if (first == nullptr || (*item)->time_ns < first_ns) {
      first = stream.get();
      first_ns = (*item)->time_ns;
    }
  }
  return first;
}

Result<void> RunCursor::produce(Bytes& out) {
  while (out.size() < kPieceBytes) {
    auto stream = earliest();
    if (!stream) return stream.error();
    if (*stream == nullptr) return {};
    auto item = (*stream)->front();
    if (!item) return item.error();
    write(out, **item);
    (*stream)->pop();
  }
  return {};
}

void RunCursor::write(Bytes& out, const SessionStream::Item& item) {
  if (const auto* report = std::get_if<pcapng::Report>(&item.block)) {
    pcapng::write(out, *report);
    return;
  }
  auto [at, is_new] = outputs_.try_emplace(item.interface->comment + '\n' + item.interface->name);
  Output& output = at->second;
  if (is_new) {
    output.number = static_cast<std::uint32_t>(outputs_.size() - 1);
    pcapng::write(out, *item.interface);
  }
  pcapng::Packet packet = std::get<pcapng::Packet>(item.block);
  packet.interface = output.number;
  pcapng::write(out, packet);
  output.records++;
  output.last_ns = std::max(output.last_ns, packet.timestamp_ns);
  records_++;
}

void RunCursor::finish(Bytes& out) {
  for (const auto& [name, output] : outputs_) {
    pcapng::Statistics statistics;
    statistics.interface = output.number;
    statistics.timestamp_ns = output.last_ns;
    statistics.received = statistics.delivered = output.records;
    pcapng::write(out, statistics);
  }
}

std::uint64_t RunCursor::skipped_bytes() const {
  std::uint64_t skipped = 0;
  for (const auto& [session, stream] : streams_) skipped += stream->skipped_bytes();
  return skipped;
}

}  // namespace

std::unique_ptr<Cursor> make_cursor(const Shelf& shelf, const Query& query,
                                    const std::vector<RunChunk>& parts,
                                    std::shared_ptr<RunSource> source) {
  auto cursor = std::make_unique<RunCursor>(shelf, query, std::move(source));
  cursor->add(parts);
  return cursor;
}

}  // namespace fieldline::archive
