// SPDX-License-Identifier: Apache-2.0
// The sensor role: wires source, sense, capture and stream. Logic is theirs; the order of steps is
// here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "base/clock.h"
#include "capture/recorder.h"
#include "sense/activation.h"
#include "sense/gate.h"
#include "source/source.h"
#include "stream/producer.h"

namespace fieldline::app {

class Sensor {
 public:
  static Result<std::unique_ptr<Sensor>> start(boost::asio::io_context& io,
                                               const SensorConfig& config);
  ~Sensor();

  Result<void> reload(const SensorConfig& config);  // trust and policy
  // Ends every run, delivers final counts, closes the streams within the time.
  boost::asio::awaitable<void> stop(std::uint64_t timeout_ns);
  std::string summary() const;  // one line for systemd

 private:
  struct Arrival {  // where a trigger came in
    Address from;
    std::uint16_t port = 0;
  };

  Sensor(boost::asio::io_context& io, const SensorConfig& config, stream::Identity identity,
         std::unique_ptr<source::Source> source, sense::Trust trust);

  // control: trigger -> gate -> activation -> flow table
  void wait_for_triggers();
  void on_trigger(const fl_trigger_lift& lift, ByteView bytes);
  void settle(sense::Ticket ticket, const Arrival& arrival);
  void begin_run(const sense::Grant& grant, const std::string& principal, const Arrival& arrival);
  void note_shared_slots(const sense::Activation& activation);
  void renew(std::uint64_t replaced_mono_ns);
  void write_renewals();
  void refuse(const sense::Refusal& refusal, const Arrival& arrival);
  void tell_refused(const sense::Grant& grant, const sense::Refusal& refusal);
  Result<void> apply_flows();

  // the end of a run: deadline zero, programs in flight over, ring drained, counted, deleted
  void arm_expiry();
  void end_expired();
  void end_run(const RunId& run, const std::string& reason);
  void finish_run(const RunId& run, const std::string& reason);

  void pin_archives(const std::vector<ArchivePin>& archives);

  // packet: ring -> recorder -> stream
  void keep_draining();
  void drain_ring();
  stream::Producer& producer_of_run(const RunId& run);
  stream::Producer& producer_of(const stream::Fingerprint& archive);

  // what is told about it
  void report(std::uint8_t type, const RunId& run, nlohmann::json document);
  nlohmann::json counts_of(const sense::Activation& activation, bool final) const;
  nlohmann::json status() const;
  void keep_reporting();
  void each_second();
  void report_interim_counts();

  boost::asio::io_context& io_;
  SensorConfig config_;
  SystemClock clock_;
  stream::Identity identity_;
  RunId session_;
  std::unique_ptr<source::Source> source_;
  sense::Gate gate_;
  sense::ActivationTable table_;
  capture::Recorder recorder_;
  stream::Fingerprint own_archive_{};
  std::map<stream::Fingerprint, ArchivePin> pins_;
  std::map<stream::Fingerprint, std::unique_ptr<stream::Producer>> producers_;
  // Counters of an entry that stood already when the run joined it, by slot.
  std::unordered_map<RunId, std::unordered_map<std::uint32_t, fl_flow_counters>> baselines_;
  std::unordered_set<RunId> sharing_;  // runs that hold, or held, a slot together with another
  std::unordered_set<RunId> ending_;
  std::unordered_set<RunId> told_;  // whose refusal was reported
  sense::RefusalCounters refused_{};
  std::uint64_t accepted_ = 0, suppressed_lines_ = 0;
  unsigned log_tokens_ = 0, verifying_ = 0;
  std::size_t next_counted_ = 0;  // where the next second's interim counts go on
  bool renewing_ = false, stopping_ = false;
  boost::asio::posix::stream_descriptor triggers_;
  boost::asio::steady_timer drain_timer_, expiry_timer_, renew_timer_, second_timer_;
  boost::asio::thread_pool workers_{1};
};

}  // namespace fieldline::app
