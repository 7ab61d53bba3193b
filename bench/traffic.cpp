// SPDX-License-Identifier: Apache-2.0
// TCP flows as several vantage points see them, without a network: one direction of data that one
// section loses some of, and the acknowledgements of it.
//   traffic write FOLDER POINTS FLOWS PACKETS   one pcap a point, headers alone
//   traffic feed POINTS FLOWS PACKETS           into the analysis: packets a second, peak memory
#include <sys/resource.h>
#include <sys/time.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "analysis/path.h"
#include "proto/frame.h"

namespace {

using namespace fieldline;

constexpr std::uint64_t kStart = 1'700'000'000'000'000'000, kStepNs = 10'000, kHopNs = 2'000'000;
constexpr std::uint64_t kAgainNs = 40'000'000;
constexpr std::uint32_t kPayload = 1448, kLossIn = 1009;
constexpr std::size_t kHeaders = 66;

struct Seen {
  std::uint64_t time;
  std::uint32_t point;
  bool reverse;
  std::uint32_t flow, sequence, ack, payload, tsval;
  std::uint16_t ip_id;
};

void put16(std::uint8_t* at, std::uint32_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
void put32(std::uint8_t* at, std::uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

void frame_of(const Seen& seen, std::uint8_t* frame) {
  std::memset(frame, 0, kHeaders);
  put16(frame + 12, 0x0800);
  std::uint8_t* ip = frame + 14;
  ip[0] = 0x45;
  put16(ip + 2, 52 + seen.payload);
  put16(ip + 4, seen.ip_id);
  put16(ip + 6, 0x4000);
  ip[8] = static_cast<std::uint8_t>(64 - (seen.reverse ? 8 - seen.point : seen.point));
  ip[9] = 6;
  put32(ip + 12, seen.reverse ? 0x0a000002 : 0x0a000001);
  put32(ip + 16, seen.reverse ? 0x0a000001 : 0x0a000002);
  std::uint8_t* tcp = ip + 20;
  const std::uint32_t port = 1024 + seen.flow;
  put16(tcp, seen.reverse ? 5201 : port);
  put16(tcp + 2, seen.reverse ? port : 5201);
  put32(tcp + 4, seen.sequence);
  put32(tcp + 8, seen.ack);
  tcp[12] = 8 << 4;
  tcp[13] = 0x10;
  put16(tcp + 14, 1000);
  tcp[20] = tcp[21] = 1;
  tcp[22] = 8;
  tcp[23] = 10;
  put32(tcp + 24, seen.tsval);
}

// Every point's records in order of time; `take` gets each.
class Traffic {
 public:
  Traffic(std::uint32_t points, std::uint32_t flows) : points_(points), flows_(flows) {}

  void run(std::uint64_t packets, const std::function<void(const Seen&)>& take) {
    for (std::uint64_t i = 0; i < packets; ++i) {
      const std::uint64_t now = kStart + i * kStepNs;
      const auto flow = static_cast<std::uint32_t>(i % flows_.size());
      const std::uint32_t sequence = flows_[flow].next;
      flows_[flow].next += kPayload;
      send(now, flow, sequence, i % kLossIn == kLossIn - 1);
      drain(now, take);
    }
    drain(UINT64_MAX, take);
  }
  std::uint64_t records() const { return records_; }

 private:
  struct Flow {
    std::uint32_t next = 1;
    std::uint16_t ip_id = 1;
  };
  struct Later {
    bool operator()(const Seen& a, const Seen& b) const { return a.time > b.time; }
  };

  void send(std::uint64_t now, std::uint32_t flow, std::uint32_t sequence, bool loses) {
    const auto tsval = static_cast<std::uint32_t>(now / 1'000'000);
    const std::uint16_t id = flows_[flow].ip_id++;
    for (std::uint32_t point = 0; point < points_; ++point) {
      if (loses && point > 0) break;
      queue_.push({now + point * kHopNs, point, false, flow, sequence, 1, kPayload, tsval, id});
    }
    if (loses) return send(now + kAgainNs, flow, sequence, false);
    for (std::uint32_t back = 0; back < points_ && sequence % 2; ++back) {
      const std::uint32_t point = points_ - 1 - back;
      queue_.push({now + (points_ + back) * kHopNs, point, true, flow, 1, sequence + kPayload, 0,
                   tsval, id});
    }
  }
  void drain(std::uint64_t until, const std::function<void(const Seen&)>& take) {
    while (!queue_.empty() && queue_.top().time <= until) {
      take(queue_.top());
      queue_.pop();
      ++records_;
    }
  }

  std::uint32_t points_;
  std::vector<Flow> flows_;
  std::priority_queue<Seen, std::vector<Seen>, Later> queue_;
  std::uint64_t records_ = 0;
};

void write_captures(const std::string& folder, std::uint32_t points, std::uint32_t flows,
                    std::uint64_t packets) {
  std::vector<std::FILE*> files;
  for (std::uint32_t point = 0; point < points; ++point) {
    files.push_back(std::fopen(fmt::format("{}/p{}.pcap", folder, point + 1).c_str(), "wb"));
    if (!files.back()) std::exit((std::perror(folder.c_str()), 1));
    const std::uint32_t head[6] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 262'144, 1};
    std::fwrite(head, sizeof(head), 1, files.back());
  }
  Traffic traffic(points, flows);
  traffic.run(packets, [&](const Seen& seen) {
    std::uint8_t frame[kHeaders];
    frame_of(seen, frame);
    const std::uint32_t head[4] = {static_cast<std::uint32_t>(seen.time / 1'000'000'000),
                                   static_cast<std::uint32_t>(seen.time % 1'000'000'000), kHeaders,
                                   static_cast<std::uint32_t>(kHeaders) + seen.payload};
    std::fwrite(head, sizeof(head), 1, files[seen.point]);
    std::fwrite(frame, kHeaders, 1, files[seen.point]);
  });
  for (std::FILE* file : files) {
    if (std::fclose(file) != 0) std::exit((std::perror(folder.c_str()), 1));
  }
  fmt::print("records {}\n", traffic.records());
}

std::uint64_t mixed(std::uint64_t value) {  // splitmix64: a digest as good as random
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

void feed(std::uint32_t points, std::uint32_t flows, std::uint64_t packets) {
  const auto analyzer = analysis::PathAnalyzer::create();
  (void)analyzer->feed(pcapng::Section{"fieldline", "{}"});
  for (std::uint32_t point = 0; point < points; ++point) {
    pcapng::Interface interface;
    interface.comment = fmt::format(
        R"({{"run":"{:032x}","sensor":"s{}","domain":"d","port":0,"session":"{:032x}"}})", 1,
        point + 1, point + 1);
    (void)analyzer->feed(interface);
  }
  Traffic traffic(points, flows);
  std::vector<std::uint64_t> numbers(points);
  std::size_t held = 0;
  double in_analysis = 0;
  traffic.run(packets, [&](const Seen& seen) {
    std::uint8_t frame[kHeaders];
    frame_of(seen, frame);
    fl_chunk_packet meta{};
    meta.digest = mixed(mixed(std::uint64_t{seen.flow} << 33 | std::uint64_t{seen.reverse} << 32 |
                              (seen.reverse ? seen.ack : seen.sequence)) ^
                        seen.tsval);
    meta.flags = seen.reverse ? FL_RECORD_REVERSE : 0;
    pcapng::Packet packet;
    packet.interface = seen.point;
    packet.timestamp_ns = seen.time;
    packet.wire_len = static_cast<std::uint32_t>(kHeaders) + seen.payload;
    packet.data = ByteView(frame, kHeaders);
    packet.sequence = ++numbers[seen.point];
    packet.meta = meta;
    const auto begin = std::chrono::steady_clock::now();
    (void)analyzer->feed(packet);
    in_analysis += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    held = std::max(held, analyzer->held());
  });
  const auto report = analyzer->report();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("records {} lost {} records_per_s {:.0f} held {} peak_mb {}\n", traffic.records(),
             report.forward.sections.at(1).lost.value_or(0),
             static_cast<double>(traffic.records()) / in_analysis, held, usage.ru_maxrss / 1024);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const int first = mode == "write" ? 3 : 2;
  if ((mode != "write" && mode != "feed") || argc != first + 3) {
    std::fprintf(stderr, "traffic write FOLDER POINTS FLOWS PACKETS | feed POINTS FLOWS PACKETS\n");
    return 2;
  }
  const auto number = [&](int at) { return std::strtoull(argv[first + at], nullptr, 10); };
  const auto points = static_cast<std::uint32_t>(number(0)),
             flows = static_cast<std::uint32_t>(number(1));
  if (points < 2 || points > 7 || flows < 1 || flows > 60'000) {
    std::fprintf(stderr, "traffic: 2 to 7 points, 1 to 60,000 flows\n");
    return 2;
  }
  if (mode == "write") {
    write_captures(argv[2], points, flows, number(2));
  } else {
    feed(points, flows, number(2));
  }
  return 0;
}
