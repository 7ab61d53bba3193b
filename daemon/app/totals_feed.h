// SPDX-License-Identifier: Apache-2.0
// The load of a sensor's ports while runs are on: their counters every 10 ms, a frame a second to
// each archive that these runs use.
#pragma once

#include <functional>
#include <set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "app/streams.h"
#include "base/clock.h"
#include "capture/port_totals.h"
#include "proto/flow.h"

namespace fieldline::app {

class TotalsFeed {
 public:
  using Read = std::function<Result<fl_port_counters>(std::uint16_t port)>;
  // drain: hands on the header records that the totals' times contain; a reader takes a flow's own
  // bytes from the port's, and so has them first.
  TotalsFeed(boost::asio::io_context& io, Streams& streams, const Clock& clock, std::size_t ports,
             Read read, std::function<void()> drain);

  void enable(bool on);
  // The set of runs changes: what was carried up to now goes to the archives of those that were on,
  // what follows to these. None: nobody is on, and nothing is read.
  void hand_over(std::set<stream::Fingerprint> archives);
  // Of what is read from now on; hand_over() comes first.
  void begin_session(const RunId& session) { totals_.begin_session(session); }
  nlohmann::json status() const;

 private:
  bool is_on() const { return enabled_ && !archives_.empty(); }
  void keep_reading();
  void read();
  void give();

  Streams& streams_;
  const Clock& clock_;
  std::size_t ports_;
  Read read_;
  std::function<void()> drain_;
  capture::PortTotals totals_;
  std::set<stream::Fingerprint> archives_;
  boost::asio::steady_timer timer_;
  bool enabled_ = true, reading_ = false;
  // Of periods and archives. read = given + dropped; given ones have a number in the stream.
  std::uint64_t given_ = 0, dropped_spool_ = 0, read_errors_ = 0;
};

}  // namespace fieldline::app
