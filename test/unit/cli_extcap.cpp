// SPDX-License-Identifier: Apache-2.0
// Runs as Wireshark's extcap protocol names them.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cli/extcap.h"
#include "cli/watch.h"

using namespace fieldline::cli;
using nlohmann::json;

namespace {

json run(const std::string& id, std::uint64_t ended_ns, const std::string& principal = "ops") {
  json grant = {{"protocol", 6},
                {"host_a", "10.0.0.1"},
                {"host_b", "10.0.3.2"},
                {"pairs", json::array({json::array({0, 5201})})}};
  return {{"run", id},
          {"started_ns", 1'763'766'660'000'000'000},
          {"ended_ns", ended_ns},
          {"principal", principal},
          {"grant", grant}};
}

const std::string kOver = "00112233445566778899aabbccddeeff";

}  // namespace

TEST_CASE("runs that are on stand first") {
  const std::string on = "aa112233445566778899aabbccddeeff";
  const std::string text = extcap_interfaces({{"runs", {run(kOver, 5), run(on, 0)}}});
  CHECK(text ==
        "interface {value=fieldline-aa112233}{display=Fieldline run, on: "
        "tcp 10.0.0.1 - 10.0.3.2:5201, by ops, 2025-11-21T23:11:00Z}\n"
        "interface {value=fieldline-00112233}{display=Fieldline run, over: "
        "tcp 10.0.0.1 - 10.0.3.2:5201, by ops, 2025-11-21T23:11:00Z}\n");
}

TEST_CASE("runs are told apart however alike their ids begin, and names break no sentence") {
  const std::string twin = "00112233445599998899aabbccddeeff";
  const std::string text = extcap_interfaces({{"runs", {run(kOver, 0, "a{b}\nc"), run(twin, 0)}}});
  CHECK(text.find("{value=fieldline-0011223344556}") != std::string::npos);
  CHECK(text.find("{value=fieldline-0011223344559}") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '{') == 4);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}

TEST_CASE("what is no list of runs gives no interface") {
  CHECK(extcap_interfaces({{"runs", 7}}).empty());
  CHECK(extcap_interfaces({{"runs", {{{"run", "../../etc"}}, 3}}}).empty());
  CHECK(extcap_interfaces(json()).empty());
}

TEST_CASE("a capture filter is a flow") {
  CHECK(extcap_filter_fault("").empty());
  CHECK(extcap_filter_fault("tcp:5201").empty());
  CHECK_FALSE(extcap_filter_fault("port 5201").empty());
}

TEST_CASE("how long a packet may wait") {
  CHECK(parse_wait("250ms").value() == 250'000'000);
  CHECK(parse_wait("0").value() == 0);
  CHECK(parse_wait("0ms").value() == 0);
  CHECK_FALSE(parse_wait("61s").has_value());
  CHECK_FALSE(parse_wait("soon").has_value());
  CHECK_FALSE(parse_wait("").has_value());
}
