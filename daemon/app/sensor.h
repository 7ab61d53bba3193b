// SPDX-License-Identifier: Apache-2.0
// The sensor role: wires source, sense, capture and stream. Logic is theirs; the order of steps is
// here and in Control.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/control.h"
#include "app/run_counts.h"
#include "app/streams.h"
#include "app/totals_feed.h"
#include "base/clock.h"
#include "capture/recorder.h"
#include "source/source.h"

namespace fieldline::app {

class Sensor final : public Role {
 public:
  static Result<std::unique_ptr<Sensor>> start(boost::asio::io_context& io,
                                               const SensorConfig& config);

  Result<void> reload(const SensorConfig& config);  // trust and policy
  // Ends every run, delivers final counts, closes the streams within the time.
  boost::asio::awaitable<void> stop(std::uint64_t timeout_ns);
  std::string summary();  // one line for systemd

  const char* kind() const override { return "sensor"; }
  std::string port_name(std::uint16_t port) const override {
    return source_->ports().at(port).name;
  }
  Result<std::size_t> drain_triggers(const source::Source::OnTrigger& on_trigger) override {
    return source_->drain_triggers(on_trigger);
  }
  Result<void> apply_flows() override;
  void arm(Done done) override;
  void drain() override;
  void wind_up(Done done) override;
  void begun(const sense::Activation& activation) override;
  std::uint64_t stamps_early_by_ns() const override { return source_->stamps_early_by_ns(); }
  nlohmann::json counts_of(const sense::Activation& activation, bool final,
                           std::size_t copy) override;
  void end_session(const std::vector<const sense::Activation*>& runs) override;
  void session_begun(const std::vector<const sense::Activation*>& runs) override;
  void forget(const RunId& run) override;
  nlohmann::json status() override;
  std::vector<std::string> interfaces_in_path() const override { return config_.in_path; }

 private:
  Sensor(boost::asio::io_context& io, const SensorConfig& config, stream::Identity identity,
         std::shared_ptr<stream::SpoolFolder> spool, std::unique_ptr<source::Source> source,
         sense::Trust trust);
  void follow_links();
  nlohmann::json nics_since(const RunId& run) const;
  void ask_nics();
  void keep_draining();
  std::vector<capture::Sink> copies();

  SensorConfig config_;
  SystemClock clock_;
  std::unique_ptr<source::Source> source_;
  Streams streams_;
  capture::Recorder recorder_;
  // What each port's NIC had dropped, as read last and when a run began. Drivers are asked by the
  // worker: some take milliseconds, while the ring fills.
  std::vector<source::NicDrops> nics_now_;
  std::unordered_map<RunId, std::vector<source::NicDrops>> nics_;
  bool asking_nics_ = false;
  boost::asio::steady_timer drain_timer_;
  boost::asio::posix::stream_descriptor links_;
  TotalsFeed totals_;
  Control control_;
  RunCounts counts_;
  Worker worker_;  // last: its job asks the source
};

}  // namespace fieldline::app
