// SPDX-License-Identifier: Apache-2.0
#include "cli_result.h"

#include <netinet/in.h>

#include <algorithm>

#include "cli/live_table.h"
#include "cli/path.h"
#include "cli/runs.h"
#include "cli/status.h"
#include "cli/text.h"

using namespace fieldline;
using namespace fieldline::cli;
using nlohmann::json;

namespace {

const RunId kRun = *RunId::parse("7f3a9c00000000000000000000000001");

WatchEvent activation(const std::string& sensor, const std::string& event,
                      json more = json::object()) {
  json document = {{"schema", "fieldline.activation/1"},
                   {"event", event},
                   {"sensor", sensor},
                   {"run", kRun.hex()},
                   {"principal", "ops"},
                   {"grant", {{"pairs", {{1, 2}, {3, 4}}}}}};
  document.update(more);
  return {WatchEvent::Kind::activation, kRun, document, {}};
}
WatchEvent counts(const std::string& sensor, bool final) {
  return {WatchEvent::Kind::counts, kRun, {{"sensor", sensor}, {"final", final}}, {}};
}

analysis::Point point(const std::string& name, std::uint64_t seen) {
  analysis::Point made;
  made.name = made.sensor = name;
  made.domain = "site-" + name.substr(0, 1);
  made.seen = made.recorded = seen;
  return made;
}

analysis::Section section(int upstream, std::optional<std::uint64_t> lost, std::int64_t p50_ns) {
  analysis::Section made;
  made.upstream = upstream;
  made.downstream = upstream + 1;
  made.lost = lost;
  if (p50_ns > 0) made.delay = {100, p50_ns / 2, p50_ns, p50_ns * 2};
  return made;
}

// a1 - b2 - c3 with 16 lost before b2; the answers avoid b2.
analysis::PathReport report() {
  analysis::PathReport made;
  made.run = kRun;
  made.forward.points = {point("a1", 462'100), point("b2", 462'084), point("c3", 462'084)};
  made.forward.sections = {section(-1, 0, 0), section(0, 16, 110'000), section(1, 0, 23'900'000),
                           section(2, std::nullopt, 0)};
  made.forward.sections.back().downstream = -1;
  made.reverse.points = {point("c3", 118'200), point("a1", 118'200)};
  made.reverse.sections = {section(-1, 0, 0), section(0, 0, 0), section(1, 0, 0)};
  analysis::LostPacket lost;
  lost.timestamp_ns = 1'500'000'000;
  lost.protocol = IPPROTO_TCP;
  lost.sport = 43122;
  lost.dport = 5201;
  lost.sequence = 88301443;
  lost.payload = 1448;
  made.forward.sections[1].lost_packets = {lost};
  return made;
}

}  // namespace

TEST_CASE("The live table has a line a sensor, in path order, with its losses and delays") {
  Board board;
  board.add_run(kRun, true);
  for (const char* sensor : {"a1", "b2", "c3"})
    CHECK(board.take(activation(sensor, "started")) == sensor);
  board.take(activation("metro", "refused",
                        {{"reason", "denied"}, {"rule", "rule 12"}, {"detail", "at most 10 min"}}));
  board.take(
      {WatchEvent::Kind::configuration, kRun, {{"sensor", "metro"}, {"domain", "transit"}}, {}});
  RunView view{kRun, IPPROTO_TCP, 2, report(), board.run(kRun)};
  CHECK(render_run(view, board) ==
        "#  SENSOR  DOMAIN   FLOWS  ->PKTS  LOST  <-ACKS  +p50ms  +p99ms  STATE\n"
        "1  a1      site-a   2/2    462.1k     -  118.2k       -       -  ok\n"
        "2  b2      site-b   2/2    462.1k    16       0    0.11    0.22  ok, data only, no "
        "answers here\n"
        "3  c3      site-c   2/2    462.1k     0  118.2k   23.90   47.80  ok\n"
        "4  metro   transit  refused: denied: at most 10 min (rule 12)\n");
}

TEST_CASE("The live table shows sensors that saw nothing yet, and says when there is none") {
  Board board;
  board.add_run(kRun, true);
  CHECK(render_run({kRun, IPPROTO_UDP, 1, {}, board.run(kRun)}, board) ==
        "no sensor has answered yet\n");
  board.take(activation("s1", "started", {{"clamped", {"duration 2 h to 10 min"}}}));
  CHECK(render_run({kRun, IPPROTO_UDP, 2, {}, board.run(kRun)}, board) ==
        "#  SENSOR  DOMAIN  FLOWS  ->PKTS  LOST  <-PKTS  +p50ms  +p99ms  STATE\n"
        "1  s1      -       2/2         0     -       0       -       -  ok, clamped duration 2 h "
        "to 10 min\n");
}

TEST_CASE("The board knows who confirmed, who refused and who still owes counts") {
  Board board;
  board.add_run(kRun, true);
  CHECK(board.all_final());
  CHECK(board.take(activation("s1", "started")) == "s1");
  CHECK(board.take(activation("s1", "renewed")).empty());
  board.take(activation("s2", "refused", {{"reason", "denied"}}));
  board.take(
      activation("s1", "refused", {{"reason", "expired"}}));  // one pulse of a run that is on
  CHECK(board.activated() == std::set<std::string>{"s1"});
  CHECK(board.refused() == std::set<std::string>{"s2"});
  CHECK(board.confirmed({kRun}) == std::set<std::string>{"s1"});
  board.take(counts("s1", false));
  CHECK_FALSE(board.all_final());
  CHECK(board.without_final_counts() == std::vector<std::string>{"s1 (run 7f3a9c)"});
  board.take(activation("s1", "ended", {{"reason", "pulse"}}));
  board.take(counts("s1", true));
  CHECK(board.all_final());
  CHECK(board.without_final_counts().empty());

  RunId second = *RunId::parse("00000000000000000000000000000002");
  board.add_run(second, true);
  CHECK(board.confirmed({kRun, second}).empty());
}

TEST_CASE("A sensor whose stream went on in another session owes the counts of both") {
  auto started = [](const char* session, const char* continues) {
    json document = {{"event", "started"}, {"sensor", "s1"}, {"session", session}};
    if (*continues != 0) document["continues"] = continues;
    return WatchEvent{WatchEvent::Kind::activation, kRun, document, {}};
  };
  auto final_counts = [](const char* session) {
    return WatchEvent{WatchEvent::Kind::counts,
                      kRun,
                      {{"sensor", "s1"}, {"session", session}, {"final", true}},
                      {}};
  };
  Board backlog_last, backlog_first, killed;
  for (Board* board : {&backlog_last, &backlog_first, &killed}) {
    board->add_run(kRun, true);
    board->take(started("a", ""));
  }
  backlog_last.take(started("b", "a"));
  backlog_last.take(final_counts("b"));
  CHECK_FALSE(backlog_last.all_final());
  backlog_last.take(final_counts("a"));
  CHECK(backlog_last.all_final());

  backlog_first.take(final_counts("a"));
  backlog_first.take(started("b", "a"));
  CHECK_FALSE(backlog_first.all_final());
  backlog_first.take(final_counts("b"));
  CHECK(backlog_first.all_final());

  // A session that died owes them for ever, and nobody waits for it.
  killed.take(started("b", ""));
  killed.take(final_counts("b"));
  CHECK(killed.all_final());
}

TEST_CASE("Reports of any shape do not break the board") {
  Board board;
  board.add_run(kRun, true);
  for (const char* text :
       {"[]", "null", "7", "{}", R"({"event":7,"sensor":[]})", R"({"event":"started","sensor":{}})",
        R"({"event":"started","sensor":"s","grant":[],"clamped":[1,{}],"reason":null})",
        R"({"sensor":"x","final":"yes"})", "{\"event\":\"refused\",\"sensor\":\"a\\u001b[2J\"}"}) {
    for (auto kind : {WatchEvent::Kind::activation, WatchEvent::Kind::counts,
                      WatchEvent::Kind::configuration}) {
      board.take({kind, kRun, json::parse(text), {}});
    }
  }
  board.take({WatchEvent::Kind::activation, RunId{}, json::object(), {}});
  std::string table = render_run({kRun, IPPROTO_TCP, 1, {}, board.run(kRun)}, board);
  CHECK(table.find('\x1b') == std::string::npos);
}

TEST_CASE("Lost packets are listed with where they were seen last") {
  CHECK(render_lost(report()) ==
        "LAST SEEN                       PROTO  SPORT  DPORT       SEQ   LEN  IPID  SECTION\n"
        "1970-01-01T00:00:01.500000000Z  tcp    43122   5201  88301443  1448     0  -> a1 - b2\n");
  CHECK_THAT(render_lost({}), Catch::Contains("no packet was lost"));
}

TEST_CASE("Runs are a table with their flow and state") {
  json answer = {{"runs",
                  {{{"run", kRun.hex()},
                    {"principal", "ops@site-a"},
                    {"started_ns", 1'000'000'000},
                    {"ended_ns", 61'000'000'000},
                    {"records", 1840312},
                    {"events", 4713},
                    {"sensors", {"s1", "s2"}},
                    {"complete", true},
                    {"grant",
                     {{"protocol", 6},
                      {"host_a", "10.0.0.1"},
                      {"host_b", "10.0.3.2"},
                      {"pairs", {{0, 5201}}}}}}}}};
  CHECK(
      render_runs(answer) ==
      "RUN       PRINCIPAL   STARTED                FOR    RECORDS  EVENTS  SENSORS  STATE     "
      "FLOW\n"
      "7f3a9c00  ops@site-a  1970-01-01T00:00:01Z  60 s  1,840,312   4,713  s1,s2    complete  tcp "
      "10.0.0.1 - 10.0.3.2:5201\n");
  CHECK_THAT(render_runs(json::object()), Catch::Contains("fieldline ping"));
  CHECK_THAT(render_runs({{"runs", {{{"run", 7}, {"grant", "x"}, {"sensors", 3}}}}}),
             Catch::Contains("on"));
}

TEST_CASE("Status shows every refusal counter that is not zero, and all of them on request") {
  json answer = {{"archive", {{"records", 12}, {"gaps", 0}}},
                 {"sensors",
                  {{{"sensor", "s1"},
                    {"runs", 1},
                    {"flows", 2},
                    {"accepted", 5},
                    {"refused", {{"duplicate", 0}, {"bad_signature", 3}}},
                    {"ports",
                     {{{"port", 0},
                       {"interface", "fwd"},
                       {"counters", {{"packets", 7}, {"dropped_ring", 0}}}}}},
                    {"stream", {{"state", "connected"}, {"offered", 9}, {"dropped_spool", 0}}}}}}};
  CHECK(render_status(answer, false) ==
        "archive\n  records 12\n"
        "s1: 1 runs, 2 flows, 5 triggers accepted\n"
        "  port 0 fwd: 7 packets\n  refused bad_signature 3\n  stream: connected, offered 9\n");
  auto all = render_status(answer, true);
  CHECK_THAT(all, Catch::Contains("refused duplicate 0") && Catch::Contains("dropped_ring 0") &&
                      Catch::Contains("gaps 0"));
  CHECK_THAT(render_status(json::object(), false), Catch::Contains("no sensor"));
}

TEST_CASE("Numbers are short and exact where they fit") {
  CHECK(short_count(9'999) == "9,999");
  CHECK(short_count(10'000) == "10.0k");
  CHECK(short_count(999'960) == "1.0M");
  CHECK(short_count(UINT64_MAX) == "18446744.1T");
  CHECK(grouped(1'840'312) == "1,840,312");
  CHECK(grouped(12) == "12");
  CHECK(short_duration(500'000'000) == "0.5 s");
  CHECK(short_duration(90'000'000'000) == "90 s");
  CHECK(short_duration(5'400'000'000'000) == "90 min");
  CHECK(short_duration(9'000'000'000'000) == "2 h 30 min");
  CHECK(printable("a\x1b[31m\x80") == "a?[31m?");
}

TEST_CASE("Neither a message nor a JSON document of others moves the terminal's cursor") {
  CHECK(printable_lines("one\n\x1b]0;two\a\r\x7f\x9b") == "one\n?]0;two????");
  CHECK(printable("one\ntwo") == "one?two");
  json document = {{"sensor", "s\x1b[2J\x7f\xc2\x9b"}, {"owner", "\xff"}};
  std::string text = json_text(document, -1);
  CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  CHECK(json::parse(text)["sensor"] == document["sensor"]);
}

TEST_CASE("A sensor with control bytes in its name stands in the table once, with its state") {
  Board board;
  board.add_run(kRun, true);
  board.take(activation("s\x1b[1m", "started"));
  analysis::PathReport seen;
  seen.run = kRun;
  seen.forward.points = {point("s\x1b[1m", 12)};
  std::string table = render_run({kRun, IPPROTO_TCP, 2, seen, board.run(kRun)}, board);
  CHECK(table.find('\x1b') == std::string::npos);
  CHECK_THAT(table,
             Catch::Contains("1  s?[1m") && Catch::Contains("2/2") && !Catch::Contains("\n2  "));
}

TEST_CASE("A host stands in the live table with its events, and without packets") {
  Board board;
  board.add_run(kRun, true);
  board.take(activation("dtn1", "started", {{"role", "host"}}));
  board.take({WatchEvent::Kind::counts,
              kRun,
              {{"sensor", "dtn1"}, {"final", false}, {"events", {{"recorded", 4713}}}},
              {}});
  RunView view{kRun, IPPROTO_TCP, 2, {}, board.run(kRun)};
  CHECK(render_run(view, board) ==
        "#  SENSOR  DOMAIN  FLOWS  ->PKTS  LOST  <-ACKS  +p50ms  +p99ms  STATE\n"
        "1  dtn1    -       2/2         -     -       -       -       -  ok, 4,713 events of its "
        "sockets\n");
}

TEST_CASE("Status says where a host's events come from, and which it cannot give") {
  json host = {{"sensor", "dtn1"},
               {"role", "host"},
               {"ports", {{{"port", 0}, {"interface", "eth0"}, {"counters", {{"triggers", 3}}}}}},
               {"events",
                {{"source", "ebpf"},
                 {"why", "no /dev/magnet0"},
                 {"triggers_by", "tcx"},
                 {"absent", {"TCP_SEND", "IP_SEND"}},
                 {"recorded", 8065},
                 {"lost", 12}}}};
  const std::string text = render_status({{"archive", json::object()}, {"sensors", {host}}}, false);
  CHECK(text.find("  events: ebpf (no /dev/magnet0), recorded 8,065, lost 12; triggers by tcx\n"
                  "  events that are absent: TCP_SEND, IP_SEND\n"
                  "  port 0 eth0: watched for triggers, triggers 3\n") != std::string::npos);
}

TEST_CASE(
    "Status says that hooks are being armed, what was refused, and a long reason in one line") {
  const std::string why = "the module's devices: nobody has them\nlibbpf: " + std::string(900, 'x');
  json host = {{"sensor", "dtn1"},
               {"events",
                {{"source", "ebpf"},
                 {"state", "arming"},
                 {"why", why},
                 {"skipped", 41},
                 {"sockets_refused", 3}}}};
  const json answer = {{"archive", json::object()}, {"sensors", {host}}};
  const std::string text = render_status(answer, false);
  CHECK_THAT(text,
             Catch::Contains("  events: ebpf, arming (the module's devices: nobody has them"));
  CHECK_THAT(text, Catch::Contains("...; all of it: --json), skipped 41, sockets_refused 3\n"));
  const auto line = text.find("  events:");
  CHECK(text.find('\n', line) - line < 250);
}
