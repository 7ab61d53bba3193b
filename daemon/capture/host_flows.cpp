// SPDX-License-Identifier: Apache-2.0
#include "capture/host_flows.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/bytes.h"

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

}  // namespace

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

const Runs* HostFlows::by_ports(const Ports& ports) const {
  const Runs* runs = nullptr;
  for (const HostFlow& flow : flows_) {
    if (!fits(flow, ports)) continue;
    if (runs != nullptr && *runs != flow.runs) return nullptr;
    runs = &flow.runs;
  }
  return runs == nullptr || runs->empty() ? nullptr : runs;
}

}  // namespace fieldline::capture
