// SPDX-License-Identifier: Apache-2.0
// The loaded classifier: one program per port, one set of maps for all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

struct classifier;  // the generated skeleton

namespace fieldline::source {

struct MapSizes {
  std::uint32_t slots;  // flow entries
  std::uint32_t header_ring_bytes;
  std::uint32_t trigger_ring_bytes;
};

class Classifier {
 public:
  // Port i's program counts as port i and ends every packet with `action` (enum xdp_action).
  static Result<std::unique_ptr<Classifier>> load(const MapSizes& sizes, std::uint16_t ports,
                                                  std::uint32_t action);
  ~Classifier();

  std::uint16_t ports() const { return static_cast<std::uint16_t>(skeletons_.size()); }
  int program_fd(std::uint16_t port) const;
  int map_fd(const char* name) const;  // a map of bpf/maps.h

 private:
  struct Destroy {
    void operator()(classifier* skeleton) const;
  };
  using Skeleton = std::unique_ptr<classifier, Destroy>;

  Classifier() = default;
  Result<Skeleton> load_port(const MapSizes& sizes, std::uint16_t port, std::uint32_t action) const;

  std::vector<Skeleton> skeletons_;  // the first one created the maps
};

// Returns when every program run that began before the call is over (RCU grace period).
Result<void> quiesce();

}  // namespace fieldline::source
