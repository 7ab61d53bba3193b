// SPDX-License-Identifier: Apache-2.0
// The way of control, the same for each role that honours triggers: a trigger becomes an
// activation, and an activation ends. Logic is sense's; the order of steps is here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "app/clock_watch.h"
#include "app/streams.h"
#include "app/worker.h"
#include "base/clock.h"
#include "sense/activation.h"
#include "sense/gate.h"
#include "source/chrony.h"
#include "source/source.h"

namespace fieldline::app {

// What a role does with activations. The control outlives no role: it is the role's last member.
class Role {
 public:
  virtual ~Role() = default;
  virtual const char* kind() const = 0;  // "sensor" or "host"
  virtual std::string port_name(std::uint16_t port) const = 0;
  virtual Result<std::size_t> drain_triggers(const source::Source::OnTrigger& on_trigger) = 0;
  // The source holds what the table desires.
  virtual Result<void> apply_flows() = 0;
  using Done = std::function<void(Result<void>)>;
  // Done, now or later, once the source records what the table desires.
  virtual void arm(Done done) = 0;
  // Everything that the source has recorded is handed on.
  virtual void drain() = 0;
  // A run is counted next. Done, later, once programs in flight are over, what they recorded is
  // handed on, and what was still to be found out about it is known. In the order of the calls, and
  // behind what arm() was called for before.
  virtual void wind_up(Done done) = 0;
  virtual void begun(const sense::Activation& activation) = 0;
  // Since the session began, as the copy for one of the run's archives says it: each lost its own.
  virtual nlohmann::json counts_of(const sense::Activation& activation, bool final,
                                   std::size_t copy) = 0;
  // What was counted until now is told of in the stream's session, which ends; what comes next is
  // of another.
  virtual void end_session(const std::vector<const sense::Activation*>& runs) = 0;
  virtual void session_begun(const std::vector<const sense::Activation*>& runs) = 0;
  virtual void forget(const RunId& run) = 0;
  virtual nlohmann::json status() = 0;
  // Packets came so much later than they are stamped, at most.
  virtual std::uint64_t stamps_early_by_ns() const { return 0; }
  // What carries the flows themselves here; a tap carries copies.
  virtual std::vector<std::string> interfaces_in_path() const = 0;
};

Result<sense::Trust> load_trust(const std::string& path);

class Control {
 public:
  Control(boost::asio::io_context& io, const RoleConfig& config, sense::Trust trust,
          Streams& streams, Role& role, int trigger_fd);

  void start();
  void reload(sense::Trust trust, const RoleConfig& config);
  // Ends every run and waits until each has its final counts. The role goes on draining meanwhile.
  boost::asio::awaitable<void> stop();

  const sense::ActivationTable& table() const { return table_; }
  bool is_ending(const RunId& run) const { return ending_.contains(run); }
  // Where a copy of a run goes. Copy 0, of a run that is on here: to what it selected; of any
  // other: to the role's own. The others are for the mirrors, which get nothing of a run whose
  // archive is its requester's, and nothing twice.
  std::optional<stream::Fingerprint> archive_of(const RunId& run, std::size_t copy) const;
  std::size_t copies() const { return 1 + streams_.mirrors().size(); }
  // Where the copies of all runs in the table go.
  std::set<stream::Fingerprint> archives_in_use() const;
  const sense::RefusalCounters& refused() const { return refused_; }
  std::uint64_t accepted() const { return accepted_; }

 private:
  struct Arrival {  // where a trigger came in
    fl_flow_key outer{};
    std::uint16_t port = 0;
  };

  // trigger -> gate -> activation -> flow table
  void wait_for_triggers();
  void on_trigger(const fl_trigger_lift& lift, ByteView bytes);
  void settle(sense::Ticket ticket, const Arrival& arrival);
  Result<void> begin_stream(const sense::Accepted& accepted, const Arrival& arrival);
  void turn_away(sense::Refusal refusal, const sense::Accepted& accepted, const Arrival& arrival);
  void begin_run(const sense::Grant& grant, const std::string& principal, const Arrival& arrival);
  void on_armed(const sense::Grant& grant, const std::string& principal);
  void give_up_run(const sense::Grant& grant, const std::string& principal, const Arrival& arrival,
                   const std::string& why);
  void renew(std::uint64_t replaced_mono_ns);
  void write_renewals();
  void refuse(const sense::Refusal& refusal, const Arrival& arrival);
  void count_arrival(const RunId& run, const Arrival& arrival);
  void tell_refused(const sense::Grant& grant, const sense::Refusal& refusal);

  // the end of a run: deadline zero, programs in flight over, ring drained, counted, deleted
  void arm_expiry();
  void end_expired();
  void end_run(const RunId& run, const std::string& reason);
  void finish_run(const RunId& run, const std::string& reason);
  void remove_run(const RunId& run);

  void keep_reporting();
  void each_second();
  void report_interim_counts();
  void begin_session();
  // continues: the session in which it was told of until now.
  void report_started(const sense::Activation& activation,
                      const std::optional<RunId>& continues = std::nullopt);
  // continued_in: the session in which it will be told of, and counted, from then on.
  void report_counts(const sense::Activation& activation, bool final,
                     const std::optional<RunId>& continued_in = std::nullopt);
  void report_clock();
  void report(std::uint8_t type, const RunId& run, const nlohmann::json& document);
  void report_copy(std::uint8_t type, const RunId& run, std::size_t copy, nlohmann::json document);

  boost::asio::io_context& io_;
  std::string name_;
  std::vector<std::string> interfaces_;
  Streams& streams_;
  Role& role_;
  SystemClock clock_;
  ClockWatch clock_watch_{clock_};
  source::Chrony chrony_;
  sense::Gate gate_;
  sense::ActivationTable table_;
  std::unordered_set<RunId> arming_;  // in the table, and not told of yet
  std::unordered_set<RunId> ending_;
  std::unordered_set<RunId> told_;  // whose refusal was reported
  // Of runs in the table: their triggers by port, duplicates among them. A pulse that was sent over
  // several paths comes in once on each.
  std::unordered_map<RunId, std::map<std::uint16_t, std::uint64_t>> arrivals_;
  sense::RefusalCounters refused_{};
  std::uint64_t accepted_ = 0, suppressed_lines_ = 0;
  unsigned log_tokens_ = 0, verifying_ = 0;
  std::size_t next_counted_ = 0;  // where the next second's interim counts go on
  bool renewing_ = false, stopping_ = false;
  boost::asio::posix::stream_descriptor triggers_;
  boost::asio::steady_timer expiry_timer_, renew_timer_, second_timer_;
  Worker verifier_;
};

}  // namespace fieldline::app
