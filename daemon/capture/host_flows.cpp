// SPDX-License-Identifier: Apache-2.0
#include "capture/host_flows.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "proto/event.h"

namespace fieldline::capture {

namespace {

bool matches(const HostFlow& flow, const fl_flow_key& key) {
  const auto* k = reinterpret_cast<const std::uint8_t*>(&key);
  const auto* want = reinterpret_cast<const std::uint8_t*>(&flow.key);
  const auto* mask = reinterpret_cast<const std::uint8_t*>(&flow.mask);
  for (std::size_t i = 0; i < sizeof key; ++i) {
    if (((k[i] ^ want[i]) & mask[i]) != 0) return false;
  }
  return true;
}

fl_flow_key key_of(const DiagSocket& socket) {
  fl_flow_key key{};
  std::copy(socket.local.bytes.begin(), socket.local.bytes.end(), key.src);
  std::copy(socket.remote.bytes.begin(), socket.remote.bytes.end(), key.dst);
  key.sport = big_endian(socket.local_port);
  key.dport = big_endian(socket.remote_port);
  key.protocol = socket.protocol;
  return key;
}

// By its ports, this host's side being the source.
bool fits(const HostFlow& flow, const Ports& ports) {
  const auto [protocol, local, peer] = ports;
  auto is_in = [](std::uint16_t port, __be16 want, __be16 mask) {
    return ((big_endian(port) ^ want) & mask) == 0;
  };
  return flow.key.protocol == protocol && is_in(local, flow.key.sport, flow.mask.sport) &&
         is_in(peer, flow.key.dport, flow.mask.dport);
}

// Nothing: the tag does not tell.
std::optional<bool> has_addresses(const HostFlow& flow, std::uint64_t tag) {
  if (tag == 0) return std::nullopt;
  const auto* mask = reinterpret_cast<const std::uint8_t*>(&flow.mask);
  static_assert(offsetof(fl_flow_key, src) == 0 && offsetof(fl_flow_key, dst) == 16);
  if (std::all_of(mask, mask + 32, [](std::uint8_t byte) { return byte == 0xff; }))
    return fl_event_tag(flow.key.src, flow.key.dst) == tag;
  constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const bool is_v4 = std::memcmp(flow.key.src, kMapped, sizeof kMapped) == 0 &&
                     std::all_of(mask, mask + 12, [](std::uint8_t byte) { return byte == 0xff; });
  if (!is_v4) return std::nullopt;
  auto word = [](const __u8* at) {
    std::uint32_t value = 0;
    std::memcpy(&value, at + 12, sizeof value);
    return std::uint64_t{big_endian(value)};
  };
  const std::uint64_t want = word(flow.key.src) << 32 | word(flow.key.dst);
  const std::uint64_t care = word(flow.mask.src) << 32 | word(flow.mask.dst);
  return ((tag ^ want) & care) == 0;
}

}  // namespace

std::uint64_t tag_of(const DiagSocket& socket) {
  return fl_event_tag(socket.local.bytes.data(), socket.remote.bytes.data());
}

bool HostFlow::operator==(const HostFlow& other) const {
  return std::memcmp(&key, &other.key, sizeof key) == 0 &&
         std::memcmp(&mask, &other.mask, sizeof mask) == 0 && runs == other.runs;
}

bool HostFlows::set(std::vector<HostFlow> flows) {
  if (flows == flows_) return false;
  flows_ = std::move(flows);
  return true;
}

Runs HostFlows::runs_of(const DiagSocket& socket) const {
  std::set<RunId> runs;
  const fl_flow_key key = key_of(socket);
  for (const HostFlow& flow : flows_) {
    if (matches(flow, key)) runs.insert(flow.runs.begin(), flow.runs.end());
  }
  return {runs.begin(), runs.end()};
}

bool HostFlows::is_alone(const DiagSocket& socket, const Runs& runs) const {
  const fl_flow_key key = key_of(socket);
  const Ports ports{socket.protocol, socket.local_port, socket.remote_port};
  return std::none_of(flows_.begin(), flows_.end(), [&](const HostFlow& flow) {
    return fits(flow, ports) && !matches(flow, key) &&
           !std::includes(flow.runs.begin(), flow.runs.end(), runs.begin(), runs.end());
  });
}

const Runs* HostFlows::by_ports(const Ports& ports, std::uint64_t tag) {
  std::set<RunId> runs;
  const Runs* perhaps = nullptr;
  for (const HostFlow& flow : flows_) {
    if (!fits(flow, ports)) continue;
    const auto told = has_addresses(flow, tag);
    if (told) {
      if (*told) runs.insert(flow.runs.begin(), flow.runs.end());
      continue;
    }
    if (perhaps != nullptr && *perhaps != flow.runs) return nullptr;
    perhaps = &flow.runs;
  }
  found_.assign(runs.begin(), runs.end());
  if (perhaps != nullptr && !found_.empty() && *perhaps != found_) return nullptr;
  if (perhaps != nullptr && found_.empty()) found_ = *perhaps;
  return found_.empty() ? nullptr : &found_;
}

}  // namespace fieldline::capture
