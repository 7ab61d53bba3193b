// SPDX-License-Identifier: Apache-2.0
// Option codes of pcapng; what a code means depends on its block.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fieldline::pcapng {

enum Option : std::uint16_t {
  kEnd = 0,
  kComment = 1,
  kCustomBinary = 2989,
  kSectionApplication = 4,
  kInterfaceName = 2,
  kInterfaceResolution = 9,
  kInterfaceOffset = 14,
  kPacketId = 5,
  kReceived = 4,
  kDropped = 5,
  kDelivered = 8,
};

constexpr std::size_t padded(std::size_t n) {
  return (n + 3) & ~std::size_t{3};
}

}  // namespace fieldline::pcapng
