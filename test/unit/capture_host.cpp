// SPDX-License-Identifier: Apache-2.0
// Which event record belongs to which run, and what becomes of it: no kernel, no clock.
#include "capture_hosts.h"

using namespace fieldline;
using namespace fieldline::test;

TEST_CASE("A socket's records go to every run that contains its flow, and to no other") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = flows(run_of(1), kA, kB, 5201);
  for (auto& flow : flows(run_of(2), kA, kB, 0)) {  // any port of B
    flow.mask.sport = flow.mask.dport = 0;
    all.push_back(flow);
  }
  recorder.set_flows(all);
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  recorder.learn(socket_of(8, kA, 41001, kB, 22));
  recorder.learn(socket_of(9, kA, 41002, kC, 5201));
  give(recorder,
       {record(MAGNET_SOCK_SEND, 7), record(MAGNET_SOCK_SEND, 8), record(MAGNET_SOCK_SEND, 9)});
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(1)][0].head.sockid == 7);
  REQUIRE(store.records[run_of(2)].size() == 2);
  CHECK(store.records[run_of(2)][1].head.sockid == 8);
  CHECK(recorder.totals().taken == 2);
  CHECK(recorder.totals().others == 1);
}

TEST_CASE("A socket that was open before waits for sock_diag, and nothing overtakes it") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(1, kA, 41000, kB, 5201));
  give(recorder, {record(MAGNET_SOCK_SEND, 1, 1), record(MAGNET_SOCK_SEND, 2, 2),
                  record(MAGNET_SOCK_SEND, 1, 3)});
  CHECK(recorder.asks());
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 1);
  recorder.learn(socket_of(2, kA, 41001, kB, 5201));
  recorder.settle(recorder.ask());
  CHECK(!recorder.asks());
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 3);
  for (std::int32_t i = 0; i < 3; ++i) CHECK(store.records[run_of(1)][i].head.size == i + 1);
}

TEST_CASE("A socket that opens in the run says its addresses itself") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.confirm_by([](const DiagSocket& opened) { return std::optional(opened); });
  magnet_record_ext open = record(MAGNET_SOCK_OPEN, 5, 0);
  const Address local = address(kA), peer = address(kB);
  std::copy(local.bytes.begin(), local.bytes.end(), open.ext.open.local);
  std::copy(peer.bytes.begin(), peer.bytes.end(), open.ext.open.peer);
  open.ext.open.local_port = 41000;
  open.ext.open.peer_port = 5201;
  open.ext.open.family = AF_INET;
  open.ext.open.protocol = IPPROTO_TCP;
  give(recorder, {open, record(MAGNET_SOCK_SEND, 5), record(MAGNET_SOCK_CLOSE, 5, 0)});
  give(recorder, {record(MAGNET_TCP_SEND, 5)}, 1);  // from another CPU, late
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 4);
  CHECK(recorder.counts(run_of(1)).sockets == 1);
  CHECK(recorder.sampled().empty());  // closed
}

TEST_CASE("Packets without a cookie join by ports") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  give(recorder, {device(MAGNET_DEV_RECV, 41000, 5201), device(MAGNET_DEV_SEND, 41000, 5201),
                  device(MAGNET_DEV_RECV, 41000, 5201, 0, 0, IPPROTO_UDP)});
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 2);
  CHECK(recorder.totals().unjoined == 1);
}

TEST_CASE(
    "A packet of a flow whose socket nobody knows joins where the source compared addresses") {
  for (auto source : {FL_EVENT_EBPF, FL_EVENT_MODULE}) {
    Store store;
    HostRecorder recorder(source, kSession, store.sink());
    recorder.set_flows(flows(run_of(1), kA, kB, 5201));
    give(recorder, {device(MAGNET_DEV_SEND, 41000, 5201)});  // a SYN: no socket yet
    recorder.flush();
    CHECK(store.records[run_of(1)].size() == (source == FL_EVENT_EBPF ? 1 : 0));
    CHECK(recorder.totals().unjoined == (source == FL_EVENT_EBPF ? 0 : 1));
  }
}

TEST_CASE("OnePacketOfABondIsTwo: device records of interfaces that are not named are nobody's") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_interfaces({3, 4});
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  std::vector<magnet_record_ext> packets;
  for (const int ifindex : {2, 3, 4, 5}) {
    packets.push_back(device(MAGNET_DEV_SEND, 41000, 5201));
    packets.back().head.sockid = 7;
    packets.back().ext.packet.ifindex = static_cast<std::uint32_t>(ifindex);
  }
  packets.push_back(record(MAGNET_SOCK_SEND, 7));
  give(recorder, packets);
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 3);
  CHECK(recorder.totals().others == 2);
}

TEST_CASE("EqualPortsOfTwoPeers: sequence tells whose packet it is, else it is nobody's") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  recorder.learn(socket_of(8, kA, 41000, kC, 5201));  // not in the run
  give(recorder, {device(MAGNET_DEV_RECV, 41000, 5201, 0, 5000)});
  recorder.flush();
  CHECK(store.records[run_of(1)].empty());
  CHECK(recorder.totals().unjoined == 1);
  give(recorder, {sent(7, 1'000'000'000), sent(8, 3'000'000'000)});
  give(recorder, {device(MAGNET_DEV_RECV, 41000, 5201, 0, 1'000'001'000),
                  device(MAGNET_DEV_RECV, 41000, 5201, 0, 3'000'001'000),
                  device(MAGNET_DEV_SEND, 41000, 5201, 2'000'000'000, 0)});  // far from both
  recorder.flush();
  const auto& got = store.records[run_of(1)];
  REQUIRE(got.size() == 2);
  CHECK(got[0].head.event == MAGNET_SOCK_SEND);
  CHECK(got[1].ext.packet.ack == 1'000'001'000);
  CHECK(recorder.totals().others == 2);
  CHECK(recorder.totals().unjoined == 2);
}

TEST_CASE("PortsAloneNeverGiveOneRunWhatMayBeAnothers") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = flows(run_of(1), kA, kB, 5201);
  for (const auto& flow : flows(run_of(2), kA, kC, 5201)) all.push_back(flow);
  recorder.set_flows(all);
  give(recorder, {device(MAGNET_DEV_SEND, 41000, 5201)});
  recorder.flush();
  CHECK(store.records.empty());
  CHECK(recorder.totals().unjoined == 1);
}

TEST_CASE("An unconnected socket's calls are nobody's; its packets say to whom they went") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 53, IPPROTO_UDP));
  recorder.learn(socket_of(7, kA, 41000, "", 0, IPPROTO_UDP));
  magnet_record_ext packet = device(MAGNET_DEV_SEND, 41000, 53, 0, 0, IPPROTO_UDP);
  packet.head.sockid = 7;
  give(recorder, {record(MAGNET_SOCK_SEND, 7), packet});
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(1)][0].head.event == MAGNET_DEV_SEND);
  CHECK(recorder.totals().others == 1);
}

TEST_CASE("LOST goes to every run that is on, and is counted as no event") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = flows(run_of(1), kA, kB, 5201);
  for (const auto& flow : flows(run_of(2), kA, kC, 5201)) all.push_back(flow);
  recorder.set_flows(all);
  give(recorder, {record(MAGNET_LOST, 0, 42)});
  recorder.flush();
  for (std::uint8_t run = 1; run <= 2; ++run) {
    REQUIRE(store.records[run_of(run)].size() == 1);
    CHECK(store.records[run_of(run)][0].head.size == 42);
    CHECK(recorder.counts(run_of(run)).events == 0);
  }
}

TEST_CASE("FullSpoolDropsRecordsNotBatches: events = recorded + dropped") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  for (int i = 0; i < 5000; ++i) {
    store.full = i >= 2000 && i < 3000;
    give(recorder, {record(MAGNET_SOCK_SEND, 7), record(MAGNET_LOST, 0, 1)}, i % 2);
    if (i == 1999 || i == 2999) recorder.flush();
  }
  store.full = false;
  recorder.flush();
  const HostCounts& counts = recorder.counts(run_of(1));
  CHECK(counts.events == 5000);
  CHECK(counts.dropped_spool > 0);
  CHECK(counts.recorded + counts.dropped_spool == 5000);
  std::uint64_t stored = 0;
  for (const auto& one : store.records[run_of(1)]) stored += one.head.event != MAGNET_LOST;
  CHECK(stored == counts.recorded);
}

TEST_CASE("Records without an extension keep their size, and join by their cookie alone") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  give(recorder, {record(MAGNET_TCP_SEND, 7), record(MAGNET_IP_RECV, 0)}, 3, false);
  recorder.flush();
  REQUIRE(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(1)][0].head.sockid == 7);
  CHECK(recorder.totals().unjoined == 1);
}

TEST_CASE("A cookie of another namespace is nobody's, however well its ports fit") {
  Store store;
  HostRecorder recorder(FL_EVENT_MODULE, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  magnet_record_ext foreign = record(MAGNET_SOCK_SEND, 99);
  foreign.ext.sock.protocol = IPPROTO_TCP;
  foreign.ext.sock.local_port = 41000;
  foreign.ext.sock.peer_port = 5201;
  give(recorder, {foreign});
  CHECK(recorder.asks());
  recorder.settle(recorder.ask());
  recorder.flush();
  CHECK(store.records.empty());
  CHECK(recorder.totals().unjoined == 1);
}

TEST_CASE("ThousandsOfSocketsComeAndGo: what is remembered stays within bounds") {
  HostSockets sockets(true);
  sockets.set_flows(flows(run_of(1), kA, kB, 5201));
  for (std::uint64_t i = 1; i <= 3 * HostSockets::kMost; ++i)
    sockets.learn(socket_of(i, kA, static_cast<std::uint16_t>(i), kC, 443));
  CHECK(sockets.size() <= HostSockets::kMost);
  for (std::uint64_t i = 1; i <= 20'000; ++i) {
    const std::uint64_t cookie = 1'000'000 + i;
    sockets.learn(socket_of(cookie, kA, static_cast<std::uint16_t>(1 + i % 60'000), kB, 5201));
    sockets.close(cookie);
  }
  CHECK(sockets.sampled().empty());
  CHECK(sockets.size() <= HostSockets::kMost);
}

TEST_CASE("A sample holds what the kernel told, and zeros for what an older one does not") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  REQUIRE(recorder.sampled().size() == 1);
  Bytes old(104, 0);  // struct tcp_info of Linux 3.x ends at total_retrans
  old[0] = 1;
  const std::uint32_t again = 17;
  std::memcpy(old.data() + 100, &again, sizeof again);
  recorder.on_sample(*recorder.sampled()[0], old, 4242);
  recorder.on_sample(*recorder.sampled()[0], Bytes(400, 0xff), 4343);  // a later kernel's
  recorder.flush();
  REQUIRE(store.samples[run_of(1)].size() == 2);
  const fl_tcp_info& sample = store.samples[run_of(1)][0];
  CHECK(sample.sockid == 7);
  CHECK(sample.timestamp == 4242);
  CHECK(sample.state == 1);
  CHECK(sample.total_retrans == 17);
  CHECK(sample.bytes_acked == 0);
  CHECK(sample.local_port == 41000);
  CHECK(store.samples[run_of(1)][1].bytes_acked == UINT64_MAX);
  CHECK(recorder.counts(run_of(1)).samples == 2);
}

TEST_CASE("A run that ended gets no more, and its sockets may be another's") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(flows(run_of(1), kA, kB, 5201));
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  give(recorder, {record(MAGNET_SOCK_SEND, 7)});
  recorder.flush();
  recorder.set_flows(flows(run_of(2), kA, kB, 5201));
  recorder.forget(run_of(1));
  give(recorder, {record(MAGNET_SOCK_SEND, 7)});
  recorder.set_flows({});
  give(recorder, {record(MAGNET_SOCK_SEND, 7)});
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(2)].size() == 1);
  CHECK(recorder.totals().others == 1);
}
