// SPDX-License-Identifier: Apache-2.0
#include "archive/session_stream.h"

#include "archive/filter.h"
#include "archive/summary.h"
#include "proto/frame.h"

namespace fieldline::archive {

namespace {

constexpr std::size_t kReadBytes = 256 << 10;
constexpr std::uint64_t kOpenBytes = 16 << 10;  // what opening a chunk counts for

}  // namespace

void SessionStream::add(const RunChunk& chunk) {
  if (chunk.name.number <= newest_) return;
  newest_ = chunk.name.number;
  const RunPart& part = chunk.part;
  bool in_time = query_.packets && part.records > 0 &&
                 (!query_.from_ns || part.last_ns >= *query_.from_ns) &&
                 (!query_.to_ns || part.first_ns < *query_.to_ns);
  bool grows = query_.follow && !chunk.sealed;
  if (in_time || grows || (query_.reports && part.reports > 0)) todo_.push_back(chunk);
}

// A chunk that is gone or cannot be opened is damage like any other.
bool SessionStream::open_next() {
  while (!file_ && !todo_.empty()) {
    if (!budget_.allows()) return false;
    budget_.charge(kOpenBytes);
    RunChunk chunk = todo_.front();
    todo_.pop_front();
    auto file = shelf_.files.open(shelf_.path_of(chunk.name, chunk.sealed), FileSystem::Mode::read);
    if (!file) {
      file = shelf_.files.open(shelf_.path_of(chunk.name, !chunk.sealed), FileSystem::Mode::read);
    }
    if (!file) {
      skipped_ += chunk.bytes;
      continue;
    }
    file_ = std::move(*file);
    offset_ = 0;
    limit_ = query_.follow ? UINT64_MAX : chunk.bytes;
    reader_ = pcapng::Reader(pcapng::Reader::OnDamage::resynchronise);
    interfaces_.clear();
  }
  return file_ != nullptr;
}

void SessionStream::leave_chunk() {
  skipped_ += reader_.skipped_bytes();
  reader_ = pcapng::Reader(pcapng::Reader::OnDamage::resynchronise);
  file_.reset();
}

std::uint64_t SessionStream::skipped_bytes() const {
  return skipped_ + reader_.skipped_bytes();
}

Result<bool> SessionStream::read_more() {
  piece_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, limit_ - offset_)));
  if (piece_.empty()) return false;
  auto n = file_->read_at(offset_, piece_);
  if (!n) return n.error();
  offset_ += *n;
  budget_.charge(*n);
  reader_.feed(ByteView(piece_).first(*n));
  return *n > 0;
}

Result<const SessionStream::Item*> SessionStream::front() {
  bool ended = false;
  while (!item_) {
    if (!open_next()) return static_cast<const Item*>(nullptr);
    auto block = reader_.next();
    if (!block) return block.error();
    if (*block) {
      std::visit([this](const auto& one) { take(one); }, **block);
      continue;
    }
    if (ended) {
      leave_chunk();
      ended = false;
      continue;
    }
    if (!budget_.allows()) return static_cast<const Item*>(nullptr);
    auto more = read_more();
    if (!more) return more.error();
    if (*more) continue;
    // A followed chunk is done with when a later one is known: it was sealed before that began.
    if (query_.follow && todo_.empty()) return static_cast<const Item*>(nullptr);
    reader_.end();
    ended = true;
  }
  return &*item_;
}

// All of an application's session is its owner's.
void SessionStream::take(const pcapng::Section& section) {
  interfaces_.clear();
  is_on_ = false;
  auto head = query_.reader ? ChunkHead::parse(section.comment) : std::nullopt;
  if (head && head->session.owner) is_readers_ = head->session.owner->principal == *query_.reader;
}

void SessionStream::take(const pcapng::Interface& interface) {
  auto head = InterfaceHead::parse(interface.comment);
  bool wanted = head && head->run == query_.run && matches_vantage(query_, interface.name);
  interfaces_.push_back(wanted ? std::make_unique<pcapng::Interface>(interface) : nullptr);
}

void SessionStream::take(const pcapng::Packet& packet) {
  if (packet.interface >= interfaces_.size() || !interfaces_[packet.interface]) return;
  if (!query_.packets || !is_readers_ || !matches_time(query_, packet.timestamp_ns)) return;
  if (query_.flow && !matches(*query_.flow, packet.data)) return;
  item_ = Item{interfaces_[packet.interface].get(), packet, packet.timestamp_ns};
}

// Chunks begin with the "started" report of each run that is on, so that the owner is known before
// his records wherever an answer begins.
bool SessionStream::is_visible(const pcapng::Report& report) {
  if (!query_.reader || report.run.is_zero()) return true;
  if (report.type != FL_FRAME_ACTIVATION) return is_readers_;
  auto object = parse_object(report.payload);
  bool names_reader = string_of(object, "principal") == *query_.reader;
  if (string_of(object, "event") == "started") is_readers_ = names_reader;
  return names_reader;
}

// What is of no run belongs to each that was on: a session's load and clock at other times are none
// of a reader's business.
bool SessionStream::is_wanted(const pcapng::Report& report) const {
  if (!query_.reports) return false;
  switch (report.type) {
    case FL_FRAME_EVENT_RECORDS:
    case FL_FRAME_APPLICATION_EVENT:
      // What sockets did is its run's readers' alone: of no run, it is nobody's.
      return query_.events && !report.run.is_zero();
    case FL_FRAME_CLOCK_QUALITY:
      return is_on_ && is_readers_;
    case FL_FRAME_PORT_TOTALS:
      return is_on_ && is_readers_ && overlaps_time(query_, report.payload);
    default:
      return true;
  }
}

void SessionStream::take(const pcapng::Report& report) {
  if (!(report.run == query_.run || report.run.is_zero())) return;
  const bool visible = is_visible(report);
  is_on_ = says_on(report).value_or(is_on_);
  if (!visible || !is_wanted(report)) return;
  // The others are never copied, and too many to be remembered.
  const bool is_copied =
      report.type == FL_FRAME_CONFIGURATION || report.type == FL_FRAME_ACTIVATION;
  if (!is_copied || reported_.insert(report.sequence).second) item_ = Item{nullptr, report, 0};
}

}  // namespace fieldline::archive
