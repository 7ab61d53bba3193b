// SPDX-License-Identifier: Apache-2.0
#include "source/system_facts.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>

#include "base/fd.h"

namespace fieldline::source {
namespace {

// Of those that a kernel has, the ones that decide how fast a flow may be, and how it takes loss.
constexpr const char* kSysctls[] = {"net.core.default_qdisc",
                                    "net.core.netdev_max_backlog",
                                    "net.core.rmem_default",
                                    "net.core.rmem_max",
                                    "net.core.wmem_default",
                                    "net.core.wmem_max",
                                    "net.ipv4.tcp_adv_win_scale",
                                    "net.ipv4.tcp_congestion_control",
                                    "net.ipv4.tcp_early_retrans",
                                    "net.ipv4.tcp_ecn",
                                    "net.ipv4.tcp_fastopen",
                                    "net.ipv4.tcp_frto",
                                    "net.ipv4.tcp_limit_output_bytes",
                                    "net.ipv4.tcp_min_tso_segs",
                                    "net.ipv4.tcp_moderate_rcvbuf",
                                    "net.ipv4.tcp_mtu_probing",
                                    "net.ipv4.tcp_no_metrics_save",
                                    "net.ipv4.tcp_notsent_lowat",
                                    "net.ipv4.tcp_pacing_ca_ratio",
                                    "net.ipv4.tcp_pacing_ss_ratio",
                                    "net.ipv4.tcp_recovery",
                                    "net.ipv4.tcp_reordering",
                                    "net.ipv4.tcp_rmem",
                                    "net.ipv4.tcp_sack",
                                    "net.ipv4.tcp_shrink_window",
                                    "net.ipv4.tcp_slow_start_after_idle",
                                    "net.ipv4.tcp_timestamps",
                                    "net.ipv4.tcp_tso_win_divisor",
                                    "net.ipv4.tcp_window_scaling",
                                    "net.ipv4.tcp_wmem"};

struct Offload {
  const char* name;
  std::uint32_t command;
};
constexpr Offload kOffloads[] = {
    {"gro", ETHTOOL_GGRO},           {"gso", ETHTOOL_GGSO}, {"rx-checksum", ETHTOOL_GRXCSUM},
    {"scatter-gather", ETHTOOL_GSG}, {"tso", ETHTOOL_GTSO}, {"tx-checksum", ETHTOOL_GTXCSUM}};
constexpr std::uint32_t kLro = 1u << 15;  // ETH_FLAG_LRO of ETHTOOL_GFLAGS

// The file's words, one blank between them; empty if it cannot be read.
std::string words_of(const std::string& path) {
  std::ifstream file(path);
  std::string text, word;
  while (file >> word && text.size() < 4096) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Not by /sys/class/net, which shows the network namespace that sysfs was mounted in.
class Asked {
 public:
  Asked(int socket, const std::string& name) : socket_(socket) {
    std::memcpy(request_.ifr_name, name.data(), std::min<std::size_t>(name.size(), IFNAMSIZ - 1));
  }

  std::uint64_t number(unsigned long command) {
    request_.ifr_ifru = {};
    if (::ioctl(socket_, command, &request_) != 0) return 0;
    const int value = command == SIOCGIFMTU ? request_.ifr_mtu : request_.ifr_qlen;
    return static_cast<std::uint64_t>(std::max(value, 0));
  }
  template <class Value>
  bool ethtool(Value& value) {
    request_.ifr_data = reinterpret_cast<char*>(&value);
    return ::ioctl(socket_, SIOCETHTOOL, &request_) == 0;
  }

 private:
  int socket_;
  ifreq request_{};
};

InterfaceFacts facts_of(int socket, const std::string& name,
                        const std::map<int, std::string>& qdiscs) {
  InterfaceFacts facts;
  facts.name = name;
  const auto qdisc = qdiscs.find(static_cast<int>(if_nametoindex(name.c_str())));
  if (qdisc != qdiscs.end()) facts.qdisc = qdisc->second;
  Asked asked(socket, name);
  facts.mtu = asked.number(SIOCGIFMTU);
  facts.queue_length = asked.number(SIOCGIFTXQLEN);
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (asked.ethtool(driver))
    facts.driver.assign(driver.driver, ::strnlen(driver.driver, sizeof driver.driver));
  ethtool_cmd link{};
  link.cmd = ETHTOOL_GSET;
  if (asked.ethtool(link) && ethtool_cmd_speed(&link) != static_cast<__u32>(SPEED_UNKNOWN))
    facts.speed_mbps = ethtool_cmd_speed(&link);
  for (const Offload& offload : kOffloads) {
    ethtool_value value{offload.command, 0};
    if (asked.ethtool(value)) facts.offloads[offload.name] = value.data;
  }
  ethtool_value flags{ETHTOOL_GFLAGS, 0};
  if (asked.ethtool(flags)) facts.offloads["lro"] = flags.data & kLro;
  return facts;
}

}  // namespace

SystemFacts read_system_facts(const std::vector<std::string>& interfaces,
                              const std::optional<FlowEnds>& ends) {
  SystemFacts facts;
  utsname host{};
  if (::uname(&host) == 0) facts.kernel = host.release;
  for (const std::string name : kSysctls) {
    std::string path = "/proc/sys/" + name;
    std::replace(path.begin() + 10, path.end(), '.', '/');
    if (std::string value = words_of(path); !value.empty()) facts.sysctls[name] = std::move(value);
  }
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::set<std::string> names(interfaces.begin(), interfaces.end());
  if (ends) {
    for (const auto& [to, from] : {std::pair{ends->b, ends->a}, std::pair{ends->a, ends->b}}) {
      auto route = read_route(to, from);
      if (!route || !*route) continue;
      names.insert((*route)->device);
      facts.routes[to.to_string()] = std::move(**route);
    }
  }
  std::map<int, std::string> qdiscs;
  if (auto read = read_qdiscs()) qdiscs = std::move(*read);
  for (const std::string& name : names)
    facts.interfaces.push_back(facts_of(socket.get(), name, qdiscs));
  facts.clock = read_clock_facts();
  return facts;
}

}  // namespace fieldline::source
