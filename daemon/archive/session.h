// SPDX-License-Identifier: Apache-2.0
// One producer's session as it is written: numbers its items' fate and owns its open chunk.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/chunk.h"
#include "archive/recovery.h"
#include "archive/summary.h"

namespace fieldline::archive {

class Session {
 public:
  Session(const Shelf& shelf, std::uint64_t chunk_bytes, SessionInfo info, Counters& counters)
      : shelf_(shelf), chunk_bytes_(chunk_bytes), info_(std::move(info)), counters_(counters) {}

  // Takes up where the files of the session end, all of which recover() has put in order.
  Result<void> resume(Index& index);

  // False: the session has an item of that number or a higher one already. An item that is refused
  // with an error is not stored and may be offered again.
  Result<bool> append(const Record& record);
  Result<bool> append(const pcapng::Report& report);

  Result<void> flush();
  Result<void> sync();
  Result<void> seal();
  // Seals and begins the next chunk, which holds what the session needs to go on: then every sealed
  // one may be deleted. Nothing, if the open one holds no items yet.
  Result<void> rotate();

  const SessionInfo& info() const { return info_; }
  std::uint64_t synced_sequence() const { return synced_; }
  bool has_unsynced() const { return synced_ != last_ || (chunk_ && chunk_->unsynced() > 0); }
  std::uint64_t last_sequence() const { return last_; }
  bool any_run_on() const { return !started_.empty(); }
  // What an application writes into is not deleted under it, if the run is of one of `principals`:
  // whoever is trusted can sign a grant with the id of another's run.
  bool is_on(const RunId& run, const std::set<std::string>& principals) const {
    return started_.contains(run) ||
           (info_.is_of(run) && principals.contains(info_.owner->principal));
  }
  bool touched = false;  // items came since `safe` was last called
  // An item ended in the middle, for want of memory: what is in the file is whole, what is here is
  // not, and is never written. The session is closed, and goes on from the file.
  bool torn = false;

  // What the index does not know yet, of blocks that are in the file.
  std::vector<Summary*> unindexed();
  void indexed();

 private:
  struct StoredReport {
    pcapng::Report head;
    Bytes payload;

    explicit StoredReport(const pcapng::Report& report)
        : head(report), payload(report.payload.begin(), report.payload.end()) {}
    pcapng::Report report() const {
      pcapng::Report copy = head;
      copy.payload = payload;
      return copy;
    }
  };
  struct InterfaceCount {
    std::uint64_t records = 0, last_ns = 0;
  };
  using Vantage = std::pair<RunId, std::uint16_t>;

  Result<void> check_kind(std::uint8_t type, const RunId& run) const;
  Result<void> make_room();
  Result<void> begin_chunk();
  std::uint32_t interface_of(const RunId& run, std::uint16_t port);
  bool is_new(std::uint64_t sequence);
  void accepted(std::uint64_t sequence);
  template <class Block>
  void put(const Block& block);

  // What a block says of the session's state, be it written now or found at recovery.
  void see(const pcapng::Section&);
  void see(const pcapng::Interface& interface);
  void see(const pcapng::Packet& packet);
  void see(const pcapng::Report& report);
  void see(const pcapng::Statistics&) {}
  void see_configuration(const pcapng::Report& report);

  Shelf shelf_;
  std::uint64_t chunk_bytes_;
  SessionInfo info_;
  Counters& counters_;

  std::unique_ptr<Chunk> chunk_;
  Summary summary_;              // of chunk_
  std::vector<Summary> sealed_;  // not in the index yet
  std::uint32_t number_ = 0;     // of the newest chunk
  std::uint64_t head_bytes_ = 0;
  std::size_t head_runs_ = 0;
  bool sealing_ = false;  // statistics are written, the rename is still to come
  std::uint64_t last_ = 0, synced_ = 0;

  std::optional<StoredReport> configuration_;
  std::map<std::uint16_t, std::string> ports_;
  std::map<RunId, StoredReport> started_;  // of runs that are on
  std::map<Vantage, std::uint32_t> interfaces_;
  std::vector<InterfaceCount> counts_;  // by interface number
};

}  // namespace fieldline::archive
