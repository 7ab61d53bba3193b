// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include <catch2/catch.hpp>

#include "analysis/senders.h"
#include "analysis/why.h"

using namespace fieldline;
using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kMs = 1'000'000, kStart = 1'000'000 * kMs;
constexpr std::uint64_t kCookie = 7;

struct State {
  std::uint32_t in_flight = 0, unsent = 0, window = 100'000, cwnd = 100, ack = 1000;
  std::uint8_t ca_state = 0;
};

magnet_record_ext record(std::uint64_t ms, std::uint32_t event, std::int32_t size) {
  magnet_record_ext record{};
  record.head.sockid = kCookie;
  record.head.timestamp = kStart + ms * kMs;
  record.head.event = event;
  record.head.size = size;
  return record;
}

magnet_record_ext tcp(std::uint64_t ms, const State& state, std::uint32_t event = MAGNET_TCP_RECV) {
  magnet_record_ext one = record(ms, event, 0);
  one.ext.tcp.local_port = 41000;
  one.ext.tcp.peer_port = 5201;
  one.ext.tcp.in_flight = state.in_flight;
  one.ext.tcp.wqueue = state.unsent;
  one.ext.tcp.snd_wnd = state.window;
  one.ext.tcp.cwnd = state.cwnd;
  one.ext.tcp.ca_state = state.ca_state;
  one.ext.tcp.srtt_us = 20'000;
  one.ext.tcp.ack = state.ack;
  one.ext.tcp.flags = 16;
  return one;
}

magnet_record_ext write(std::uint64_t ms, std::int32_t size, std::uint32_t end,
                        std::uint32_t unacked, std::uint32_t buffer = 1'000'000) {
  magnet_record_ext one = record(ms, MAGNET_SOCK_SEND, size);
  one.ext.sock.protocol = IPPROTO_TCP;
  one.ext.sock.local_port = 41000;
  one.ext.sock.peer_port = 5201;
  one.ext.sock.seq = end;
  one.ext.sock.wqueue = unacked;
  one.ext.sock.sndbuf = buffer;
  return one;
}

LimitTimes times_of(const SendState& state) {
  LimitTimes all;
  for (const LimitBin& bin : state.series().bins()) all.add(bin.times);
  return all;
}

std::uint64_t ms_of(const SendState& state, Limit limit) {
  return times_of(state)[limit] / kMs;
}

SendState fed(const std::vector<magnet_record_ext>& records) {
  SendState state(100 * kMs);
  for (const auto& one : records) state.see(one);
  state.finish();
  return state;
}

fl_tcp_info sample(std::uint64_t ms, const State& state) {
  fl_tcp_info info{};
  info.sockid = kCookie;
  info.timestamp = kStart + ms * kMs;
  info.mss = 1448;
  info.unacked = state.in_flight / 1448;
  info.notsent = state.unsent;
  info.snd_wnd = state.window;
  info.cwnd = state.cwnd;
  info.pacing_rate = UINT64_MAX;
  info.rtt_us = 20'000;
  return info;
}

}  // namespace

TEST_CASE("the time before a record of TCP is that of the state which it shows") {
  const std::uint32_t window = 100'000, full = 99'000, mss = 1448;
  auto waited = [&](State state) { return fed({tcp(0, {}), tcp(50, state)}); };
  CHECK(ms_of(waited({full, 5000, window, 1000}), Limit::receive_window) == 50);
  CHECK(ms_of(waited({20 * mss, 5000, window, 20}), Limit::cwnd) == 50);
  CHECK(ms_of(waited({20 * mss, 5000, window, 20, 1000, 3}), Limit::loss) == 50);
  CHECK(ms_of(waited({20 * mss, 5000, window, 1000}), Limit::own_host) == 50);
  CHECK(ms_of(waited({20 * mss, 700, window, 1000}), Limit::application) == 50);  // Nagle's
  CHECK(ms_of(waited({20 * mss, 0, window, 1000}), Limit::application) == 50);
  CHECK(ms_of(waited({0, 5000, 0, 1000}), Limit::receiver) == 50);
}

TEST_CASE("a window that a loss has cut is told from one that is growing") {
  const State limited{20 * 1448, 5000, 100'000, 20};
  State recovering = limited;
  recovering.ca_state = 3;
  const SendState state =
      fed({tcp(0, limited), tcp(50, limited), tcp(60, recovering), tcp(90, limited)});
  CHECK(ms_of(state, Limit::cwnd) == 50);
  CHECK(ms_of(state, Limit::loss) == 10);
  CHECK(ms_of(state, Limit::cwnd_cut) == 30);
  CHECK(state.facts().recoveries == 1);
}

TEST_CASE("a window that ECN has cut is cut, though nothing was lost") {
  const State limited{20 * 1448, 5000, 100'000, 20};
  State reduced = limited;
  reduced.ca_state = 2;
  const SendState state = fed(
      {tcp(0, limited), tcp(50, limited), tcp(60, reduced), tcp(70, reduced), tcp(90, limited)});
  CHECK(ms_of(state, Limit::cwnd) == 50);
  CHECK(ms_of(state, Limit::cwnd_cut) == 40);
  CHECK(state.facts().reductions == 1);
  CHECK(state.facts().recoveries == 0);
}

TEST_CASE("nothing to send for a second is idle, for less the application's") {
  const State quiet{0, 0, 100'000, 20, 6000};
  CHECK(ms_of(fed({tcp(0, quiet), write(900, 5000, 11'000, 5000)}), Limit::application) == 900);
  const SendState state =
      fed({tcp(0, quiet), tcp(600, quiet), write(1200, 5000, 11'000, 5000), tcp(1220, {5000, 0})});
  CHECK(ms_of(state, Limit::idle) == 1200);
  CHECK(ms_of(state, Limit::application) == 20);
}

TEST_CASE("a writer that waits for room is told from one that does not write") {
  SECTION("send() said so") {
    const SendState state =
        fed({tcp(0, {}), write(0, 5000, 6000, 5000), write(1, -EAGAIN, 6000, 5000),
             tcp(21, {5000, 0, 100'000, 20, 6000})});
    CHECK(ms_of(state, Limit::send_buffer) == 20);
  }
  SECTION("a call goes on that has written past what calls have returned for") {
    const SendState state =
        fed({tcp(0, {}), write(0, 5000, 6000, 5000), tcp(10, {20'000, 0, 100'000, 20, 3000}),
             tcp(30, {20'000, 0, 100'000, 20, 9000})});
    CHECK(ms_of(state, Limit::send_buffer) >= 20);
  }
  SECTION("the buffer is full, and an acknowledgement lets the call return") {
    const SendState state = fed({tcp(0, {}), write(0, 60'000, 61'000, 60'000, 64'000),
                                 tcp(20, {60'000, 0, 100'000, 100, 61'000}),
                                 write(21, 60'000, 121'000, 60'000, 64'000)});
    CHECK(ms_of(state, Limit::send_buffer) == 21);
  }
  SECTION("the buffer is full, and the application writes when it likes") {
    const SendState state = fed({tcp(0, {}), write(0, 60'000, 61'000, 60'000, 64'000),
                                 tcp(20, {60'000, 0, 100'000, 100, 61'000}),
                                 write(80, 60'000, 121'000, 60'000, 64'000)});
    CHECK(ms_of(state, Limit::send_buffer) == 0);
    CHECK(ms_of(state, Limit::application) == 80);
  }
}

TEST_CASE("what the kernel counted of a full send buffer is believed where records do not tell") {
  SendState state(100 * kMs);
  const State starved{5 * 1448, 0};
  state.see(sample(0, starved));
  fl_tcp_info later = sample(100, starved);
  later.sndbuf_limited_us = 60'000;
  state.see(later);
  state.finish();
  CHECK(ms_of(state, Limit::send_buffer) == 60);
  CHECK(ms_of(state, Limit::application) == 40);
}

TEST_CASE("a rate below what the window gives is pacing") {
  SendState state(100 * kMs);
  fl_tcp_info first = sample(0, {10 * 1448, 50'000});
  first.pacing_rate = 500'000;  // of 100 segments in 20 ms
  state.see(first);
  state.see(tcp(30, {10 * 1448, 50'000}));
  state.finish();
  CHECK(ms_of(state, Limit::pacing) == 30);
}

TEST_CASE("what was written as TCP_SEND begins did not wait before it") {
  // As the module shows a write: unsent, and its segment about to go.
  const State empty{0, 0, 100'000, 20, 6000};
  magnet_record_ext send = tcp(4000, {0, 5000, 100'000, 20}, MAGNET_TCP_SEND);
  send.head.size = 5000;
  send.ext.tcp.seq = 6000;
  const SendState state = fed({tcp(0, empty), send, tcp(4020, {5000, 0, 100'000, 20, 11'000})});
  CHECK(ms_of(state, Limit::own_host) == 0);
  CHECK(ms_of(state, Limit::idle) == 4000);
}

TEST_CASE("an application that waits for an answer does not wait for its send buffer") {
  // The answer carries an acknowledgement of what had been acknowledged long before.
  const SendState state =
      fed({tcp(0, {}), write(0, 60'000, 61'000, 60'000, 87'040),
           tcp(20, {60'000, 0, 100'000, 100, 61'000}), tcp(500, {0, 0, 100'000, 100, 61'000}),
           write(501, 60'000, 121'000, 60'000, 87'040)});
  CHECK(ms_of(state, Limit::send_buffer) == 0);
  CHECK(ms_of(state, Limit::application) == 501);
}

TEST_CASE("a call that returns with its last bytes and then writes again waits for its buffer") {
  // Each call ends with 376 bytes for which there was no room, and the next fills what is free.
  std::vector<magnet_record_ext> records{tcp(0, {}), write(1, 65'536, 66'536, 376, 32'768)};
  std::uint32_t end = 66'536;
  for (std::uint64_t ms = 20; ms < 2000; ms += 20) {
    records.push_back(tcp(ms, {65'536, 0, 1'000'000, 500, end}));
    end += 65'536;
    records.push_back(tcp(ms, {65'160, 0, 1'000'000, 500, end - 376}));
    records.push_back(write(ms + 1, 65'536, end, 376, 32'768));
  }
  CHECK(ms_of(fed(records), Limit::send_buffer) >= 1850);
}

TEST_CASE("a single call that writes for long waits for its buffer") {
  std::vector<magnet_record_ext> records{tcp(0, {0, 0, 100'000, 20, 1000})};
  for (std::uint32_t i = 0; i < 100; ++i)
    records.push_back(tcp(20 + i * 20, {20'000, 0, 100'000, 40, 1000 + i * 20'000}));
  CHECK(ms_of(fed(records), Limit::send_buffer) >= 1900);
}

TEST_CASE("a SYN that was lost was not idle") {
  magnet_record_ext first = tcp(0, {}, MAGNET_TCP_SEND), again = tcp(1000, {}, MAGNET_TCP_RETRANS);
  first.ext.tcp.flags = again.ext.tcp.flags = 2;
  const SendState state = fed({first, again, tcp(1020, {})});
  CHECK(ms_of(state, Limit::loss) == 1000);
  CHECK(ms_of(state, Limit::unknown) == 20);
  CHECK(state.facts().retransmitted == 1);
}

TEST_CASE("a window that closes between two samples is the receiver's") {
  SendState state(100 * kMs);
  state.see(sample(0, {20 * 1448, 50'000, 100'000, 200}));
  state.see(tcp(20, {10 * 1448, 50'000, 100'000, 200}));
  state.see(sample(200, {0, 50'000, 0, 200}));
  state.finish();
  CHECK(ms_of(state, Limit::receiver) == 180);
}

TEST_CASE("a tail that is sent again after a timeout was waited for as lost") {
  const State tail{5000, 0, 100'000, 20, 1000};
  SendState state(100 * kMs);
  state.see(tcp(0, tail));
  for (std::uint64_t ms = 100; ms < 900; ms += 100) state.see(sample(ms, tail));
  State lost = tail;
  lost.ca_state = 4;
  state.see(tcp(900, lost, MAGNET_TCP_RETRANS));
  state.finish();
  CHECK(ms_of(state, Limit::loss) >= 800);
}

TEST_CASE("a window whose cut was taken back is not cut") {
  auto limited = [](std::uint64_t ms, std::uint8_t ca_state, std::uint32_t ssthresh) {
    magnet_record_ext one = tcp(ms, {20 * 1448, 500'000, 10'000'000, 20, 1000, ca_state});
    one.ext.tcp.ssthresh = ssthresh;
    return one;
  };
  const SendState state = fed({limited(0, 0, 0x7fffffff), limited(10, 3, 10), limited(30, 0, 10),
                               limited(130, 0, 0x7fffffff), limited(230, 0, 0x7fffffff)});
  CHECK(ms_of(state, Limit::cwnd_cut) == 20);
  CHECK(ms_of(state, Limit::cwnd) == 200);
}

TEST_CASE("records of any time are shown, and hostile ones keep nobody else's out") {
  Senders senders(100 * kMs);
  std::uint8_t number = 0;
  for (const auto& times : {std::vector<std::uint64_t>{1, UINT64_MAX - 1, kStart, kStart + kMs},
                            {std::uint64_t{1} << 40, std::uint64_t{1} << 62, UINT64_MAX >> 1},
                            {2'000'000'000, UINT64_MAX - 2'000'000'000}}) {
    RunId session;
    session.bytes[0] = ++number;
    for (const std::uint64_t time : times) {
      magnet_record_ext one = tcp(0, {20 * 1448, 5000, 100'000, 20}), call = write(0, 9, 2000, 9);
      one.head.timestamp = call.head.timestamp = time;
      senders.take(session, one);
      senders.take(session, call);
    }
  }
  PathReport path;
  path.events = senders.finish();
  const WhyReport report = judge_waiting(std::move(path));
  CHECK(report.flows.size() == 3);
  CHECK(to_table(report).find("LIMITED BY") != std::string::npos);
  CHECK(report.path.events.hosts.at(0).late == 4);
  CHECK(report.path.events.hosts.at(0).records == 8);
}

TEST_CASE("a loss that is said to have begun after its end takes no time") {
  SendState state(100 * kMs);
  state.see(tcp(0, {20 * 1448, 5000, 100'000, 20}));
  state.lose(UINT64_MAX, kStart + 20 * kMs);
  state.see(tcp(80, {20 * 1448, 5000, 100'000, 20}));
  state.finish();
  CHECK(times_of(state).sum() == 80 * kMs);
}

TEST_CASE("time whose records were lost is unknown") {
  SendState state(100 * kMs);
  state.see(tcp(0, {20 * 1448, 5000, 100'000, 20}));
  state.see(tcp(10, {20 * 1448, 5000, 100'000, 20}));
  state.lose(kStart + 20 * kMs, kStart + 70 * kMs);
  state.see(tcp(80, {20 * 1448, 5000, 100'000, 20}));
  state.finish();
  CHECK(ms_of(state, Limit::unknown) == 50);
  CHECK(ms_of(state, Limit::cwnd) == 30);
}

TEST_CASE("whatever the records say, the shares add to the time between the first and the last") {
  for (std::uint32_t seed = 1; seed <= 100; ++seed) {
    std::mt19937_64 random(seed);
    SendState state(100 * kMs);
    std::uint64_t ns = kStart;
    for (int i = 0; i < 300; ++i) {
      ns += random() % (seed % 10 == 0 ? std::uint64_t{1} << 40 : 40 * kMs);
      magnet_record_ext one{};
      for (auto& byte : one.ext.bytes) byte = static_cast<std::uint8_t>(random());
      const std::uint32_t events[] = {MAGNET_TCP_SEND, MAGNET_TCP_RECV, MAGNET_TCP_RETRANS,
                                      MAGNET_SOCK_SEND, MAGNET_SOCK_RECV};
      one.head.event = events[random() % 5];
      one.head.size = static_cast<std::int32_t>(random() % 70'000) - 100;
      one.head.timestamp = ns;
      fl_tcp_info info{};
      if (random() % 4 == 0) {
        auto* words = reinterpret_cast<std::uint32_t*>(&info);
        std::generate(words, words + sizeof info / sizeof *words,
                      [&] { return static_cast<std::uint32_t>(random()); });
        info.timestamp = ns;
        state.see(info);
      } else {
        state.see(one);
      }
    }
    state.finish();
    CHECK(times_of(state).sum() == state.facts().last_ns - state.facts().first_ns);
    CHECK(state.series().bins().size() <= 4096);
  }
}

TEST_CASE("records of several CPUs come in any order within two seconds") {
  RunId session;
  session.bytes[0] = 1;
  std::vector<magnet_record_ext> records;
  for (std::uint64_t i = 0; i < 400; ++i) {
    records.push_back(
        tcp(i * 5, {static_cast<std::uint32_t>(i % 3) * 20 * 1448, 5000, 100'000, 20}));
  }
  Senders ordered(100 * kMs), mixed(100 * kMs);
  for (const auto& one : records) ordered.take(session, one);
  std::shuffle(records.begin() + 100, records.begin() + 400, std::mt19937(1));
  for (const auto& one : records) mixed.take(session, one);
  const EventSockets a = ordered.finish(), b = mixed.finish();
  REQUIRE(a.sockets.size() == 1);
  REQUIRE(b.sockets.size() == 1);
  CHECK(b.hosts[0].late == 0);
  for (std::size_t at = 0; at < kLimits; ++at) {
    const auto limit = static_cast<Limit>(at);
    CHECK(times_of(a.sockets[0].sending)[limit] == times_of(b.sockets[0].sending)[limit]);
  }
  mixed.take(session, tcp(60'000, {}));
  mixed.take(session, tcp(70'000, {}));
  mixed.take(session, tcp(10, {}));
  CHECK(mixed.finish().hosts[0].late == 1);
}

TEST_CASE("bins of any time stay few, and nothing of them is lost") {
  TimeBins<LimitBin> series(kMs);
  std::mt19937_64 random(1);
  std::uint64_t sum = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t from = random() >> (random() % 60), length = random() % kMs;
    if (from > UINT64_MAX - length) continue;
    add_time(series, from, from + length, Limit::loss);
    sum += length;
  }
  std::uint64_t kept = 0;
  for (const LimitBin& bin : series.bins()) kept += bin.times[Limit::loss];
  CHECK(kept == sum);
  CHECK(series.bins().size() <= 4096);
  CHECK(std::is_sorted(series.bins().begin(), series.bins().end(),
                       [](const auto& a, const auto& b) { return a.from_ns < b.from_ns; }));
}
