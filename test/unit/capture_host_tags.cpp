// SPDX-License-Identifier: Apache-2.0
// Packets between equal ports, whose addresses the event ring tells beside the record.
#include "capture_hosts.h"

#include "proto/event.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

magnet_record_ext between(magnet_record_ext record, const char* local, const char* peer) {
  const std::uint64_t tag = fl_event_tag(address(local).bytes.data(), address(peer).bytes.data());
  std::memcpy(record.ext.bytes + 32, &tag, sizeof tag);
  return record;
}

std::vector<HostFlow> two_runs(const char* a, const char* b, const char* c) {
  auto all = flows(run_of(1), a, b, 5060, IPPROTO_UDP);
  for (const auto& flow : flows(run_of(2), a, c, 5060, IPPROTO_UDP)) all.push_back(flow);
  return all;
}

magnet_record_ext packet(std::uint32_t event) {
  return device(event, 5060, 5060, 0, 0, IPPROTO_UDP);
}

}  // namespace

TEST_CASE("A tag is the two IPv4 addresses themselves, and of IPv6 one of both") {
  CHECK(fl_event_tag(address("10.0.0.1").bytes.data(), address("10.0.1.2").bytes.data()) ==
        0x0a000001'0a000102u);
  const Address one = address("2001:db8::1"), two = address("2001:db8::2");
  const auto there = fl_event_tag(one.bytes.data(), two.bytes.data());
  CHECK(there != 0);
  CHECK(there != fl_event_tag(two.bytes.data(), one.bytes.data()));
  CHECK(there != fl_event_tag(one.bytes.data(), one.bytes.data()));
}

TEST_CASE("EqualPortsOfTwoRuns: a packet is the run's between whose hosts it was") {
  const bool is_v6 = GENERATE(false, true);
  const char* a = is_v6 ? "2001:db8::a" : kA;
  const char* b = is_v6 ? "2001:db8::b" : kB;
  const char* c = is_v6 ? "2001:db8::c" : kC;
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  recorder.set_flows(two_runs(a, b, c));
  // Nobody's socket is known.
  give(recorder, {between(packet(MAGNET_DEV_SEND), a, b), between(packet(MAGNET_DEV_RECV), a, c),
                  packet(MAGNET_DEV_RECV)});
  // One of them is, and the other's packet is not its own.
  recorder.learn(socket_of(8, a, 5060, c, 5060, IPPROTO_UDP));
  give(recorder, {between(packet(MAGNET_DEV_RECV), a, b), between(packet(MAGNET_DEV_SEND), a, c)});
  recorder.flush();
  CHECK(recorder.totals().unjoined == 1);  // the one that has no tag
  CHECK(store.records[run_of(1)].size() == 2);
  CHECK(store.records[run_of(2)].size() == 2);
  for (const auto& record : store.records[run_of(1)]) {
    for (unsigned char byte : record.ext.packet.reserved) CHECK(byte == 0);
  }
}

TEST_CASE("EqualPortsOfTwoPeers: neither is far from its own sequence, and the tag tells") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = flows(run_of(1), kA, kB, 5201);
  for (const auto& flow : flows(run_of(2), kA, kC, 5201)) all.push_back(flow);
  recorder.set_flows(all);
  recorder.learn(socket_of(7, kA, 41000, kB, 5201));
  give(recorder, {sent(7, 1'000)});  // the other socket is not known, nor anything of it
  give(recorder, {between(device(MAGNET_DEV_SEND, 41000, 5201, 2'000), kA, kC)});
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(2)].size() == 1);
}

TEST_CASE("A flow of a whole network is compared by its prefix") {
  Store store;
  HostRecorder recorder(FL_EVENT_EBPF, kSession, store.sink());
  auto all = two_runs(kA, kB, kC);
  for (auto& flow : all) {
    if (flow.runs[0] != run_of(1)) continue;
    auto* mask = flow.key.dst[15] == 2 ? flow.mask.dst : flow.mask.src;  // B's is 10.0.1.0/24
    mask[15] = 0;
  }
  recorder.set_flows(all);
  give(recorder,
       {between(packet(MAGNET_DEV_SEND), kA, "10.0.1.99"), between(packet(MAGNET_DEV_SEND), kA, kC),
        between(packet(MAGNET_DEV_SEND), kA, "10.9.9.9")});
  recorder.flush();
  CHECK(store.records[run_of(1)].size() == 1);
  CHECK(store.records[run_of(2)].size() == 1);
  CHECK(recorder.totals().unjoined == 1);
}
