// SPDX-License-Identifier: Apache-2.0
// One role's session as producer, and its streams: one for each archive that a run goes to, and one
// for the rest of each session that an earlier process left on disk.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/outages.h"
#include "app/requesters.h"
#include "stream/link_share.h"
#include "stream/producer.h"

namespace fieldline::app {

// None if the role spools to memory alone.
Result<std::shared_ptr<stream::SpoolFolder>> open_spool(const RoleConfig& config);

class Streams {
 public:
  // configuration: the first item of each stream.
  Streams(boost::asio::io_context& io, const RoleConfig& config, stream::Identity identity,
          std::shared_ptr<stream::SpoolFolder> spool,
          std::function<nlohmann::json()> configuration);

  // Dials the role's own archive, and those for which an earlier process left something.
  void start();

  const RunId& session() const { return session_; }
  // Asked from time to time: an archive takes what it is sent, and what is offered to it now would
  // wait for what its spool has on disk, as it would have the last time. Not while an archive has
  // the rest of an earlier session still to come, so that there is one such rest at most, nor while
  // a requester's is in use.
  bool lags();
  static RunId new_session();
  // What was offered goes on to its archives as the rest of its session; what is offered from now
  // on is the next one's.
  void begin_session(const RunId& next);
  const stream::Identity& identity() const { return identity_; }
  // Pins are added and not forgotten: a run goes on to the archive that it began with. What a new
  // grant may select is the policy's. What was left for an archive that is pinned now is sent.
  void pin(const std::vector<ArchivePin>& archives);
  // Zero names the role's own archive.
  stream::Fingerprint key_of(const stream::Fingerprint& archive) const {
    return archive == stream::Fingerprint{} ? own_ : archive;
  }
  // Archives that get every run beside the one that it selects ("mirrors"), as the configuration
  // was at the start.
  const std::vector<stream::Fingerprint>& mirrors() const { return mirrors_; }
  // A run begins, or ends, whose archive stands on the host that asked for it.
  Result<void> begin_at_requester(const RunId& run, const stream::Fingerprint& archive,
                                  const std::string& host);
  void end_run(const RunId& run) { requesters_.end(run); }
  // The producer to a known archive, made when first asked for; zero names the role's own.
  stream::Producer& to(const stream::Fingerprint& archive);
  stream::Producer& own() { return to({}); }
  // Something of a run was seen: a requester's archive is dialled now.
  void dial(const stream::Fingerprint& archive) { requesters_.dial(archive); }
  // What was seen for a run; false: no room in the spool.
  bool record(const stream::Fingerprint& archive, std::uint8_t type, const RunId& run,
              std::uint32_t count, ByteView body);
  // Adds the session to the document.
  void report(std::uint8_t type, const stream::Fingerprint& archive, const RunId& run,
              nlohmann::json document);
  // For what could be left out.
  bool has_room(const stream::Fingerprint& archive) { return to(archive).has_room(); }
  // When a known archive that is no requester's was away, at that time or later.
  nlohmann::json outages(const stream::Fingerprint& archive, std::uint64_t since_ns) const;
  // Of all streams but the own, for the status.
  nlohmann::json others() const;
  // Within the time for all of them together.
  boost::asio::awaitable<void> close(std::uint64_t timeout_ns);

 private:
  using Producers = std::map<stream::Fingerprint, std::unique_ptr<stream::Producer>>;
  stream::ProducerOptions options_for(const ArchivePin& where) const;
  std::unique_ptr<stream::Producer> connect(const stream::ProducerOptions& options);
  // Its first item is the configuration.
  std::unique_ptr<stream::Producer> introduce(const stream::ProducerOptions& options);
  void send_leftovers();
  void send_leftover(const stream::Leftover& leftover, const ArchivePin& where);
  void send_rest(const RunId& session, const stream::Fingerprint& archive,
                 std::unique_ptr<stream::Producer> producer);
  std::shared_ptr<stream::LinkShare> link_to(const stream::Fingerprint& archive);
  bool has_rest(const stream::Fingerprint& archive) const;
  void tell_left(const stream::Fingerprint& archive, const stream::Producer& producer);

  boost::asio::io_context& io_;
  std::string name_, domain_;
  std::uint64_t spool_bytes_;
  std::shared_ptr<stream::SpoolFolder> spool_;
  stream::Identity identity_;
  std::function<nlohmann::json()> configuration_;
  RunId session_;
  stream::Fingerprint own_{};
  std::vector<stream::Fingerprint> mirrors_;
  bool started_ = false;
  std::map<stream::Fingerprint, ArchivePin> pins_;
  Producers producers_;
  Requesters requesters_;
  std::map<stream::Fingerprint, std::shared_ptr<stream::LinkShare>> links_;
  std::map<stream::Fingerprint, Outages> outages_;
  std::map<RunId, Producers> rests_;  // of sessions of earlier processes, and of this one's
  std::map<stream::Fingerprint, std::uint64_t> lagged_;  // what each had acknowledged then
  std::set<RunId> closed_;                               // this process's earlier sessions
};

}  // namespace fieldline::app
