// SPDX-License-Identifier: Apache-2.0
// The host role: event records and samples of tcp_info of the sockets of each run whose triggers
// pass this host's interfaces. Control is the sensor's; what is recorded is capture's.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/control.h"
#include "app/event_feed.h"
#include "app/streams.h"
#include "app/worker.h"
#include "base/clock.h"
#include "base/sock_diag.h"
#include "capture/host_recorder.h"
#include "source/host_watch.h"

namespace fieldline::app {

class Host final : public Role {
 public:
  static Result<std::unique_ptr<Host>> start(boost::asio::io_context& io, const HostConfig& config);

  Result<void> reload(const HostConfig& config);  // trust and policy
  boost::asio::awaitable<void> stop(std::uint64_t timeout_ns);
  std::string summary();

  const char* kind() const override { return "host"; }
  std::string port_name(std::uint16_t port) const override { return config_.interfaces.at(port); }
  Result<std::size_t> drain_triggers(const source::Source::OnTrigger& on_trigger) override {
    return watch_->drain_triggers(on_trigger);
  }
  Result<void> apply_flows() override;
  void arm(Done done) override;
  void drain() override;
  void wind_up(Done done) override;
  void begun(const sense::Activation& activation) override;
  nlohmann::json counts_of(const sense::Activation& activation, bool final,
                           std::size_t copy) override;
  void end_session(const std::vector<const sense::Activation*>& runs) override;
  void session_begun(const std::vector<const sense::Activation*>& runs) override;
  void forget(const RunId& run) override;
  nlohmann::json status() override;
  std::vector<std::string> interfaces_in_path() const override { return config_.interfaces; }

 private:
  // What opens before the rest can stand.
  struct Parts {
    stream::Identity identity;
    std::shared_ptr<stream::SpoolFolder> spool;
    std::unique_ptr<source::HostWatch> watch;
    std::unique_ptr<Worker> worker;
    std::unique_ptr<EventFeed> feed;
    SockDiag sockets, lister;
    sense::Trust trust;
  };
  Host(boost::asio::io_context& io, const HostConfig& config, Parts parts);

  std::vector<capture::EventSink> copies();
  void drain_ring();
  void keep_draining();
  void keep_sampling();
  void sample();
  void list_sockets(std::function<void()> then);
  void list_if_due();
  void tell_once(const std::string& trouble);

  HostConfig config_;
  SystemClock clock_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<source::HostWatch> watch_;
  std::unique_ptr<EventFeed> feed_;
  SockDiag sockets_;                  // for single ones, each a few us
  std::shared_ptr<SockDiag> lister_;  // for all of them; the worker's
  Streams streams_;
  capture::HostRecorder recorder_;
  std::unordered_map<RunId, magnet::Accounting> baselines_;  // when each run began
  // The one reading with which the counts of a session that is being closed end, and those of the
  // next begin.
  std::optional<magnet::Accounting> ended_;
  std::unordered_map<RunId, std::uint64_t> ended_ns_;  // of runs that are being wound up
  std::uint64_t dropped_spool_ = 0;                    // records of all runs
  bool list_due_ = false;
  unsigned listing_ = 0;        // questions that the worker has not answered yet
  std::set<std::string> told_;  // what sock_diag could not do, once each
  std::uint64_t flushed_ns_ = 0, listed_ns_ = 0, list_pause_ns_ = 0;
  std::size_t next_sampled_ = 0;
  boost::asio::steady_timer drain_timer_, sample_timer_;
  Control control_;
};

}  // namespace fieldline::app
