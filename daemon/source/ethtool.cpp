// SPDX-License-Identifier: Apache-2.0
#include "source/ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace fieldline::source {
namespace {

constexpr std::size_t kStringsMost = 1 << 16;  // a driver says how many; none has as many

// A struct of ethtool's with an array of unknown length behind it, in 32-bit words.
template <class Head>
class WithArray {
 public:
  explicit WithArray(std::size_t array_bytes)
      : words_((sizeof(Head) + array_bytes + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)) {}
  Head& head() { return *reinterpret_cast<Head*>(words_.data()); }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace

Ethtool::Ethtool(const std::string& interface)
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), interface_(interface) {}

template <class Request>
bool Ethtool::ask(Request& request) const {
  ifreq wrapped{};
  std::memcpy(wrapped.ifr_name, interface_.data(),
              std::min<std::size_t>(interface_.size(), IFNAMSIZ - 1));
  wrapped.ifr_data = reinterpret_cast<char*>(&request);
  return ::ioctl(socket_.get(), SIOCETHTOOL, &wrapped) >= 0;
}

std::string Ethtool::driver() const {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!ask(info)) return {};
  return {info.driver, ::strnlen(info.driver, sizeof info.driver)};
}

std::vector<std::string> Ethtool::strings(std::uint32_t set) const {
  WithArray<ethtool_sset_info> sizes(sizeof(__u32));
  sizes.head().cmd = ETHTOOL_GSSET_INFO;
  sizes.head().sset_mask = 1ull << set;
  if (!ask(sizes.head()) || sizes.head().sset_mask == 0) return {};
  const std::size_t count = sizes.head().data[0];
  if (count == 0 || count > kStringsMost) return {};
  WithArray<ethtool_gstrings> names(count * ETH_GSTRING_LEN);
  names.head().cmd = ETHTOOL_GSTRINGS;
  names.head().string_set = set;
  names.head().len = static_cast<__u32>(count);
  if (!ask(names.head())) return {};
  std::vector<std::string> list;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, names.head().len); ++i) {
    const auto* name = reinterpret_cast<const char*>(names.head().data) + i * ETH_GSTRING_LEN;
    list.emplace_back(name, ::strnlen(name, ETH_GSTRING_LEN));
  }
  return list;
}

std::map<std::string, Ethtool::Feature> Ethtool::features() const {
  const auto names = strings(ETH_SS_FEATURES);
  const std::size_t blocks = (names.size() + 31) / 32;
  WithArray<ethtool_gfeatures> got(blocks * sizeof(ethtool_get_features_block));
  got.head().cmd = ETHTOOL_GFEATURES;
  got.head().size = static_cast<__u32>(blocks);
  if (names.empty() || !ask(got.head())) return {};
  std::map<std::string, Feature> features;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& block = got.head().features[i / 32];
    const __u32 bit = 1u << i % 32;
    features[names[i]] = {(block.active & bit) != 0,
                          (block.available & bit) == 0 || (block.never_changed & bit) != 0,
                          (block.requested & bit) != 0};
  }
  return features;
}

Result<void> Ethtool::set(const std::map<std::string, bool>& wanted) const {
  const auto names = strings(ETH_SS_FEATURES);
  const std::size_t blocks = (names.size() + 31) / 32;
  WithArray<ethtool_sfeatures> asked(blocks * sizeof(ethtool_set_features_block));
  asked.head().cmd = ETHTOOL_SFEATURES;
  asked.head().size = static_cast<__u32>(blocks);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = wanted.find(names[i]);
    if (found == wanted.end()) continue;
    auto& block = asked.head().features[i / 32];
    block.valid |= 1u << i % 32;
    if (found->second) block.requested |= 1u << i % 32;
  }
  if (!ask(asked.head())) return fail_errno("setting the offloads of " + interface_);
  return {};
}

std::map<std::string, std::uint64_t> Ethtool::statistics() const {
  const auto names = strings(ETH_SS_STATS);
  if (names.empty()) return {};
  WithArray<ethtool_stats> got(names.size() * sizeof(__u64));
  got.head().cmd = ETHTOOL_GSTATS;
  got.head().n_stats = static_cast<__u32>(names.size());
  if (!ask(got.head())) return {};
  std::map<std::string, std::uint64_t> values;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), got.head().n_stats); ++i)
    values[names[i]] = got.head().data[i];
  return values;
}

}  // namespace fieldline::source
