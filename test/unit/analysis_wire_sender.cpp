// SPDX-License-Identifier: Apache-2.0
// What senders waited for, by headers alone.
#include <random>

#include <catch2/catch.hpp>

#include "analysis/wire_sender.h"

using namespace fieldline;
using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kMs = 1'000'000, kStart = 1'000'000 * kMs;
constexpr std::uint32_t kMss = 1000;

// A sends, B acknowledges, both seen beside A.
class Tap {
 public:
  void handshake(std::uint8_t scale = 7) {
    send(0, 999, 0, kSyn, scale);
    acknowledge(20, 1000, 60'000, kSyn | kAck, scale);
    acknowledge(20, 1000, 500);
  }
  void send(std::uint64_t ms, std::uint32_t sequence, std::uint32_t payload,
            std::uint8_t flags = kAck, std::uint8_t scale = kNoWindowScale) {
    const Sighting one = make(false, ms, sequence, 1, payload, flags, 500, scale);
    senders.see(one, sendings.see(one.seen));
  }
  void acknowledge(std::uint64_t ms, std::uint32_t ack, std::uint16_t window = 500,
                   std::uint8_t flags = kAck, std::uint8_t scale = kNoWindowScale) {
    const Sighting one = make(true, ms, 1, ack, 0, flags, window, scale);
    senders.see_ack(one, sendings.see_ack(one));
  }
  std::uint64_t ms_of(Limit limit) const {
    LimitTimes all;
    for (const WireWaiting& waiting : senders.finish()) {
      for (const LimitBin& bin : waiting.series.bins()) all.add(bin.times);
    }
    return all[limit] / kMs;
  }

  FlowTable flows;
  Retransmissions sendings{flows, false};
  WireSenders senders{flows, false, 100 * kMs};

 private:
  Sighting make(bool reverse, std::uint64_t ms, std::uint32_t sequence, std::uint32_t ack,
                std::uint32_t payload, std::uint8_t flags, std::uint16_t window,
                std::uint8_t scale) {
    PacketInfo packet;
    packet.network = packet.transport = true;
    packet.protocol = kTcp;
    (reverse ? packet.dst : packet.src).bytes[15] = 1;
    (reverse ? packet.src : packet.dst).bytes[15] = 2;
    (reverse ? packet.dport : packet.sport) = 40'000;
    (reverse ? packet.sport : packet.dport) = 5201;
    packet.payload = payload;
    packet.ip_id = ++id_;
    packet.tcp.sequence = sequence;
    packet.tcp.ack = ack;
    packet.tcp.flags = flags;
    packet.tcp.window = window;
    packet.tcp.window_scale = scale;
    return sighting_of(packet, flows.number(packet, reverse), id_, kStart + ms * kMs);
  }
  std::uint16_t id_ = 0;
};

}  // namespace

TEST_CASE("by headers, a full window is the receiver's") {
  Tap tap;
  tap.handshake();
  tap.send(100, 1000, kMss);
  tap.acknowledge(120, 2000, 8);  // of 128 bytes: 1,024
  tap.send(121, 2000, kMss);
  tap.acknowledge(141, 3000, 8);
  CHECK(tap.ms_of(Limit::receiver) == 20);  // far below the first one
  CHECK(tap.senders.finish().at(0).facts.window_max == 64'000);
}

TEST_CASE("by headers, the scale of a window is not guessed") {
  Tap tap;
  tap.send(100, 1000, kMss);
  tap.acknowledge(120, 2000, 1);
  tap.send(121, 2000, kMss);
  tap.acknowledge(141, 3000, 1);
  CHECK(tap.ms_of(Limit::receiver) + tap.ms_of(Limit::receive_window) == 0);
  CHECK(tap.ms_of(Limit::sender) > 0);
  CHECK(tap.senders.finish().at(0).facts.window_max == 0);
}

TEST_CASE("by headers, what is waited for with data under way is the sender's own business") {
  Tap tap;
  tap.handshake();
  for (std::uint32_t i = 0; i < 10; ++i) {
    tap.send(100 + i * 20, 1000 + i * kMss, kMss);
    tap.acknowledge(120 + i * 20, 2000 + i * kMss);
  }
  CHECK(tap.ms_of(Limit::sender) == 200);
  CHECK(tap.ms_of(Limit::application) == 80);  // from the handshake to the first
}

TEST_CASE("by headers, a wait that ends by sending again was for what was lost") {
  Tap tap;
  tap.handshake();
  tap.send(100, 1000, kMss);
  tap.acknowledge(120, 2000);
  tap.send(120, 2000, kMss);
  tap.send(420, 2000, kMss);
  tap.acknowledge(440, 3000);
  tap.send(2440, 3000, kMss);
  CHECK(tap.ms_of(Limit::loss) == 320);
  CHECK(tap.ms_of(Limit::idle) == 2000);
  CHECK(tap.senders.finish().at(0).facts.retransmitted == 1);
}

TEST_CASE("by headers, what did not come by here and is acknowledged fills no window") {
  Tap tap;
  tap.handshake();
  tap.send(100, 1000, kMss);
  tap.acknowledge(120, 9000);  // 7,000 bytes more than was seen
  tap.send(520, 9000, kMss);
  CHECK(tap.ms_of(Limit::receiver) + tap.ms_of(Limit::receive_window) == 0);
}

TEST_CASE("by headers, a small window with nothing under way holds nobody back") {
  Tap tap;
  tap.handshake();
  tap.send(100, 1000, kMss);
  tap.acknowledge(120, 2000, 4);
  tap.send(900, 2000, kMss / 4);
  CHECK(tap.ms_of(Limit::receiver) == 0);
}

TEST_CASE("by headers, shares add to the time between first and last whatever comes") {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    const auto number = [&] { return static_cast<std::uint32_t>(random()); };
    Tap tap;
    if (seed % 2) tap.handshake();
    std::uint64_t ms = 30;
    for (int i = 0; i < 500; ++i) {
      ms += random() % 60;
      if (random() % 2) {
        tap.send(ms, number(), number() % kMss, static_cast<std::uint8_t>(random() % 32));
      } else {
        tap.acknowledge(ms, number(), static_cast<std::uint16_t>(random()),
                        static_cast<std::uint8_t>(random() % 32));
      }
    }
    for (const WireWaiting& waiting : tap.senders.finish()) {
      LimitTimes all;
      for (const LimitBin& bin : waiting.series.bins()) all.add(bin.times);
      CHECK(all.sum() == waiting.facts.last_ns - waiting.facts.first_ns);
    }
  }
}
