// SPDX-License-Identifier: Apache-2.0
#include "cli/live_merge.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "cli/fields.h"
#include "proto/frame.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr std::uint64_t kArrivalNs = 1'000'000;  // what came within is one arrival
constexpr std::uint64_t kNever = UINT64_MAX;     // later than any packet

json document_of(ByteView bytes) {
  return json::parse(bytes.begin(), bytes.end(), nullptr, false);
}

}  // namespace

Result<void> LiveMerge::feed(ByteView bytes, std::uint64_t now_ns) {
  if (!bytes.empty()) life_.hear(now_ns);
  reader_.feed(bytes);
  for (;;) {
    auto block = reader_.next();
    if (!block) return std::move(block.error()).in("the archive's answer");
    if (!*block) return {};
    if (auto taken = take(**block, now_ns); !taken) return taken;
  }
}

// The answer's own statistics are left out: what is counted at the end is what was written here.
Result<void> LiveMerge::take(const pcapng::Block& block, std::uint64_t now_ns) {
  if (const auto* packet = std::get_if<pcapng::Packet>(&block)) return take(*packet, now_ns);
  if (const auto* report = std::get_if<pcapng::Report>(&block)) take(*report, now_ns);
  if (const auto* interface = std::get_if<pcapng::Interface>(&block)) take(*interface);
  if (const auto* section = std::get_if<pcapng::Section>(&block)) {
    if (begun_) return fail(Code::invalid, "the archive's answer has more than one section");
    begun_ = true;
    pcapng::write(heads_, *section);
  }
  return {};
}

// Interfaces keep their numbers: they are written in the order in which they came.
void LiveMerge::take(const pcapng::Interface& interface) {
  const json comment = json::parse(interface.comment, nullptr, false);
  Point point;
  point.session = string_at(comment, "session");
  points_.push_back(std::move(point));
  pcapng::write(heads_, interface);
}

Result<void> LiveMerge::take(const pcapng::Packet& packet, std::uint64_t now_ns) {
  if (packet.interface >= points_.size())
    return fail(Code::invalid, "the archive's answer has a packet of no interface");
  ++counts_.received;
  Session& session = sessions_[points_[packet.interface].session];
  Held held;
  held.timestamp_ns = std::min(packet.timestamp_ns, kNever - 1);
  held.point = packet.interface;
  pcapng::write(held.block, packet);
  session.newest_ns = std::max(session.newest_ns, held.timestamp_ns);
  if (arrivals_.empty() || now_ns - arrivals_.back().at_ns > kArrivalNs)
    arrivals_.push_back({now_ns, 0});
  Arrival& arrival = arrivals_.back();
  arrival.newest_ns = std::max(arrival.newest_ns, held.timestamp_ns);
  held_bytes_ += held.block.size() + sizeof held;
  held_.push(std::move(held));
  return {};
}

void LiveMerge::take(const pcapng::Report& report, std::uint64_t now_ns) {
  if (report.type != FL_FRAME_FINAL_COUNTS && report.type != FL_FRAME_ACTIVATION) return;
  const json document = document_of(report.payload);
  life_.take(report.type, document, now_ns);
  const std::string session = string_at(document, "session");
  sessions_[session].on = life_.is_on(session);
}

// A session gives its packets nearly in order of time; what it gives behind its newest may be late.
std::uint64_t LiveMerge::may_go_before(std::uint64_t now_ns) const {
  if (ended_) return kNever;
  std::uint64_t until = kNever;
  for (const auto& [id, session] : sessions_) {
    if (session.on) until = std::min(until, session.newest_ns + 1);
  }
  for (const Arrival& arrival : arrivals_) {
    if (arrival.at_ns + limits_.wait_ns > now_ns) break;
    until = std::max(until, arrival.newest_ns + 1);
  }
  return until;
}

bool LiveMerge::drain(std::uint64_t now_ns, Bytes& to, std::size_t most) {
  const std::size_t before = to.size();
  append(to, heads_);
  heads_.clear();
  const std::uint64_t until = may_go_before(now_ns);
  auto write = [&](Held& held) {
    append(to, held.block);
    held_bytes_ -= held.block.size() + sizeof held;
    Point& point = points_[held.point];
    ++point.written;
    point.last_ns = std::max(point.last_ns, held.timestamp_ns);
    ++counts_.written;
    if (held.timestamp_ns < written_until_ns_) ++counts_.late;
    written_until_ns_ = std::max(written_until_ns_, held.timestamp_ns);
  };
  bool more = true;
  while (more && to.size() - before < most) {
    const bool over = held_bytes_ > limits_.held_bytes / 2;
    more = held_.drain(over ? kNever : until, write, 64);
  }
  // Nothing of these is held any more.
  while (!arrivals_.empty() &&
         (held_.size() == 0 || arrivals_.front().newest_ns < written_until_ns_ ||
          (!more && arrivals_.front().newest_ns < until)))
    arrivals_.pop_front();
  return more;
}

std::optional<std::uint64_t> LiveMerge::due_ns() const {
  if (held_.size() == 0 || arrivals_.empty()) return {};
  return arrivals_.front().at_ns + limits_.wait_ns;
}

void LiveMerge::finish(Bytes& to) const {
  for (std::size_t at = 0; at < points_.size(); ++at) {
    const Point& point = points_[at];
    pcapng::write(to, pcapng::Statistics{static_cast<std::uint32_t>(at), point.last_ns,
                                         point.written, std::nullopt, point.written});
  }
}

}  // namespace fieldline::cli
