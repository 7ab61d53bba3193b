// SPDX-License-Identifier: Apache-2.0
#include "archive/session.h"

#include <algorithm>

#include "proto/frame.h"

namespace fieldline::archive {

namespace {

// The most that is kept for a second attempt when the disk does not take it.
constexpr std::uint64_t kMaxUnsynced = 8 << 20;
// Copies at the head of a chunk; a producer with more runs on than this gets no more copies.
constexpr std::uint64_t kMaxCopies = 4 << 20;
constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxRecord = 65535;
// Runs that begin in one chunk: a chunk goes when all of its runs may go, and the step of a
// deletion is bounded by this.
constexpr std::size_t kMaxRuns = 1024;

}  // namespace

Result<void> Session::resume(Index& index) {
  std::optional<ChunkName> newest;
  bool is_sealed = true;
  for (bool sealed : {true, false}) {
    auto names = chunks_in(shelf_, sealed);
    if (!names) return names.error();
    for (const auto& name : *names) {
      if (name.session != info_.id || (newest && name.number <= newest->number)) continue;
      newest = name;
      is_sealed = sealed;
    }
  }
  if (!newest) return {};

  auto scanned = scan_chunk(shelf_, *newest, is_sealed, [this](const pcapng::Block& block, auto) {
    std::visit([this](const auto& one) { see(one); }, block);
  });
  if (!scanned) return scanned.error();
  if (scanned->summary.known) {
    auto his = scanned->summary.head.session.check_same(info_);
    if (!his) return his.error();
  }
  // Of a session that was given up the file may be empty, or not synced.
  if (!is_sealed && scanned->end.good_end == 0) {
    auto removed = shelf_.files.remove(shelf_.path_of(*newest, false));
    return removed ? resume(index) : removed;
  }
  if (!is_sealed) {
    auto synced = cut_and_sync(shelf_, *newest, scanned->end);
    if (!synced) return synced.error();
  }
  number_ = newest->number;
  last_ = scanned->last_sequence;
  auto rows = index.chunks_of(info_.id);
  if (!rows) return rows.error();
  bool is_known = false;
  for (const auto& row : *rows) {
    if (scanned->end.skipped_bytes > 0) last_ = std::max(last_, row.last_sequence);
    is_known = is_known || (row.name == *newest && row.sealed == is_sealed &&
                            row.bytes == scanned->end.good_end);
  }
  synced_ = last_;
  // Of a session that was given up the index may know less than the file.
  if (scanned->end.skipped_bytes == 0 && !is_known) (void)index.replace(scanned->summary);
  if (is_sealed) {
    interfaces_.clear();
    counts_.clear();
    return {};
  }
  auto chunk = Chunk::reopen(shelf_, *newest, scanned->end.good_end);
  if (!chunk) return chunk.error();
  chunk_ = std::move(*chunk);
  summary_ = std::move(scanned->summary);
  summary_.indexed_now();
  return {};
}

template <class Block>
void Session::put(const Block& block) {
  chunk_->append(block);
  summary_.add(block);
  see(block);
}

Result<void> Session::begin_chunk() {
  auto chunk = Chunk::create(shelf_, {info_.id, number_ + 1});
  if (!chunk) return chunk.error();
  chunk_ = std::move(*chunk);
  number_++;
  summary_ = Summary();

  ChunkHead head{info_, number_, last_ + 1};
  put(pcapng::Section{"fieldline", head.comment()});
  std::uint64_t copied = 0;
  if (configuration_) put(StoredReport(*configuration_).report());
  const auto started = started_;  // see() writes to the original
  for (const auto& [run, report] : started) {
    copied += report.payload.size();
    if (copied <= kMaxCopies) put(report.report());
  }
  head_bytes_ = chunk_->size();
  head_runs_ = summary_.runs.size();
  return {};
}

// Everything that can fail comes before the item is taken.
Result<void> Session::make_room() {
  if (chunk_ && (sealing_ || chunk_->size() >= head_bytes_ + chunk_bytes_ ||
                 summary_.runs.size() >= head_runs_ + kMaxRuns)) {
    auto sealed = seal();
    if (!sealed) return sealed.error();
  }
  if (!chunk_) {
    auto begun = begin_chunk();
    if (!begun) return begun.error();
  }
  if (chunk_->unsynced() >= kMaxUnsynced) return sync();
  return {};
}

bool Session::is_new(std::uint64_t sequence) {
  touched = true;
  if (sequence > last_) return true;
  counters_.duplicates++;
  return false;
}

void Session::accepted(std::uint64_t sequence) {
  counters_.gaps += sequence - last_ - 1;
  last_ = sequence;
}

// An application tells of its own run, and only what applications tell; nobody else does.
Result<void> Session::check_kind(std::uint8_t type, const RunId& run) const {
  const bool is_event = type == FL_FRAME_APPLICATION_EVENT;
  if (is_event == info_.owner.has_value() && (!is_event || info_.is_of(run))) return {};
  return fail(Code::denied, info_.owner
                                ? "an application writes application events of its own run alone"
                                : "application events from a session that is no application's");
}

Result<bool> Session::append(const Record& record) {
  if (record.run.is_zero() || record.data.size() > kMaxRecord) {
    return fail(Code::invalid, "a header record names its run and has at most 65535 bytes");
  }
  if (auto allowed = check_kind(FL_FRAME_HEADER_RECORDS, record.run); !allowed)
    return allowed.error();
  if (!is_new(record.sequence)) return false;
  auto room = make_room();
  if (!room) return room.error();
  const std::uint64_t before = chunk_->size();
  pcapng::Packet packet;
  packet.interface = interface_of(record.run, record.port);
  packet.timestamp_ns = record.timestamp_ns;
  packet.wire_len = record.wire_len;
  packet.data = record.data;
  packet.sequence = record.sequence;
  packet.meta = record.meta;
  put(packet);
  accepted(record.sequence);
  counters_.records++;
  counters_.bytes += chunk_->size() - before;
  return true;
}

Result<bool> Session::append(const pcapng::Report& report) {
  if (report.payload.size() > FL_FRAME_MAX) {
    return fail(Code::invalid, "a report has at most " + std::to_string(FL_FRAME_MAX) + " bytes");
  }
  if (auto allowed = check_kind(report.type, report.run); !allowed) return allowed.error();
  if (!is_new(report.sequence)) return false;
  auto room = make_room();
  if (!room) return room.error();
  const std::uint64_t before = chunk_->size();
  put(report);
  accepted(report.sequence);
  counters_.reports++;
  counters_.bytes += chunk_->size() - before;
  return true;
}

std::uint32_t Session::interface_of(const RunId& run, std::uint16_t port) {
  auto at = interfaces_.find({run, port});
  if (at != interfaces_.end()) return at->second;
  InterfaceHead head;
  head.run = run;
  head.session = info_.id;
  head.sensor = info_.name;
  head.domain = info_.domain;
  head.port = port;
  auto name = ports_.find(port);
  head.interface = name == ports_.end() ? "port" + std::to_string(port) : name->second;
  put(pcapng::Interface{head.name(), head.comment()});
  return static_cast<std::uint32_t>(counts_.size() - 1);
}

void Session::see(const pcapng::Section&) {
  interfaces_.clear();
  counts_.clear();
}

void Session::see(const pcapng::Interface& interface) {
  auto number = static_cast<std::uint32_t>(counts_.size());
  counts_.emplace_back();
  if (auto head = InterfaceHead::parse(interface.comment))
    interfaces_[{head->run, head->port}] = number;
}

void Session::see(const pcapng::Packet& packet) {
  if (packet.interface >= counts_.size()) return;
  InterfaceCount& count = counts_[packet.interface];
  count.records++;
  count.last_ns = std::max(count.last_ns, packet.timestamp_ns);
}

void Session::see(const pcapng::Report& report) {
  if (report.type == FL_FRAME_CONFIGURATION) see_configuration(report);
  const auto on = says_on(report);
  if (!on) return;
  if (*on) {
    started_.insert_or_assign(report.run, StoredReport(report));
  } else {
    started_.erase(report.run);
  }
}

// Interface blocks keep the names they were written with: new names ask for new blocks.
void Session::see_configuration(const pcapng::Report& report) {
  configuration_.emplace(StoredReport(report));
  std::map<std::uint16_t, std::string> ports;
  auto object = parse_object(report.payload);
  auto list = object.find("ports");
  if (list != object.end() && list->is_array()) {
    for (const auto& port : *list) {
      if (!port.is_object() || number_of(port, "port") > 0xffff) continue;
      auto name = string_of(port, "interface").substr(0, kMaxName);
      ports[static_cast<std::uint16_t>(number_of(port, "port"))] = name;
    }
  }
  if (ports == ports_) return;
  ports_ = std::move(ports);
  interfaces_.clear();
}

Result<void> Session::flush() {
  if (!chunk_) return {};
  auto flushed = chunk_->flush();
  if (!flushed) {
    counters_.write_errors++;
    return flushed.error();
  }
  summary_.bytes = chunk_->size();
  return {};
}

Result<void> Session::sync() {
  if (chunk_) {
    auto synced = chunk_->sync();
    if (!synced) {
      counters_.write_errors++;
      return synced.error();
    }
    summary_.bytes = chunk_->size();
  }
  synced_ = last_;
  return {};
}

Result<void> Session::seal() {
  if (!chunk_) return {};
  for (std::uint32_t i = 0; !sealing_ && i < counts_.size(); ++i) {
    pcapng::Statistics statistics;
    statistics.interface = i;
    statistics.timestamp_ns = counts_[i].last_ns;
    statistics.received = statistics.delivered = counts_[i].records;
    put(statistics);
  }
  sealing_ = true;
  auto sealed = chunk_->seal();
  if (!sealed) {
    counters_.write_errors++;
    return sealed.error();
  }
  synced_ = last_;
  summary_.sealed = true;
  summary_.bytes = chunk_->size();
  sealed_.push_back(std::move(summary_));
  summary_ = Summary();
  chunk_.reset();
  sealing_ = false;
  counters_.chunks_sealed++;
  return {};
}

Result<void> Session::rotate() {
  if (!chunk_ || (!sealing_ && chunk_->size() == head_bytes_)) return {};
  auto done = seal();
  if (done) done = begin_chunk();
  return done ? sync() : done;
}

std::vector<Summary*> Session::unindexed() {
  std::vector<Summary*> summaries;
  for (auto& summary : sealed_) summaries.push_back(&summary);
  if (chunk_) summaries.push_back(&summary_);
  return summaries;
}

void Session::indexed() {
  sealed_.clear();
}

}  // namespace fieldline::archive
