// SPDX-License-Identifier: Apache-2.0
// One session's items of one run, chunk after chunk, as an answer wants them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "archive/archive.h"
#include "archive/chunk.h"
#include "archive/index.h"

namespace fieldline::archive {

// What one turn may still read; shared by the streams of an answer.
struct Budget {
  static constexpr std::uint64_t kBytes = 4 << 20;
  std::uint64_t left = kBytes;
  bool exceeded = false;

  // False: enough for this turn.
  bool allows() {
    if (left == 0) exceeded = true;
    return !exceeded;
  }
  void charge(std::uint64_t bytes) { left -= std::min(left, bytes); }
};

class SessionStream {
 public:
  // The budget outlives it.
  SessionStream(const Shelf& shelf, const Query& query, Budget& budget)
      : shelf_(shelf), query_(query), budget_(budget), is_readers_(!query.reader) {}

  // Takes note of a chunk of the session; known ones are ignored. Chunks come by rising number.
  void add(const RunChunk& chunk);

  struct Item {
    const pcapng::Interface* interface = nullptr;  // of a packet
    std::variant<pcapng::Packet, pcapng::Report> block;
    std::uint64_t time_ns = 0;  // reports come as soon as they are reached: 0
  };
  // The item at the front; nullptr: nothing now, or the budget is exceeded. Views are valid until
  // pop().
  Result<const Item*> front();
  void pop() { item_.reset(); }

  // Nothing more will be written: an unfinished block at the end is damage.
  void end_following() { query_.follow = false; }

  std::uint64_t skipped_bytes() const;

 private:
  bool open_next();
  void leave_chunk();
  // False: the chunk has no more bytes now.
  Result<bool> read_more();
  void take(const pcapng::Section& section);
  void take(const pcapng::Interface& interface);
  void take(const pcapng::Packet& packet);
  void take(const pcapng::Report& report);
  void take(const pcapng::Statistics&) {}
  bool is_visible(const pcapng::Report& report);
  bool is_wanted(const pcapng::Report& report) const;

  Shelf shelf_;
  Query query_;
  Budget& budget_;
  std::deque<RunChunk> todo_;
  std::uint32_t newest_ = 0;  // chunk number that was added last

  std::unique_ptr<File> file_;
  std::uint64_t offset_ = 0;
  std::uint64_t limit_ = 0;  // bytes of the chunk that belong to the answer; followed: no limit
  pcapng::Reader reader_;
  Bytes piece_;
  std::vector<std::unique_ptr<pcapng::Interface>>
      interfaces_;  // null: of another run or vantage point

  bool is_readers_;     // the run here, at this point of the session
  bool is_on_ = false;  // the run, at this point of the chunk
  std::optional<Item> item_;
  std::set<std::uint64_t> reported_;  // of reports given that later chunks hold copies of
  std::uint64_t skipped_ = 0;         // in chunks that are done with
};

}  // namespace fieldline::archive
