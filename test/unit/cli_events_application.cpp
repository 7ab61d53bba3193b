// SPDX-License-Identifier: Apache-2.0
// Applications' events in `fieldline events`.
#include "cli_result.h"

#include <nlohmann/json.hpp>

#include "cli/events.h"
#include "proto/frame.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
const RunId kRun = RunId::parse("000102030405060708090a0b0c0d0e0f").value();

ApplicationEvent said(std::string_view name, std::uint64_t at_ns) {
  ApplicationEvent event;
  event.timestamp_ns = at_ns;
  event.sockid = 7;
  event.pid = 10;
  event.tid = 11;
  event.name = name;
  event.host = "a";
  event.program = "xfer";
  return event;
}

void feed(EventList& list, const ApplicationEvent& event) {
  const Bytes body = encode(event).value();
  list.take({FL_FRAME_APPLICATION_EVENT, FL_ENCODING_BINARY, 1, kRun, body});
}

void feed_send(EventList& list, std::uint64_t at_ns) {
  magnet_record_ext record{};
  record.head = {7, at_ns, MAGNET_SOCK_SEND, 1000};
  EventBodyWriter writer(FL_EVENT_EBPF, sizeof record, 0, kRun);
  writer.add(view_of(record));
  list.take({FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 2, kRun, writer.end()});
}

std::string shown(const EventsOptions& options) {
  auto made = EventList::create(options);
  REQUIRE(made);
  EventList list = std::move(*made);
  auto start = said("xfer.read.start", 3 * kSecond);
  start.pairs = {{"bytes", "131072"}, {"file", "a b \"c\""}, {"bytes", "1"}};
  feed(list, start);
  auto elsewhere = said("other", kSecond);
  elsewhere.host = "b";
  elsewhere.sockid = 8;
  elsewhere.level = FL_APPLICATION_ERROR;
  feed(list, elsewhere);
  feed_send(list, 2 * kSecond);
  list.settle();
  std::string text;
  list.print([&](const std::string& line) {
    text += line;
    return true;
  });
  return text;
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("what an application said stands among the sockets' records in the order of time") {
  const std::string text = shown({});
  REQUIRE(lines(text) == 3);
  const auto other = text.find(
                 "8\t1970-01-01T00:00:01.000000000Z\t0\tother\t0\tlayer=app\t"
                 "level=Error\tprogram=xfer\tpid=10\ttid=11\thost=b\n"),
             send = text.find("SOCK_SEND"), start = text.find("xfer.read.start");
  CHECK(other == 0);
  CHECK(other < send);
  CHECK(send < start);
  CHECK(text.find("\ttid=11\tbytes=131072\tfile=a b \"c\"\tbytes=1\thost=a\n") !=
        std::string::npos);
}

TEST_CASE("applications' events are asked for by layer, pattern, host, socket and time") {
  auto only = [](const EventsOptions& options) { return shown(options); };
  CHECK(lines(only({.events = {"app"}})) == 2);
  CHECK(lines(only({.events = {"xfer.*"}})) == 1);
  CHECK(lines(only({.events = {"*er"}})) == 1);
  CHECK(lines(only({.events = {"xfer.*", "SOCK_SEND"}})) == 2);
  CHECK(lines(only({.events = {"SOCK_SEND"}})) == 1);
  CHECK(lines(only({.sockid = 8})) == 1);
  CHECK(lines(only({.since = "2"})) == 1);
  CHECK(lines(only({.host = "b"})) == 1);
  CHECK_FALSE(EventList::create({.events = {"nonsense"}}));
}

TEST_CASE("NetLogger's form has quotes where a value needs them, and applications' events alone") {
  const std::string text = shown({.bp = true});
  CHECK(text ==
        "ts=1970-01-01T00:00:01.000000000Z event=other level=Error host=b prog=xfer pid=10 tid=11 "
        "sockid=8\n"
        "ts=1970-01-01T00:00:03.000000000Z event=xfer.read.start level=Info host=a prog=xfer "
        "pid=10 tid=11 sockid=7 bytes=131072 file=\"a b \\\"c\\\"\" bytes=1\n");
}

TEST_CASE("an application's event as JSON keeps its pairs' order") {
  const std::string text = shown({.events = {"xfer.read.start"}, .json = true});
  const auto document = nlohmann::json::parse(text);
  CHECK(document["layer"] == "app");
  CHECK(document["event"] == "xfer.read.start");
  CHECK(document["level"] == "Info");
  CHECK(document["utc_ns"] == 3 * kSecond);
  CHECK(document["sockid"] == 7);
  CHECK(document["pairs"] ==
        nlohmann::json::parse(R"([["bytes","131072"],["file","a b \"c\""],["bytes","1"]])"));
}

TEST_CASE("what an application lost is said, and damage is counted") {
  auto made = EventList::create({});
  REQUIRE(made);
  EventList list = std::move(*made);
  auto off = said("fieldline.off", kSecond);
  off.pairs = {{"written", "12"}, {"dropped", "0"}};
  feed(list, off);
  CHECK(list.missing().empty());
  off.pairs = {{"written", "12"}, {"dropped", "3"}};
  feed(list, off);
  REQUIRE(list.missing().size() == 1);
  CHECK(list.missing().front() == "application xfer of host a, pid 10, lost events: dropped 3");
  Bytes later = encode(off).value();
  later[1] = 9;
  list.take({FL_FRAME_APPLICATION_EVENT, FL_ENCODING_BINARY, 1, kRun, later});
  CHECK(list.unreadable() == 1);
}
