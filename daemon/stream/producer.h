// SPDX-License-Identifier: Apache-2.0
// The producing end: one connection to one archive, with a bounded spool behind it. Items are
// numbered when they are offered; what the archive has not acknowledged is kept, in memory and then
// on disk, and sent again after a reconnect from where the archive's disk ends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>

#include "base/bytes.h"
#include "base/run_id.h"
#include "proto/frame.h"
#include "stream/identity.h"
#include "stream/spool_folder.h"

namespace fieldline::stream {

struct ProducerOptions {
  std::string host;
  std::uint16_t port = FL_STREAM_PORT;
  Fingerprint archive{};                                // pinned
  std::size_t spool_bytes = 64 << 20;                   // in memory
  std::shared_ptr<SpoolFolder> spool_folder = nullptr;  // none: memory alone
  // What a dead session left in the folder: sent as that session's rest. Nothing is offered.
  std::optional<Leftover> leftover = std::nullopt;
  std::string name, domain;    // of the sensor, for the hello
  RunId session;               // random, one per daemon start; of an application session_of_key()
  std::uint64_t numbered = 0;  // items of the session that an earlier producer offered
  std::optional<RunProof> proof = std::nullopt;  // of an application
  std::uint64_t backoff_min_ns = 200'000'000, backoff_max_ns = 10'000'000'000;
  std::uint64_t dial_timeout_ns = 5'000'000'000;
  // An archive that acknowledges nothing for so long while items wait is taken for dead; dialled
  // again.
  std::uint64_t ack_timeout_ns = 10'000'000'000;
  unsigned jitter_seed = std::random_device{}();
};

enum class LinkState { idle, connecting, wrong_key, refused, unreachable, connected };
const char* name_of(LinkState state);

struct ProducerCounters {
  std::uint64_t offered = 0;  // items that got a number; = acknowledged + spooled_items
  std::uint64_t acknowledged = 0;
  std::uint64_t dropped_spool = 0;  // items refused because the spool was full
  std::uint64_t spooled_bytes = 0;  // in memory
  std::uint64_t spooled_items = 0;
  std::uint64_t spool_disk_bytes = 0;
  std::uint64_t spool_disk_written = 0, spool_disk_lost = 0;  // items, ever
  std::uint64_t spool_disk_errors = 0;
  std::uint64_t resent = 0, connects = 0, failures = 0;
};

class LinkShare;

// All calls come from the executor's thread, which is one. After a failure the state says so until
// the next connection stands: it does not flicker through connecting.
class Producer {
 public:
  static std::unique_ptr<Producer> create(boost::asio::any_io_executor executor,
                                          ProducerOptions options, const Identity& identity);
  virtual ~Producer() = default;

  // Starts dialling; keeps the connection until close().
  virtual void start() = 0;
  // Numbers and spools a durable frame; false (and counted) if the spool is full. Reports (count 1,
  // JSON) may use a reserve of 1 MiB above spool_bytes, so that final counts always fit.
  virtual bool offer(std::uint8_t type, std::uint8_t encoding, const RunId& run,
                     std::uint32_t count, ByteView body) = 0;
  // For what could be left out.
  virtual bool has_room() const = 0;
  // The newest status replaces an unsent older one; not durable.
  virtual void send_status(std::string json) = 0;
  // Waits until all is acknowledged or the deadline passes, then closes; true: all is acknowledged.
  // What is not goes to the spool's disk. The producer must outlive it.
  virtual boost::asio::awaitable<bool> close(std::uint64_t timeout_ns) = 0;

  // From now on the link to the archive is shared with the producer's other streams, as the live
  // one or as the rest of an earlier session: of that nothing more is offered.
  virtual void share_link(std::shared_ptr<LinkShare> share, bool is_rest) = 0;

  virtual LinkState state() const = 0;
  virtual std::string last_error() const = 0;  // names cause and remedy
  virtual ProducerCounters counters() const = 0;
  // What is offered now waits for what is on disk.
  virtual bool lags() const = 0;
  virtual bool kept() const = 0;  // after close(): the disk has what is not acknowledged
  // The executor's thread calls this after each change of state.
  std::function<void(LinkState)> on_state;
  // All that was offered is acknowledged. Not to destroy the producer from within.
  std::function<void()> on_delivered;
  std::function<void(const Error&)> on_spool_trouble;
};

}  // namespace fieldline::stream
