// SPDX-License-Identifier: Apache-2.0
// What no run may get: other namespaces', other times' and other runs' records, however well they
// fit.
#include "capture_hosts.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

magnet_record_ext opened(std::uint64_t cookie, const DiagSocket& socket) {
  magnet_record_ext open = record(MAGNET_SOCK_OPEN, cookie, 0);
  std::copy(socket.local.bytes.begin(), socket.local.bytes.end(), open.ext.open.local);
  std::copy(socket.remote.bytes.begin(), socket.remote.bytes.end(), open.ext.open.peer);
  open.ext.open.local_port = socket.local_port;
  open.ext.open.peer_port = socket.remote_port;
  open.ext.open.family = AF_INET;
  open.ext.open.protocol = socket.protocol;
  return open;
}

magnet_record_ext at(magnet_record_ext one, std::uint64_t timestamp) {
  one.head.timestamp = timestamp;
  return one;
}

Confirm everything() {
  return [](const DiagSocket& socket) { return std::optional(socket); };
}

}  // namespace

TEST_CASE("A socket of another namespace that opens with a run's addresses is nobody's") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  unsigned asked = 0;
  recorder.confirm_by([&](const DiagSocket&) {
    ++asked;
    return std::optional<DiagSocket>();
  });
  give(recorder, {opened(99, socket_of(99, kA, 41000, kB, 5201)), record(MAGNET_SOCK_SEND, 99)});
  CHECK(recorder.asks());
  recorder.settle(recorder.ask());  // sock_diag knows no 99
  recorder.flush();
  CHECK(store.records.empty());
  CHECK(asked > 0);
  CHECK(recorder.totals().unjoined == 2);
  // Another socket in its place there is not this one here.
  recorder.confirm_by([](const DiagSocket& socket) {
    DiagSocket ours = socket;
    ours.cookie = 7;
    return std::optional(ours);
  });
  give(recorder, {opened(98, socket_of(98, kA, 41000, kB, 5201)), record(MAGNET_SOCK_SEND, 98)});
  recorder.settle(recorder.ask());
  recorder.flush();
  CHECK(store.records.empty());
}

TEST_CASE("Sockets that open beside the runs are others', and the kernel is not asked for them") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.confirm_by([](const DiagSocket&) -> std::optional<DiagSocket> {
    FAIL("asked");
    return {};
  });
  for (std::uint64_t cookie = 1; cookie <= 100; ++cookie)
    give(recorder, {opened(cookie, socket_of(cookie, kA, 41000, kC, 443)),
                    record(MAGNET_SOCK_SEND, cookie), record(MAGNET_SOCK_CLOSE, cookie, 0)});
  CHECK_FALSE(recorder.asks());
  CHECK(recorder.totals().others == 300);
}

TEST_CASE("A UDP socket that left its peer gives the run nothing more, nor what it did before it") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.confirm_by(everything());
  recorder.set_flows(flows(run_of(1), kA, kB, 53, IPPROTO_UDP));
  give(recorder, {opened(7, socket_of(7, kA, 41000, kB, 53, IPPROTO_UDP)),
                  record(MAGNET_SOCK_SEND, 7, 1), record(MAGNET_SOCK_CLOSE, 7, 0)});
  give(recorder, {record(MAGNET_SOCK_SEND, 7, 666)});  // sendto() to whomever
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 3);
  // To another peer, and back again.
  give(recorder, {opened(7, socket_of(7, kA, 41000, kC, 53, IPPROTO_UDP)),
                  record(MAGNET_SOCK_SEND, 7, 667), record(MAGNET_SOCK_CLOSE, 7, 0)});
  const magnet_record_ext late = record(MAGNET_SOCK_SEND, 7, 668);  // another CPU's ring
  give(recorder,
       {opened(7, socket_of(7, kA, 41000, kB, 53, IPPROTO_UDP)), record(MAGNET_SOCK_SEND, 7, 2)});
  give(recorder, {late}, 1);
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 5);
  CHECK(store.records[run_of(1)].back().head.size == 2);
}

TEST_CASE("A cookie that opens anew without addresses is asked for again") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 53, IPPROTO_UDP));
  recorder.learn(socket_of(7, kA, 41000, kB, 53, IPPROTO_UDP));
  give(recorder, {record(MAGNET_SOCK_OPEN, 7, 0), record(MAGNET_SOCK_SEND, 7)}, 0, false);
  CHECK(recorder.asks());
  recorder.learn(socket_of(7, kA, 41000, kC, 53, IPPROTO_UDP));
  recorder.settle(recorder.ask());
  recorder.flush();
  CHECK(store.records.empty());
  CHECK(recorder.totals().others == 2);
}

TEST_CASE("A call whose ports are not its socket's any more is asked for") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = flows(run_of(1), kA, kB, 53, IPPROTO_UDP);
  for (const auto& flow : flows(run_of(2), kA, kB, 54, IPPROTO_UDP)) all.push_back(flow);
  recorder.set_flows(all);
  recorder.learn(socket_of(7, kA, 41000, kB, 53, IPPROTO_UDP));
  magnet_record_ext call = record(MAGNET_SOCK_SEND, 7);
  call.ext.sock = {};
  call.ext.sock.protocol = IPPROTO_UDP;
  call.ext.sock.local_port = 41000;
  call.ext.sock.peer_port = 54;
  give(recorder, {call});
  CHECK(recorder.asks());
  recorder.learn(socket_of(7, kA, 41000, kB, 54, IPPROTO_UDP));
  recorder.settle(recorder.ask());
  recorder.flush();
  CHECK(store.records[run_of(1)].empty());
  CHECK(store.records[run_of(2)].size() == 1);
}

TEST_CASE("EqualPortsOfTwoRuns: a known socket of one does not take the other's packets") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = flows(run_of(1), kA, kB, 5060, IPPROTO_UDP);
  for (const auto& flow : flows(run_of(2), kA, kC, 5060, IPPROTO_UDP)) all.push_back(flow);
  recorder.set_flows(all);
  recorder.learn(socket_of(8, kA, 5060, kC, 5060, IPPROTO_UDP));  // run 2's; B's is unconnected
  recorder.learn(socket_of(7, kA, 5060, "", 0, IPPROTO_UDP));
  magnet_record_ext sent_to = device(MAGNET_DEV_SEND, 5060, 5060, 0, 0, IPPROTO_UDP);
  sent_to.head.sockid = 7;
  give(recorder, {device(MAGNET_DEV_RECV, 5060, 5060, 0, 0, IPPROTO_UDP), sent_to});
  recorder.flush();
  CHECK(store.records.empty());
  CHECK(recorder.totals().unjoined == 2);
  // With one run for both it is that run's, and so it is where the other run has all of them.
  all = flows(run_of(2), kA, kB, 5060, IPPROTO_UDP);
  for (const auto& flow : flows(run_of(2), kA, kC, 5060, IPPROTO_UDP)) all.push_back(flow);
  recorder.set_flows(all);
  give(recorder, {device(MAGNET_DEV_RECV, 5060, 5060, 0, 0, IPPROTO_UDP)});
  recorder.flush();
  CHECK(store.records[run_of(2)].size() == 1);
}

TEST_CASE("StrangersOfEqualUdpPorts: datagrams have no sequence that would tell whose they are") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5060, IPPROTO_UDP));
  recorder.learn(socket_of(7, kA, 5060, kB, 5060, IPPROTO_UDP));
  magnet_record_ext sent = record(MAGNET_SOCK_SEND, 7);
  sent.ext.sock = {};
  sent.ext.sock.protocol = IPPROTO_UDP;
  sent.ext.sock.local_port = sent.ext.sock.peer_port = 5060;
  // Of another peer's for an unconnected socket, or for another namespace's.
  give(recorder, {sent, device(MAGNET_DEV_RECV, 5060, 5060, 0, 0, IPPROTO_UDP)});
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(1)][0].head.event == MAGNET_SOCK_SEND);
  CHECK(recorder.totals().unjoined == 1);
}

TEST_CASE("A run gets what happened in its time, however late it is looked at") {
  for (auto source : {FL_EVENT_MODULE, FL_EVENT_EBPF}) {
    Store store;
    HostRecorder recorder(source, kSession, store.sink());
    recorder.set_flows(flows(run_of(1), kA, kB, 5201), {{run_of(1), 5000, 6000}});
    recorder.learn(socket_of(7, kA, 41000, kB, 5201));
    give(recorder, {at(record(MAGNET_SOCK_SEND, 7), 4999), at(record(MAGNET_LOST, 0, 3), 4999),
                    at(record(MAGNET_SOCK_SEND, 7), 5000), at(record(MAGNET_SOCK_SEND, 7), 6000),
                    at(record(MAGNET_SOCK_SEND, 7), 6001), at(record(MAGNET_LOST, 0, 3), 6001)});
    recorder.flush();
    REQUIRE(store.records[run_of(1)].size() == 2);
    CHECK(store.records[run_of(1)][0].head.timestamp == 5000);
    CHECK(store.records[run_of(1)][1].head.timestamp == 6000);
    CHECK(recorder.totals().others == 2);
  }
}

TEST_CASE("What happens after a question waits for its answer, which is older") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 53, IPPROTO_UDP));
  recorder.learn(socket_of(6, kA, 41000, kC, 53, IPPROTO_UDP));
  give(recorder, {record(MAGNET_SOCK_SEND, 99)});  // nobody knows it
  const std::uint64_t question = recorder.ask();
  // It is connected to the run's peer now; the list that is under way may say what it was before.
  magnet_record_ext open = record(MAGNET_SOCK_OPEN, 6, 0);
  const Address local = address(kA), peer = address(kB);
  std::copy(local.bytes.begin(), local.bytes.end(), open.ext.open.local);
  std::copy(peer.bytes.begin(), peer.bytes.end(), open.ext.open.peer);
  open.ext.open.local_port = 41000;
  open.ext.open.peer_port = 53;
  open.ext.open.family = AF_INET;
  open.ext.open.protocol = IPPROTO_UDP;
  give(recorder, {open, record(MAGNET_SOCK_SEND, 6, 7), record(MAGNET_SOCK_SEND, 98)});
  recorder.learn(socket_of(6, kA, 41000, kC, 53, IPPROTO_UDP));
  recorder.settle(question);
  CHECK(recorder.asks());  // of 98 it could not tell
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 2);
  CHECK(store.records[run_of(1)][0].head.event == MAGNET_SOCK_OPEN);
  CHECK(store.records[run_of(1)][1].head.size == 7);
  recorder.settle(recorder.ask());
  CHECK(!recorder.asks());
  CHECK(recorder.totals().unjoined == 2);
}

TEST_CASE("What waits for sock_diag while a run begins is not the new run's") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201), {{run_of(1), 0, UINT64_MAX}});
  give(recorder, {at(record(MAGNET_SOCK_SEND, 7), 100)});
  auto both = flows(run_of(1), kA, kB, 5201);
  for (HostFlow& flow : both) flow.runs = {run_of(1), run_of(2)};
  recorder.set_flows(both, {{run_of(1), 0, UINT64_MAX}, {run_of(2), 200, UINT64_MAX}});
  CHECK(recorder.asks());
  give(recorder, {at(record(MAGNET_SOCK_SEND, 7), 300)});
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  recorder.settle(recorder.ask());
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 2);
  CHECK(store.records[run_of(2)].size() == 1);
}
