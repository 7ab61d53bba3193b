// SPDX-License-Identifier: Apache-2.0
// The loaded classifier: a program for each port and hook, one set of maps for all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/result.h"

struct bpf_object;

namespace fieldline::source {

struct MapSizes {
  std::uint32_t slots;  // flow entries
  std::uint32_t header_ring_bytes;
  std::uint32_t trigger_ring_bytes;
};

enum class Hook : std::uint8_t { xdp, tc };

// What a program is told of its port.
struct PortTraits {
  std::uint32_t action = 0;    // with which every packet ends: enum xdp_action, or TC_ACT_
  bool time_per_poll = false;  // packets of a NAPI poll share one reading of the clock

  bool operator==(const PortTraits&) const = default;
};

class Classifier {
 public:
  explicit Classifier(const MapSizes& sizes) : sizes_(sizes) {}

  // The program that counts as this port; it is loaded when it is first asked for, and stays.
  Result<int> program(std::uint16_t port, Hook hook, const PortTraits& traits);
  int map_fd(const char* name) const;  // a map of bpf/maps.h; there must be a program

 private:
  struct Loaded {
    std::shared_ptr<void> skeleton;
    bpf_object* object = nullptr;
    int program = -1;
  };
  template <class Skeleton>
  Result<Loaded> load(std::uint16_t port, const PortTraits& traits) const;

  MapSizes sizes_;
  bpf_object* maps_ = nullptr;  // the first one's: its maps are everybody's
  std::map<std::pair<std::uint16_t, Hook>, Loaded> programs_;
};

// Returns when every program run that began before the call is over (RCU grace period).
Result<void> quiesce();

}  // namespace fieldline::source
