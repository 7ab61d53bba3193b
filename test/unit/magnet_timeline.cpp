// SPDX-License-Identifier: Apache-2.0
#include "magnet/timeline.h"

#include <catch2/catch.hpp>
#include <limits>

#include "magnet/accounting.h"
#include "magnet/fields.h"
#include "magnet/names.h"

namespace fieldline::magnet {

namespace {
constexpr std::uint64_t kUtc = 1'763'766'697'000'000'000;
constexpr std::uint64_t kLeap = 37'000'000'000;

ClockPair pair_at(std::uint64_t cycles, std::uint64_t after_ns, std::uint32_t error = 100) {
  return {cycles, kUtc + kLeap + after_ns, kUtc + after_ns, error};
}
}  // namespace

TEST_CASE("timeline: even between two pairs, by the nominal rate outside of them") {
  Timeline timeline(1'000'000);  // 1 GHz: a cycle a nanosecond
  timeline.add(0, pair_at(1'000'000, 0));
  timeline.add(0, pair_at(2'000'000, 1'000'400));  // 400 ppm slow: what lies between is stretched
  CHECK(timeline.at(0, 1'000'000).utc_ns == kUtc);
  CHECK(timeline.at(0, 1'500'000).utc_ns == kUtc + 500'200);
  CHECK(timeline.at(0, 1'500'000).tai_ns == kUtc + kLeap + 500'200);
  CHECK(timeline.at(0, 2'000'000).utc_ns == kUtc + 1'000'400);
  CHECK(timeline.at(0, 2'001'000).utc_ns == kUtc + 1'001'400);
  CHECK(timeline.at(0, 999'000).utc_ns == kUtc - 1'000);
}

TEST_CASE("timeline: the nearest pairs of a CPU, and another's where it has none") {
  Timeline timeline(1'000'000);
  timeline.add(0, pair_at(1'000, 0));
  timeline.add(0, pair_at(2'000, 1'000));
  timeline.add(1, pair_at(1'500, 900'000));  // a counter of its own
  CHECK(timeline.at(0, 1'600).utc_ns == kUtc + 600);
  CHECK(timeline.at(1, 1'600).utc_ns == kUtc + 900'100);
  CHECK(timeline.at(7, 1'990).utc_ns == kUtc + 990);
  CHECK(Timeline(1'000).at(0, 5).utc_ns == 0);
}

TEST_CASE("timeline: a clock that was set is not smeared over the records") {
  Timeline timeline(1'000'000);
  timeline.add(0, pair_at(0, 0));
  timeline.add(0, {10'000'000, kUtc + kLeap + 10'000'000, kUtc + 3'600'000'000'000, 100});
  CHECK(timeline.at(0, 1'000'000).utc_ns == kUtc + 1'000'000);
  CHECK(timeline.at(0, 9'000'000).utc_ns == kUtc + 3'600'000'000'000 - 1'000'000);
  // Back, too.
  timeline.add(0, pair_at(20'000'000, 20'000'000));
  CHECK(timeline.at(0, 19'000'000).utc_ns == kUtc + 19'000'000);
}

TEST_CASE("timeline: no value of a counter overflows") {
  Timeline timeline(1);
  timeline.add(0, pair_at(std::uint64_t{1} << 63, 0));
  timeline.add(0, pair_at((std::uint64_t{1} << 63) + 5, 5'000'000));
  for (std::uint64_t cycles : {std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max()})
    (void)timeline.at(0, cycles);
  CHECK(timeline.at(0, 0).utc_ns == 0);
  // A pair that goes back is passed over.
  timeline.add(0, pair_at(5, 4'000'000));
  CHECK(timeline.at(0, (std::uint64_t{1} << 63) + 5).utc_ns == kUtc + 5'000'000);
}

TEST_CASE("timeline: a counter that begins anew has the times of its new pairs") {
  Timeline timeline(1'000'000);
  timeline.add(0, pair_at(5'000'000'000, 0));
  timeline.add(0, pair_at(1'000, 9'000'000'000));
  timeline.add(0, pair_at(2'000, 9'000'001'000));
  CHECK(timeline.at(0, 1'500).utc_ns == kUtc + 9'000'000'500);
}

TEST_CASE("names: each event has one, and what people type finds it") {
  std::uint32_t last = 0;
  for (const auto& event : event_names()) {
    CHECK(event.code > last);
    last = event.code;
    CHECK(event_name(event.code) == event.name);
    CHECK(event_code(event.name) == event.code);
    CHECK(event_code(std::string("MAGNET_") + event.name) == event.code);
    const bool layered = event.code >= 0x100;
    CHECK(layer_of(event.code).has_value() == layered);
  }
  CHECK(event_code("tcp-send") == std::uint32_t{MAGNET_TCP_SEND});
  CHECK(event_name(0x8001) == "0x8001");
  CHECK(event_code("0x8001") == 0x8001u);
  CHECK_FALSE(event_code("0x80z1").has_value());
  CHECK_FALSE(event_code("TCP").has_value());
  CHECK(layer_number("tcp") == unsigned{MAGNET_LAYER_TCP});
  CHECK_FALSE(layer_of(0x8102).has_value());
}

TEST_CASE("fields: each layout's members lie in the extension and do not overlap") {
  for (std::uint32_t event : {0x1u, 0x2u, 0x101u, 0x102u, 0x201u, 0x301u, 0x8001u}) {
    std::uint64_t taken = 0;
    for (const auto& field : fields_of(layout_of(event))) {
      REQUIRE(field.offset + field.size <= sizeof(magnet_ext));
      for (unsigned i = field.offset; i < unsigned{field.offset} + field.size; ++i) {
        CHECK((taken & std::uint64_t{1} << i) == 0);
        taken |= std::uint64_t{1} << i;
      }
    }
  }
  magnet_ext ext{};
  ext.open.local[10] = ext.open.local[11] = 0xff;
  ext.open.local[12] = 10;
  ext.open.local[15] = 2;
  ext.open.local_port = 5201;
  CHECK(text_at(ext, fields_of(Layout::open)[0]) == "10.0.0.2");
  CHECK(text_at(ext, fields_of(Layout::open)[1]) == "5201");
  CHECK(text_at(ext, fields_of(Layout::others)[0]).starts_with("00000000"));
}

TEST_CASE("/proc/net/magnet: hooks, rings, and what nothing gives") {
  const char* text =
      "version 0.1.0\nabi 1\nclock tsc 2400000 kHz\nring_kb 256\nlayers sock,tcp\ndev all\n"
      "hook sock-open,sock-close tracepoint inet_sock_set_state armed missed 0\n"
      "hook sock-send tracepoint sock_send_length absent missed 0\n"
      "hook sock-send kretprobe inet_sendmsg armed missed 4\n"
      "hook tcp-retrans kprobe __tcp_retransmit_skb absent missed 0\n"
      "hook dev-send tracepoint net_dev_start_xmit off missed 0\n"
      "hook short\narmed 1\nmissed 4\n"
      "cpu 0 recorded 18446744073709551615 lost 7 high_water 12 open 1 and 3\n";
  const auto state = parse_module_state(text);
  REQUIRE(state.has_value());
  CHECK(state->version == "0.1.0");
  CHECK(state->missed() == 4);
  CHECK_FALSE(state->unstable);
  CHECK(parse_module_state("version 1\nclock tsc 2400000 kHz unstable\n")->unstable);
  CHECK(state->absent() == std::vector<std::string>{"TCP_RETRANS", "DEV_SEND"});
  REQUIRE(state->rings.size() == 1);
  CHECK(state->rings[0].recorded == std::numeric_limits<std::uint64_t>::max());
  CHECK(state->rings[0].lost == 7);
  CHECK_FALSE(parse_module_state("").has_value());
  CHECK(read_module_state("/nowhere").error().text().find("modprobe magnet") != std::string::npos);
}

}  // namespace fieldline::magnet
