// SPDX-License-Identifier: Apache-2.0
// Cut, flipped and random frames against a second parser: the same verdict for each, and every sum
// holds.
#include <linux/pkt_cls.h>

#include <catch2/catch.hpp>
#include <random>

#include "bench.h"
#include "oracle.h"
#include "packets.h"
#include "proto/trigger.h"

namespace fieldline {
namespace {

using namespace packets;

std::vector<Bytes> specimens() {
  Bytes trigger = filler(FL_TRIGGER_MIN);
  std::memcpy(trigger.data(), FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  return {
      ethernet(kIpv4, ipv4({.options = Bytes(8, 1)}, tcp({.options = Bytes(12, 1)}, filler(40)))),
      ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, filler(40)))),
      ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, trigger))),
      ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, trigger))),
      ethernet(kIpv6, ipv6({}, tcp({.options = Bytes(20, 1)}, filler(40)))),
      ethernet(kIpv6, ipv6({.next = 0}, extension(60, 1) + extension(43) + extension(44) +
                                            fragment(51, 1, 9) + authentication(kTcp) +
                                            tcp({}, filler(9)))),
      ethernet(kQinq, tagged(kVlan, tagged(kIpv4, ipv4({}, tcp({}, filler(9)))))),
      ethernet(kMpls, labelled(16, false, labelled(17, true, ipv6({}, tcp({}, filler(9)))))),
      ethernet(kVlan,
               tagged(kMpls, labelled(3, true, ipv4({.protocol = kUdp}, udp({}, filler(20)))))),
      ethernet(kIpv4, ipv4({.protocol = kSctp}, sctp(5000, 6000, filler(40)))),
      ethernet(kIpv6, ipv6({.next = kEsp}, esp(0x12345678, filler(40)))),
      ethernet(kIpv6, ipv6({.next = kIcmpV6}, icmp(129, trigger))),
  };
}

// Runs frames past classifier and oracle, with an entry that matches everything.
class Duel {
 public:
  explicit Duel(source::Hook hook = source::Hook::xdp)
      : bench_(hook == source::Hook::xdp
                   ? Bench::Setup{}
                   : Bench::Setup{.traits = {.action = static_cast<std::uint32_t>(TC_ACT_UNSPEC)},
                                  .hook = hook}) {
    bench_.apply({entry({}, fl_flow_key{}, 0)});
  }

  void run(const Bytes& frame) {
    const auto expected = oracle::read(frame);
    bench_.run(frame);
    const auto now = bench_.port();
    const auto headers = bench_.lifted();
    triggers_ += bench_.triggers().size();
    require_port_sums(now, triggers_);
    CAPTURE(to_hex(frame), static_cast<int>(expected.reason));
    require_one_more(expected.reason, now);
    if (expected.fragmented) bench_.forget_fragments();
    if (expected.reason == FL_PARSED && now.triggers == before_.triggers) {
      REQUIRE(headers.size() == 1);
      REQUIRE(headers[0].lift.digest == oracle::digest(expected.digest_input));
      REQUIRE(headers[0].lift.cap_len ==
              std::min<std::size_t>(expected.header_end, FL_SNAPLEN_MAX));
    } else {
      REQUIRE(headers.empty());
    }
    before_ = now;
  }
  const fl_port_counters& counters() const { return before_; }
  Bench& bench() { return bench_; }

 private:
  void require_one_more(fl_unparsed reason, const fl_port_counters& now) const {
    auto grew = [&](__u64 fl_port_counters::*counter) { return now.*counter - before_.*counter; };
    REQUIRE(grew(&fl_port_counters::packets) == 1);
#define GREW(constant, counter) REQUIRE(grew(&fl_port_counters::counter) == (reason == constant));
    FL_UNPARSED(GREW)
#undef GREW
    REQUIRE(grew(&fl_port_counters::lifted) + grew(&fl_port_counters::triggers) ==
            (reason == FL_PARSED));
  }

  Bench bench_;
  fl_port_counters before_{};
  std::uint64_t triggers_ = 0;
};

}  // namespace

TEST_CASE("Frames cut at every byte are counted and read no further, by XDP as by tc") {
  const auto hook = GENERATE(source::Hook::xdp, source::Hook::tc);
  Duel duel(hook);
  for (const auto& whole : specimens()) {
    // The kernel makes no skb of less than a link and a network header.
    for (std::size_t size = hook == source::Hook::xdp ? 14 : 54; size <= whole.size(); ++size) {
      duel.run(Bytes(whole.begin(), whole.begin() + static_cast<long>(size)));
    }
  }
  CHECK(duel.counters().ip_truncated > 0);
  CHECK(duel.counters().triggers == 3);
}

TEST_CASE("Datagrams cut at every byte, with lengths that agree, are read to their own end") {
  Duel duel;
  for (const auto& whole : specimens()) {
    const bool v6 = whole[12] == 0x86;
    if (!v6 && whole[12] != 0x08) continue;  // the length stands elsewhere behind tags
    for (std::size_t size = v6 ? 54 : 34; size <= whole.size(); ++size) {
      Bytes frame(whole.begin(), whole.begin() + static_cast<long>(size));
      const std::size_t length = v6 ? size - 54 : size - 14;
      frame[v6 ? 18 : 16] = static_cast<std::uint8_t>(length >> 8);
      frame[v6 ? 19 : 17] = static_cast<std::uint8_t>(length);
      duel.run(frame);
    }
  }
  CHECK(duel.counters().transport_truncated > 0);
}

TEST_CASE("Where a driver's first buffer ends changes nothing") {
  Bench bench;
  bench.apply({entry({}, fl_flow_key{}, 0)});
  if (!bench.run_split(specimens()[0], 14)) {
    WARN("not tried: this kernel cannot split a test frame at will (Linux 6.18 can)");
    return;
  }
  bench.lifted();
  std::uint64_t triggers = 0;
  for (const auto& frame : specimens()) {
    const auto expected = oracle::read(frame);
    for (std::uint32_t linear = 14; linear < std::min<std::size_t>(frame.size(), 200); ++linear) {
      REQUIRE(bench.run_split(frame, linear));
      const auto headers = bench.lifted();
      const auto lifted_triggers = bench.triggers();
      triggers += lifted_triggers.size();
      CAPTURE(to_hex(frame), linear);
      REQUIRE(headers.size() + lifted_triggers.size() == 1);
      if (headers.empty()) continue;
      REQUIRE(headers[0].lift.digest == oracle::digest(expected.digest_input));
      REQUIRE(headers[0].frame ==
              Bytes(frame.begin(), frame.begin() + static_cast<long>(expected.header_end)));
    }
  }
  CHECK(triggers > 0);
  require_port_sums(bench.port(), triggers);
}

TEST_CASE("100,000 flipped and random frames: each verdict is the second parser's and sums hold") {
  Duel duel;
  std::mt19937 random(20261121);
  const auto seeds = specimens();
  auto below = [&](std::size_t n) { return random() % n; };
  for (int i = 0; i < 100'000; ++i) {
    Bytes frame = seeds[below(seeds.size())];
    if (i % 8 == 0) {
      frame.resize(14 + below(200));
      for (std::size_t k = i % 16 ? 14 : 0; k < frame.size(); ++k)
        frame[k] = static_cast<std::uint8_t>(random());
    } else {
      // Most flips go into the headers, where they decide something.
      for (std::size_t flips = 1 + below(4); flips > 0; --flips) {
        frame[12 + below(std::min<std::size_t>(frame.size() - 12, 100))] ^=
            static_cast<std::uint8_t>(1u << below(8));
      }
    }
    duel.run(frame);
  }
  require_flow_sums(duel.bench().flow(0));
  CHECK(duel.counters().packets == 100'000);
  CHECK(duel.bench().flow(0).packets == duel.counters().matched);
}

TEST_CASE("Records that are not of our form are refused by the reader") {
  fl_lift lift{};
  lift.cap_len = 4;
  lift.hits = 1;
  Bytes record;
  append_struct(record, lift);
  record.resize(record.size() + 8);
  REQUIRE(source::parse_lift(record).has_value());
  CHECK(source::parse_lift(record)->second.size() == 4);
  for (std::size_t size = 0; size < sizeof lift + 4; ++size) {
    CHECK(source::parse_lift(ByteView(record).first(size)).has_error());
  }
  for (unsigned hits : {0u, FL_MASKS_MAX + 1u, 255u}) {
    record[29] = static_cast<std::uint8_t>(hits);
    CHECK(source::parse_lift(record).has_error());
  }
  fl_trigger_lift trigger{};
  trigger.len = 10;
  Bytes body;
  append_struct(body, trigger);
  CHECK(source::parse_trigger_lift(body).has_error());
  body.resize(body.size() + 10);
  CHECK(source::parse_trigger_lift(body).has_value());
  body.resize(body.size() + 1);
  CHECK(source::parse_trigger_lift(body).has_error());
}

}  // namespace fieldline
