// SPDX-License-Identifier: Apache-2.0
// A small simulated network, A -> s1 -> .. -> sN -> B: a TCP sender and receiver with SACK and
// DSACK, links that drop, delay, reorder and duplicate as told, sensors with clocks of their own.
// It logs what it did, so that tests can compare a report with the truth.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "analysis/path.h"

namespace world {

using namespace fieldline;

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kStart = 1'700'000'000'000 * kMs;

RunId run_id();
std::string session_of(const std::string& sensor);

struct Wire {  // a packet under way
  bool reverse = false, again = false, udp = false;
  std::uint32_t sequence = 0, ack = 0, payload = 0;
  std::uint8_t flags = 0;
  std::uint16_t ip_id = 0;
  std::uint32_t tsval = 0;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> sacks;
  std::uint64_t number = 0;  // of the packets of its direction, from 1
};

struct Record {
  std::size_t sensor = 0;
  bool reverse = false;
  std::uint64_t time = 0, digest = 0;
  std::uint64_t number = 0;  // of the item in the session
  std::uint64_t sent = 0;    // Wire::number
  std::uint32_t wire_len = 0;
  std::uint16_t gso_size = 0, gso_segs = 0;
  Bytes frame;
};

struct Config {
  std::size_t sensors = 3;
  std::vector<std::string> names{"s1", "s2", "s3"};
  bool ipv6 = false, timestamps = true, ids = true;
  std::uint32_t segments = 400, mss = 1000, window = 20, isn = 1000, port = 40000;
  std::vector<std::uint64_t> delay_ns{1 * kMs, 10 * kMs, 5 * kMs,
                                      1 * kMs};  // per link, sensors + 1
  std::vector<std::int64_t> clock_ns{0, 0, 0};   // offsets
  std::vector<int> routers{1, 1, 1};             // TTL taken before each sensor
  std::uint64_t pace_ns = kMs / 2;
  // Link 0 is A - s1, link N is sN - B, in both directions.
  std::function<bool(std::size_t link, const Wire&)> drop = [](std::size_t, const Wire&) {
    return false;
  };
  std::function<std::uint64_t(std::size_t link, const Wire&)> hold = [](std::size_t, const Wire&) {
    return 0;
  };
  std::function<bool(std::size_t link, const Wire&)> copy = [](std::size_t, const Wire&) {
    return false;
  };
};

class World {
 public:
  explicit World(Config config);
  void run_tcp();
  void run_udp(std::uint32_t datagrams);

  struct Dropped {
    std::uint64_t digest;
    std::uint32_t sequence, payload;
    auto operator<=>(const Dropped&) const = default;
  };
  std::map<std::pair<std::size_t, bool>, std::vector<Dropped>> dropped;  // by link and reverse
  // Each sending of data from A, in order: the link that dropped it, kArrived if none did.
  static constexpr std::size_t kArrived = SIZE_MAX;
  struct Sending {
    std::uint32_t sequence = 0;
    std::size_t dropped_on = kArrived;
  };
  std::map<std::uint64_t, Sending> sendings;  // by Wire::number
  std::vector<Record> records;
  std::uint64_t spurious = 0;  // second copies that arrived
  std::uint64_t now() const { return now_; }
  const Config& config() const { return config_; }

 private:
  struct Event {
    std::uint64_t time, order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return std::tie(other.time, other.order) < std::tie(time, order);
    }
  };
  void at(std::uint64_t time, std::function<void()> what) {
    events_.push({time, order_++, std::move(what)});
  }
  void loop();
  void send(Wire wire);
  void travel(const Wire& wire, std::size_t link);
  void record(const Wire& wire, std::size_t sensor);
  void arrive(const Wire& wire);
  void receive(const Wire& wire);
  void acknowledge(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& duplicate);
  void acked(const Wire& wire);
  void pump();
  void transmit(std::uint32_t index, bool again);
  void watch(std::uint64_t progress);

  Config config_;
  std::priority_queue<Event> events_;
  std::uint64_t now_ = kStart, order_ = 0;
  std::vector<std::uint64_t> items_;
  std::uint64_t numbers_[2] = {0, 0};
  std::uint16_t ids_[2] = {65'500, 7};
  // Sender: segment i is bytes [isn + 1 + i * mss, + mss).
  struct Segment {
    bool sent = false, sacked = false, again = false;
  };
  std::vector<Segment> segments_;
  std::uint32_t una_ = 0, next_ = 0;  // indices
  std::uint64_t progress_ = 0, free_at_ = 0;
  // Receiver: indices of segments.
  std::set<std::uint32_t> got_;
  std::uint32_t expected_ = 0;
};

// Blocks as an archive would give them.
struct Feed {
  std::string domain = "site-a";
  bool started = true, finals = true;
  std::map<std::string, std::uint64_t> ring_drops;  // by sensor, forward
  std::map<std::string, std::uint64_t> lie;         // added to the final count's packets, forward
  std::map<std::string, unsigned> sample_bits;      // by sensor; 0 where none
  bool counted = false;                             // alone: no records

  bool keeps(const World& world, const Record& record) const;
};

// Interfaces of all sensors (two ports each: "up" sees forward, "down" reverse), then records in
// the order given, then reports.
void feed_interfaces(analysis::PathAnalyzer& analyzer, const World& world, const Feed& feed = {});
void feed_record(analysis::PathAnalyzer& analyzer, const Record& record, bool with_rank = true);
void feed_report(analysis::PathAnalyzer& analyzer, std::uint8_t type,
                 const nlohmann::json& document);
void feed_reports(analysis::PathAnalyzer& analyzer, const World& world, const Feed& feed = {});
analysis::PathReport report_of(const World& world, const Feed& feed = {},
                               const analysis::Limits& limits = {});

// Digests (or sequences, where there is no digest) of a section's lost packets, sorted.
std::vector<std::uint64_t> lost_digests(const analysis::Section& section);
std::vector<std::uint64_t> digests(std::vector<World::Dropped> dropped);
std::vector<std::pair<std::uint32_t, std::uint32_t>> lost_ranges(const analysis::Section& section);
std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges(
    const std::vector<World::Dropped>& dropped);
std::vector<std::string> names(const analysis::Direction& direction);

}  // namespace world
