// SPDX-License-Identifier: Apache-2.0
// A machine with more sockets and more strangers than the host role can bear.
#include "capture_hosts.h"

using namespace fieldline;
using namespace fieldline::test;

TEST_CASE("A cookie that sock_diag does not know is asked for once, not with each record") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  give(recorder, {record(MAGNET_SOCK_SEND, 99)});
  REQUIRE(recorder.asks());
  recorder.settle(recorder.ask());
  for (int i = 0; i < 1000; ++i)
    give(recorder, {record(MAGNET_SOCK_SEND, 99), record(MAGNET_SOCK_SEND, 7)});
  CHECK_FALSE(recorder.asks());
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 1000);
  CHECK(recorder.totals().unjoined == 1001);
  magnet_record_ext later = record(MAGNET_SOCK_SEND, 99);
  later.head.timestamp += 5'000'000'000;
  give(recorder, {later});
  CHECK(recorder.asks());  // it may have been too early
}

TEST_CASE("MoreWaitThanFit: each run is told how many were given up, and they are in `seen`") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  constexpr std::size_t kTurns = HostRecorder::kWaiting / 2;
  for (std::size_t i = 0; i < kTurns; ++i)
    give(recorder, {record(MAGNET_SOCK_SEND, 1000 + i), record(MAGNET_SOCK_SEND, 7)});
  CHECK_FALSE(recorder.asks());
  recorder.flush();
  const auto& got = store.records[run_of(1)];
  REQUIRE(got.size() == kTurns + 1);
  CHECK(got.back().head.event == MAGNET_LOST);
  CHECK(got.back().head.size == static_cast<std::int32_t>(kTurns));
  CHECK(recorder.counts(run_of(1)).unasked == kTurns);
  CHECK(recorder.counts(run_of(1)).events == kTurns);
  CHECK(recorder.totals().unjoined == kTurns);
  give(recorder, {record(MAGNET_SOCK_SEND, 1000)});
  CHECK(recorder.asks());  // nobody has asked for it yet
}

TEST_CASE("MoreSocketsOfRunsThanFit: the table stays within its bound and counts who had no room") {
  HostSockets sockets(true);
  sockets.set_flows(flows(run_of(1), kA, kB, 5201));
  constexpr std::uint64_t kBeyond = 20'000;
  for (std::uint64_t i = 1; i <= HostSockets::kMost + kBeyond; ++i)
    sockets.learn(socket_of(i, kA, static_cast<std::uint16_t>(i), kB, 5201));
  CHECK(sockets.size() == HostSockets::kMost);
  CHECK(sockets.refused() == kBeyond);
}
