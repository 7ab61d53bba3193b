// SPDX-License-Identifier: Apache-2.0
#include "cli_result.h"

#include <netinet/in.h>

#include <nlohmann/json.hpp>

#include "cli/events.h"
#include "proto/frame.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

RunId session_of(std::uint8_t byte) {
  RunId id;
  id.bytes.fill(byte);
  return id;
}

magnet_record_ext record(std::uint32_t event, std::uint64_t sockid, std::uint64_t at,
                         std::int32_t size = 0) {
  magnet_record_ext one{};
  one.head = {sockid, at, event, size};
  return one;
}

magnet_record_ext packet(std::uint16_t local, std::uint64_t at) {
  auto one = record(MAGNET_DEV_SEND, 0, at, 1514);
  one.ext.packet.local_port = local;
  one.ext.packet.peer_port = 5201;
  return one;
}

magnet_record_ext sent(std::uint64_t sockid, std::uint16_t local, std::uint64_t at) {
  auto one = record(MAGNET_SOCK_SEND, sockid, at, 1000);
  one.ext.sock.local_port = local;
  one.ext.sock.peer_port = 5201;
  return one;
}

void feed(EventList& list, const RunId& session, const std::vector<magnet_record_ext>& records) {
  EventBodyWriter writer(FL_EVENT_EBPF, sizeof(magnet_record_ext), 1, session);
  for (const auto& one : records) writer.add(view_of(one));
  list.take({FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 1, session_of(9), writer.end()});
}

void feed_sample(EventList& list, const RunId& session, std::uint64_t sockid, std::uint64_t at) {
  fl_tcp_info sample{};
  sample.sockid = sockid;
  sample.timestamp = at;
  sample.cwnd = 10;
  EventBodyWriter writer(FL_EVENT_TCP_INFO, sizeof sample, 0, session);
  writer.add(view_of(sample));
  list.take({FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 2, session_of(9), writer.end()});
}

void feed_document(EventList& list, std::uint8_t type, const nlohmann::json& document) {
  const std::string text = document.dump();
  list.take({type, FL_ENCODING_JSON, 3, session_of(9), view(text)});
}

void name_host(EventList& list, const RunId& session, const std::string& name) {
  feed_document(list, FL_FRAME_CONFIGURATION,
                {{"role", "host"},
                 {"sensor", name},
                 {"session", session.hex()},
                 {"events", {{"source", "ebpf"}, {"absent", {"TCP_SEND"}}}}});
}

EventList list_of(const EventsOptions& options) {
  auto list = EventList::create(options);
  REQUIRE(list);
  return std::move(*list);
}

std::string all(EventList& list) {
  list.settle();
  std::string text;
  list.print([&](const std::string& line) {
    text += line;
    return true;
  });
  return text;
}

const RunId kA = session_of(1), kB = session_of(2);
constexpr std::uint64_t kSecond = 1'000'000'000;

}  // namespace

TEST_CASE("records of all hosts stand in the order of time, each with its host") {
  auto list = list_of({});
  name_host(list, kA, "a");
  name_host(list, kB, "b");
  feed(list, kA, {sent(7, 41000, kSecond), sent(7, 41000, 3 * kSecond)});
  feed(list, kB, {record(MAGNET_SOCK_RECV, 8, 2 * kSecond, -104)});
  feed_sample(list, kA, 7, kSecond + 1);
  const std::string text = all(list);
  CHECK(text.starts_with("7\t1970-01-01T00:00:01.000000000Z\t1\tSOCK_SEND\t1000\t"));
  CHECK(text.find("\thost=a\n7\t1970-01-01T00:00:01.000000001Z\t0\tTCP_INFO\t0\tstate=0") !=
        std::string::npos);
  CHECK(text.find("8\t1970-01-01T00:00:02.000000000Z\t1\tSOCK_RECV\t-104\t") != std::string::npos);
  CHECK(text.find("\tcwnd=10\t") != std::string::npos);
  CHECK(list.head().find("# host a: session 010101, by ebpf, without TCP_SEND\n") !=
        std::string::npos);
}

TEST_CASE("one socket is its own records and the packets that have its ports on its host") {
  EventsOptions options;
  options.sockid = 7;
  auto list = list_of(options);
  feed(list, kA, {packet(41000, 1), sent(7, 41000, 2), sent(9, 41001, 3), packet(41001, 4)});
  feed(list, kB, {packet(41000, 5)});
  feed_sample(list, kA, 7, 6);
  feed_sample(list, kA, 9, 7);
  list.settle();
  CHECK(list.size() == 3);
}

TEST_CASE("PacketsOfAnotherPeerOnEqualPorts: by sequence, and marked where nothing tells") {
  EventsOptions options;
  options.sockid = 7;
  auto list = list_of(options);
  auto tcp_sent = [](std::uint64_t sockid, std::uint32_t sequence, std::uint64_t at) {
    auto one = sent(sockid, 5060, at);
    one.ext.sock.protocol = IPPROTO_TCP;
    one.ext.sock.seq = sequence;
    return one;
  };
  auto tcp_packet = [](std::uint32_t sequence, std::uint64_t at) {
    auto one = packet(5060, at);
    one.ext.packet.protocol = IPPROTO_TCP;
    one.ext.packet.seq = sequence;
    return one;
  };
  auto udp_packet = packet(5060, 9);
  udp_packet.ext.packet.protocol = IPPROTO_UDP;
  auto received = tcp_packet(0xffffff00, 10);  // its sequence is the peer's
  received.head.event = MAGNET_DEV_RECV;
  received.ext.packet.ack = 1'200;
  received.ext.packet.flags = 16;
  auto silent = received;
  silent.head.timestamp = 11;
  silent.ext.packet.flags = 4;
  feed(list, kA,
       {tcp_sent(7, 1'000, 1), tcp_sent(8, 3'000'000'000, 1), tcp_packet(900, 2),
        tcp_packet(2'999'999'000, 3), tcp_packet(2'000'000'000, 4), udp_packet, received, silent});
  const std::string text = all(list);
  CHECK(list.size() == 5);
  CHECK(text.find("\tseq=900\t") != std::string::npos);
  CHECK(text.find("\tseq=2999999000\t") == std::string::npos);
  CHECK(text.find("\tack=1200\t") != std::string::npos);
  std::size_t marked = 0;
  for (std::size_t at = 0; (at = text.find("\tjoin=ports\t", at)) != std::string::npos; ++at)
    ++marked;
  CHECK(marked == 2);  // far from both, and the reset without an acknowledgement
}

TEST_CASE("one event, one host") {
  EventsOptions options;
  options.events = {"dev-send"};
  options.host = "a";
  auto list = list_of(options);
  name_host(list, kA, "a");
  name_host(list, kB, "b");
  feed(list, kA, {packet(41000, 1), sent(7, 41000, 2)});
  feed(list, kB, {packet(41000, 3)});
  feed_sample(list, kA, 7, 4);
  list.settle();
  CHECK(list.size() == 1);

  options.events = {"TCP_INFO"};
  auto samples = list_of(options);
  name_host(samples, kA, "a");
  feed(samples, kA, {packet(41000, 1)});
  feed_sample(samples, kA, 7, 4);
  samples.settle();
  CHECK(samples.size() == 1);

  options.events = {"SOCK_SNED"};
  auto wrong = EventList::create(options);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().text().find("SOCK_SEND") != std::string::npos);
}

TEST_CASE("layers, and several kinds at once") {
  auto tcp = record(MAGNET_TCP_RECV, 7, 3, 10);
  tcp.ext.tcp.flags = 18;
  tcp.ext.tcp.ca_state = 3;
  auto told = [&](const std::vector<std::string>& events) {
    EventsOptions options;
    options.events = events;
    auto list = list_of(options);
    feed(list, kA, {packet(41000, 1), sent(7, 41000, 2), tcp});
    feed_sample(list, kA, 7, 4);
    std::string names;
    list.settle();
    list.print([&](const std::string& line) {
      const auto from = line.find('\t', line.find('\t', line.find('\t') + 1) + 1) + 1;
      names += line.substr(from, line.find('\t', from) - from) + " ";
      return true;
    });
    return names;
  };
  CHECK(told({"sock"}) == "SOCK_SEND ");
  CHECK(told({"tcp", "dev-send"}) == "DEV_SEND TCP_RECV ");
  CHECK(told({"tcp-info", "sock"}) == "SOCK_SEND TCP_INFO ");
  CHECK(told({"udp"}) == "");
  CHECK(told({}) == "DEV_SEND SOCK_SEND TCP_RECV TCP_INFO ");
}

TEST_CASE("--since and --until, from the first record of all or by the clock") {
  auto told = [](const std::string& since, const std::string& until) {
    EventsOptions options;
    options.since = since;
    options.until = until;
    options.events = {"SOCK_SEND"};
    auto list = list_of(options);
    feed(list, kA, {sent(7, 41000, 12 * kSecond), sent(7, 41000, 14 * kSecond)});
    feed(list, kB, {packet(41000, 10 * kSecond), sent(8, 41000, 13 * kSecond)});
    list.settle();
    return list.size();
  };
  CHECK(told("", "") == 3);
  CHECK(told("2.5", "") == 2);
  CHECK(told("2s", "4") == 2);
  CHECK(told("@13", "") == 2);
  CHECK(told("1970-01-01T00:00:13Z", "@13.5") == 1);
  CHECK(told("5", "") == 0);
  EventsOptions options;
  options.until = "tomorrow";
  auto wrong = EventList::create(options);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().text().find("--until: 'tomorrow' is not a time") != std::string::npos);
}

TEST_CASE("flags and states in words, in JSON as numbers") {
  auto tcp = record(MAGNET_TCP_RECV, 7, 3, 10);
  tcp.ext.tcp.flags = 18;
  tcp.ext.tcp.ca_state = 3;
  auto list = list_of({});
  feed(list, kA, {tcp, packet(41000, 4)});
  feed_sample(list, kA, 7, 5);
  const std::string text = all(list);
  CHECK(text.find("\tflags=S.\t") != std::string::npos);
  CHECK(text.find("\tca_state=Recovery\t") != std::string::npos);
  CHECK(text.find("\tflags=none\t") != std::string::npos);
  CHECK(text.find("TCP_INFO\t0\tstate=0\tca_state=Open\t") != std::string::npos);
  EventsOptions options;
  options.json = true;
  auto json = list_of(options);
  feed(json, kA, {tcp});
  const auto line = nlohmann::json::parse(all(json));
  CHECK(line["ext"]["flags"] == 18);
  CHECK(line["ext"]["ca_state"] == 3);
}

TEST_CASE("A clock that was set back on one CPU does not put later records in front") {
  auto list = list_of({});
  feed(list, kA, {sent(7, 41000, 5 * kSecond), sent(7, 41000, 2 * kSecond)});
  feed(list, kB, {sent(8, 41001, 3 * kSecond)});
  const std::string text = all(list);
  CHECK(text.find(":02.0") < text.find(":03.0"));
  CHECK(text.find(":03.0") < text.find(":05.0"));
}

TEST_CASE("what a host lost is said, and text of others does not act on the terminal") {
  auto list = list_of({});
  feed(list, kA, {sent(7, 41000, 1)});
  CHECK(list.missing().size() == 0);
  name_host(list, kA, "a\x1b[2J");
  CHECK(list.missing() == std::vector<std::string>{"host a?[2J gave no counts of this run yet"});
  feed_document(list, FL_FRAME_FINAL_COUNTS,
                {{"role", "host"},
                 {"sensor", "a"},
                 {"session", kA.hex()},
                 {"events", {{"lost", 42}, {"missed", 0}, {"dropped_spool", 1234}}}});
  CHECK(list.missing() ==
        std::vector<std::string>{"host a did not record everything: dropped_spool 1,234, lost 42"});
}

TEST_CASE("batches of a later version and damaged ones are counted, the rest is shown") {
  auto list = list_of({});
  feed(list, kA, {sent(7, 41000, 1)});
  Bytes junk(200, 0xff);
  list.take({FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 1, session_of(9), junk});
  list.take({FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 1, session_of(9), {}});
  CHECK(list.unreadable() == 2);
  list.settle();
  CHECK(list.size() == 1);
}

TEST_CASE("--json: a head, then one document a record") {
  EventsOptions options;
  options.json = true;
  auto list = list_of(options);
  name_host(list, kA, "a");
  feed(list, kA, {sent(7, 41000, 1)});
  auto head = nlohmann::json::parse(list.head());
  CHECK(head["schema"] == "fieldline.events/1");
  CHECK(head["hosts"][0]["host"] == "a");
  auto line = nlohmann::json::parse(all(list));
  CHECK(line["event"] == "SOCK_SEND");
  CHECK(line["size"] == 1000);
  CHECK(line["ext"]["local_port"] == 41000);
}
