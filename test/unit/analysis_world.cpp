// SPDX-License-Identifier: Apache-2.0
#include "analysis_world.h"

#include <algorithm>

#include "analysis/packet.h"
#include "proto/digest.h"
#include "proto/frame.h"

namespace world {
namespace {

void put16(Bytes& to, std::uint32_t value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}
void put32(Bytes& to, std::uint32_t value) {
  put16(to, value >> 16);
  put16(to, value & 0xffff);
}

Bytes transport_of(const Wire& wire, const Config& config) {
  Bytes out;
  const std::uint32_t a = config.port, b = 5201;
  put16(out, wire.reverse ? b : a);
  put16(out, wire.reverse ? a : b);
  if (wire.udp) {
    put16(out, wire.payload + 8);
    put16(out, 0);
    return out;
  }
  put32(out, wire.sequence);
  put32(out, wire.ack);
  Bytes options;
  if (config.timestamps) {
    options = {1, 1, 8, 10};
    put32(options, wire.tsval);
    put32(options, 1);
  }
  if (!wire.sacks.empty()) {
    options.insert(options.end(), {1, 1, 5, static_cast<std::uint8_t>(2 + 8 * wire.sacks.size())});
    for (const auto& [left, right] : wire.sacks) {
      put32(options, left);
      put32(options, right);
    }
  }
  out.push_back(static_cast<std::uint8_t>((20 + options.size()) / 4 << 4));
  out.push_back(wire.flags);
  put32(out, 0xffff0000);
  put16(out, 0);
  append(out, options);
  return out;
}

std::uint64_t digest_of(const Wire& wire, const Config& config, const Bytes& transport, bool ipv6) {
  fl_digest_input input{};
  input.src[15] = wire.reverse ? 2 : 1;
  input.dst[15] = wire.reverse ? 1 : 2;
  input.ip_length = static_cast<__be32>(transport.size() + wire.payload);
  input.ip_id = ipv6 || !config.ids ? 0 : wire.ip_id;
  input.protocol = wire.udp ? 17 : 6;
  input.transport_len = static_cast<__u8>(transport.size());
  std::copy(transport.begin(), transport.end(), input.transport);
  if (wire.udp) std::memcpy(input.payload, &wire.sequence, sizeof wire.sequence);
  return fl_digest_of_run(run_id().bytes.data(), fl_digest(&input));
}

Bytes frame_of(const Wire& wire, const Config& config, const Bytes& transport, std::uint8_t ttl) {
  Bytes out(12, 2);
  put16(out, config.ipv6 ? 0x86dd : 0x0800);
  const auto length = static_cast<std::uint32_t>(transport.size()) + wire.payload;
  const std::uint8_t protocol = wire.udp ? 17 : 6;
  Bytes a(config.ipv6 ? 16 : 4, 10), b = a;
  a.back() = wire.reverse ? 2 : 1;
  b.back() = wire.reverse ? 1 : 2;
  if (config.ipv6) {
    put32(out, 0x60000000);
    put16(out, length);
    out.push_back(protocol);
    out.push_back(ttl);
  } else {
    put16(out, 0x4500);
    put16(out, length + 20);
    put16(out, config.ids ? wire.ip_id : 0);
    put16(out, 0x4000);
    out.push_back(ttl);
    out.push_back(protocol);
    put16(out, 0);
  }
  append(out, a);
  append(out, b);
  append(out, transport);
  return out;
}

}  // namespace

RunId run_id() {
  RunId run;
  for (std::uint8_t i = 0; i < 16; ++i) run.bytes[i] = static_cast<std::uint8_t>(0x7f + i);
  return run;
}

std::string session_of(const std::string& sensor) {
  return std::string(30, 'e') +
         (sensor.size() == 2 ? sensor.substr(0, 0) + "0" + sensor.substr(1) : "ff");
}

World::World(Config config) : config_(std::move(config)), items_(config_.sensors, 0) {}

void World::loop() {
  while (!events_.empty()) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    event.run();
  }
}

void World::send(Wire wire) {
  wire.ip_id = ids_[wire.reverse]++;
  wire.tsval =
      static_cast<std::uint32_t>((now_ - kStart) / kMs) + (wire.reverse ? 5000 : UINT32_MAX - 50);
  wire.number = ++numbers_[wire.reverse];
  if (!wire.reverse && wire.payload > 0) sendings[wire.number] = {wire.sequence};
  travel(wire, wire.reverse ? config_.sensors : 0);
}

void World::travel(const Wire& wire, std::size_t link) {
  if (config_.drop(link, wire)) {
    const Bytes transport = transport_of(wire, config_);
    dropped[{link, wire.reverse}].push_back(
        {digest_of(wire, config_, transport, config_.ipv6), wire.sequence, wire.payload});
    if (!wire.reverse && wire.payload > 0) sendings[wire.number].dropped_on = link;
    return;
  }
  const auto arrival = now_ + config_.delay_ns[link] + config_.hold(link, wire);
  for (int copies = config_.copy(link, wire) ? 2 : 1; copies > 0; --copies) {
    at(arrival, [this, wire, link] {
      if (!wire.reverse && link < config_.sensors) {
        record(wire, link);
        travel(wire, link + 1);
      } else if (wire.reverse && link > 0) {
        record(wire, link - 1);
        travel(wire, link - 1);
      } else {
        arrive(wire);
      }
    });
  }
}

void World::record(const Wire& wire, std::size_t sensor) {
  int ttl = 64;
  for (std::size_t i = 0; i < config_.sensors; ++i) {
    if (wire.reverse ? i > sensor : i <= sensor) ttl -= config_.routers[i];
  }
  const Bytes transport = transport_of(wire, config_);
  Record one;
  one.sensor = sensor;
  one.reverse = wire.reverse;
  one.time = now_ + static_cast<std::uint64_t>(config_.clock_ns[sensor]);
  one.digest = digest_of(wire, config_, transport, config_.ipv6);
  one.number = ++items_[sensor];
  one.sent = wire.number;
  one.frame = frame_of(wire, config_, transport, static_cast<std::uint8_t>(ttl));
  one.wire_len = static_cast<std::uint32_t>(one.frame.size()) + wire.payload;
  records.push_back(std::move(one));
}

void World::arrive(const Wire& wire) {
  if (wire.udp) return;
  wire.reverse ? acked(wire) : receive(wire);
}

void World::receive(const Wire& wire) {
  if (wire.flags & analysis::kSyn) {
    Wire reply;
    reply.reverse = true;
    reply.sequence = 77;
    reply.ack = config_.isn + 1;
    reply.flags = analysis::kSyn | analysis::kAck;
    return send(reply);
  }
  if (wire.payload == 0) return;
  const std::uint32_t index = (wire.sequence - config_.isn - 1) / config_.mss;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> sacks;
  const auto range = [&](std::uint32_t first, std::uint32_t end) {
    return std::pair{config_.isn + 1 + first * config_.mss, config_.isn + 1 + end * config_.mss};
  };
  const bool duplicate = index < expected_ || got_.count(index);
  if (duplicate) {
    ++spurious;
    sacks.push_back(range(index, index + 1));
  } else {
    got_.insert(index);
    while (got_.count(expected_)) got_.erase(expected_++);
  }
  for (auto at = got_.begin(); at != got_.end() && sacks.size() < 3;) {
    const std::uint32_t first = *at;
    std::uint32_t end = first;
    while (at != got_.end() && *at == end) ++at, ++end;
    sacks.push_back(range(first, end));
  }
  acknowledge(sacks);
}

void World::acknowledge(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& sacks) {
  Wire reply;
  reply.reverse = true;
  reply.sequence = 78;
  reply.ack = config_.isn + 1 + expected_ * config_.mss;
  reply.flags = analysis::kAck;
  reply.sacks = sacks;
  send(reply);
}

void World::acked(const Wire& wire) {
  if (wire.flags & analysis::kSyn) return pump();
  const std::uint32_t ack = (wire.ack - config_.isn - 1) / config_.mss;
  if (ack > una_) {
    una_ = ack;
    ++progress_;
  }
  std::uint32_t highest = 0;
  for (const auto& [left, right] : wire.sacks) {
    for (std::uint32_t i = (left - config_.isn - 1) / config_.mss;
         i < (right - config_.isn - 1) / config_.mss; ++i) {
      segments_[i].sacked = true;
      highest = std::max(highest, i);
    }
  }
  for (std::uint32_t i = una_; i + 3 <= highest; ++i) {
    if (segments_[i].sent && !segments_[i].sacked && !segments_[i].again) transmit(i, true);
  }
  pump();
}

void World::pump() {
  while (next_ < config_.segments && next_ - una_ < config_.window) {
    const std::uint32_t index = next_++;
    free_at_ = std::max(free_at_ + config_.pace_ns, now_);
    at(free_at_, [this, index] { transmit(index, false); });
  }
  watch(progress_);
}

void World::transmit(std::uint32_t index, bool again) {
  segments_[index].sent = true;
  segments_[index].again |= again;
  Wire wire;
  wire.again = again;
  wire.sequence = config_.isn + 1 + index * config_.mss;
  wire.payload = config_.mss;
  wire.ack = 78;
  wire.flags = analysis::kAck;
  send(wire);
}

// The retransmission timeout: 400 ms without progress.
void World::watch(std::uint64_t progress) {
  at(now_ + 400 * kMs, [this, progress] {
    if (progress != progress_ || una_ >= config_.segments || !segments_[una_].sent) return;
    ++progress_;
    transmit(una_, true);
    watch(progress_);
  });
}

void World::run_tcp() {
  segments_.assign(config_.segments, {});
  Wire syn;
  syn.sequence = config_.isn;
  syn.flags = analysis::kSyn;
  at(now_, [this, syn] { send(syn); });
  loop();
}

void World::run_udp(std::uint32_t datagrams) {
  for (std::uint32_t i = 0; i < datagrams; ++i) {
    at(now_ + i * config_.pace_ns, [this, i] {
      Wire wire;
      wire.udp = true;
      wire.sequence = i + 1;
      wire.payload = 500;
      send(wire);
    });
  }
  loop();
}

bool Feed::keeps(const World& world, const Record& record) const {
  const auto bits = sample_bits.find(world.config().names[record.sensor]);
  return !counted && fl_sample_keeps(record.digest, bits == sample_bits.end() ? 0 : bits->second);
}

void feed_interfaces(analysis::PathAnalyzer& analyzer, const World& world, const Feed& feed) {
  (void)analyzer.feed(pcapng::Section{"fieldline", "{}"});
  for (std::size_t i = 0; i < world.config().sensors; ++i) {
    for (const int port : {0, 1}) {
      pcapng::Interface interface;
      interface.name = world.config().names[i] + (port ? ":down" : ":up");
      interface.comment = nlohmann::json{{"run", run_id().hex()},
                                         {"sensor", world.config().names[i]},
                                         {"domain", feed.domain},
                                         {"port", port},
                                         {"interface", port ? "down" : "up"},
                                         {"session", session_of(world.config().names[i])}}
                              .dump();
      (void)analyzer.feed(interface);
    }
  }
}

void feed_record(analysis::PathAnalyzer& analyzer, const Record& record, bool with_rank) {
  pcapng::Packet packet;
  packet.interface = static_cast<std::uint32_t>(record.sensor * 2 + record.reverse);
  packet.timestamp_ns = record.time;
  packet.wire_len = record.wire_len;
  packet.data = record.frame;
  packet.sequence = record.number;
  fl_chunk_packet meta{};
  meta.magic = FL_PCAPNG_MAGIC;
  meta.digest = record.digest;
  meta.gso_size = record.gso_size;
  meta.gso_segs = record.gso_segs;
  const std::uint32_t rank = with_rank ? fl_sample_rank(record.digest) : 0;
  meta.flags =
      static_cast<__le16>((record.reverse ? FL_RECORD_REVERSE : 0) | rank << FL_RECORD_RANK_SHIFT);
  packet.meta = meta;
  (void)analyzer.feed(packet);
}

void feed_report(analysis::PathAnalyzer& analyzer, std::uint8_t type,
                 const nlohmann::json& document) {
  const std::string text = document.dump();
  pcapng::Report report;
  report.type = type;
  report.encoding = FL_ENCODING_JSON;
  report.run = run_id();
  report.payload = view(text);
  (void)analyzer.feed(report);
}

void feed_reports(analysis::PathAnalyzer& analyzer, const World& world, const Feed& feed) {
  for (std::size_t i = 0; i < world.config().sensors; ++i) {
    const std::string& name = world.config().names[i];
    const auto clock = static_cast<std::uint64_t>(world.config().clock_ns[i]);
    std::uint64_t seen[2] = {0, 0}, kept[2] = {0, 0};
    for (const Record& record : world.records) {
      if (record.sensor != i) continue;
      const std::uint64_t packets = std::max<std::uint16_t>(record.gso_segs, 1);
      seen[record.reverse] += packets;
      kept[record.reverse] += feed.keeps(world, record) ? packets : 0;
    }
    const auto find = [&](const auto& map) {
      const auto found = map.find(name);
      return found == map.end() ? std::uint64_t{0} : std::uint64_t{found->second};
    };
    nlohmann::json activation{{"event", "started"},
                              {"sensor", name},
                              {"at_ns", kStart - 500 * kMs + clock},
                              {"principal", "ops@site-a"},
                              {"rule", "allow 1"},
                              {"verb", feed.counted ? "count" : "capture"},
                              {"sample_n", 1u << find(feed.sample_bits)},
                              {"grant",
                               {{"protocol", 6},
                                {"host_a", "10.0.0.1"},
                                {"host_b", "10.0.0.2"},
                                {"pairs", {{0, 5201}}}}}};
    if (feed.started) feed_report(analyzer, FL_FRAME_ACTIVATION, activation);
    if (!feed.finals) continue;
    activation["event"] = "ended";
    activation["at_ns"] = world.now() + 3000 * kMs + clock;
    if (feed.started) feed_report(analyzer, FL_FRAME_ACTIVATION, activation);
    const auto flow = [&](std::uint64_t packets, std::uint64_t ring, bool reverse) {
      const std::uint64_t sampled_out = seen[reverse] - kept[reverse];
      return nlohmann::json{{"packets", packets},
                            {"bytes", 0},
                            {"lifted", packets - ring - sampled_out},
                            {"sampled_out", sampled_out},
                            {"dropped_ring", ring},
                            {"dropped_read", 0}};
    };
    const std::uint64_t ring = find(feed.ring_drops);
    feed_report(analyzer, FL_FRAME_FINAL_COUNTS,
                {{"schema", "fieldline.final_counts/1"},
                 {"sensor", name},
                 {"at_ns", world.now() + 3001 * kMs + clock},
                 {"final", true},
                 {"points", nlohmann::json::array()},
                 {"flows",
                  {{"forward", flow(seen[0] + ring + find(feed.lie), ring, false)},
                   {"reverse", flow(seen[1], 0, true)}}},
                 {"dropped_spool", {{"forward", 0}, {"reverse", 0}}}});
  }
}

analysis::PathReport report_of(const World& world, const Feed& feed,
                               const analysis::Limits& limits) {
  const auto analyzer = analysis::PathAnalyzer::create(limits);
  feed_interfaces(*analyzer, world, feed);
  for (const Record& record : world.records) {
    if (feed.keeps(world, record)) feed_record(*analyzer, record);
  }
  feed_reports(*analyzer, world, feed);
  return analyzer->report();
}

std::vector<std::uint64_t> lost_digests(const analysis::Section& section) {
  std::vector<std::uint64_t> all;
  for (const auto& lost : section.lost_packets) all.push_back(lost.digest);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<std::uint64_t> digests(std::vector<World::Dropped> dropped) {
  std::vector<std::uint64_t> all;
  for (const auto& one : dropped) all.push_back(one.digest);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<std::pair<std::uint32_t, std::uint32_t>> lost_ranges(const analysis::Section& section) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> all;
  for (const auto& lost : section.lost_packets) all.emplace_back(lost.sequence, lost.payload);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges(
    const std::vector<World::Dropped>& dropped) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> all;
  for (const auto& one : dropped) all.emplace_back(one.sequence, one.payload);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<std::string> names(const analysis::Direction& direction) {
  std::vector<std::string> all;
  for (const auto& point : direction.points) all.push_back(point.name);
  return all;
}

}  // namespace world
