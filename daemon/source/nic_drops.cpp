// SPDX-License-Identifier: Apache-2.0
#include "source/nic_drops.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cctype>

#include "source/ethtool.h"
#include "source/netlink.h"

namespace fieldline::source {
namespace {

using Counters = std::map<std::string, std::uint64_t>;

Counters kernel_drops(int index, bool in_path) {
  Counters drops;
  auto read = [&](ByteView value) {
    // Members were added at its end.
    rtnl_link_stats64 stats{};
    std::memcpy(&stats, value.data(), std::min(value.size(), sizeof stats));
    if (!in_path) drops["rx_dropped"] = stats.rx_dropped;
    drops["rx_missed_errors"] = stats.rx_missed_errors;
    drops["rx_over_errors"] = stats.rx_over_errors;
  };
  auto asked = netlink::link(index, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    if (type != RTM_NEWLINK || !reader.take_struct<ifinfomsg>()) return;
    netlink::each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute == IFLA_STATS64) read(value);
    });
  });
  if (!asked) return {};
  return drops;
}

// "rx_queue_12_drops" and its like of other queues are one counter.
std::string without_numbers(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    if (!std::isdigit(static_cast<unsigned char>(c))) {
      plain += c;
    } else if (plain.empty() || plain.back() != 'N') {
      plain += 'N';
    }
  }
  return plain;
}

Counters minus(const Counters& now, const Counters& before) {
  Counters fresh;
  for (const auto& [name, count] : now) {
    const auto found = before.find(name);
    const std::uint64_t then = found == before.end() ? 0 : found->second;
    fresh[name] = count >= then ? count - then : count;
  }
  return fresh;
}

}  // namespace

// Of the names in Linux 6.1's drivers: rx_missed_errors, rx_no_buffer_count, rx_no_dma_resources,
// rx_out_of_buffer, rx_discards_phy, rx_buf_alloc_fail, rx_dropped, port.rx_dropped,
// rx_fifo_errors. What an XDP program dropped is our own doing.
bool counts_drops(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (!has("rx") || has("tx") || has("xdp")) return false;
  for (const char* part : {"drop", "miss", "no_buf", "nobuf", "out_of_buf", "discard", "no_dma",
                           "fifo", "over", "alloc_fail", "nodesc"}) {
    if (has(part)) return true;
  }
  return false;
}

std::uint64_t NicDrops::total() const {
  std::uint64_t most = 0;
  for (const auto& [name, count] : kernel) most += count;
  for (const auto& [name, count] : driver) most = std::max(most, count);
  return most;
}

NicDrops NicDrops::since(const NicDrops& before) const {
  return {minus(kernel, before.kernel), minus(driver, before.driver)};
}

NicDrops read_nic_drops(const Interface& interface, bool in_path) {
  NicDrops drops;
  drops.kernel = kernel_drops(interface.index, in_path);
  for (const auto& [name, count] : Ethtool(interface.name).statistics()) {
    if (counts_drops(name)) drops.driver[without_numbers(name)] += count;
  }
  return drops;
}

}  // namespace fieldline::source
