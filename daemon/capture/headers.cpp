// SPDX-License-Identifier: Apache-2.0
#include "capture/headers.h"

#include <netinet/in.h>

#include <algorithm>

namespace fieldline::capture {

namespace {

constexpr std::size_t kEthernet = 14;

std::size_t transport_length(std::uint8_t protocol, ByteView rest) {
  switch (protocol) {
    case IPPROTO_TCP:
      return rest.size() > 12 ? std::max<std::size_t>(20, (rest[12] >> 4) * 4u) : 20;
    case IPPROTO_UDP:
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return 8;
    default:
      return 0;
  }
}

// The chain of IPv6 extension headers, from the fixed header's end on.
std::size_t after_extensions(ByteView frame, std::size_t at, std::uint8_t& protocol) {
  while (at + 8 <= frame.size()) {
    std::size_t length;
    switch (protocol) {
      case IPPROTO_HOPOPTS:
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
        length = (frame[at + 1] + 1u) * 8;
        break;
      case IPPROTO_FRAGMENT:
        length = 8;
        break;
      case IPPROTO_AH:
        length = (frame[at + 1] + 2u) * 4;
        break;
      default:
        return at;
    }
    protocol = frame[at];
    at += length;
  }
  return at;
}

}  // namespace

std::size_t headers_length(ByteView frame) {
  if (frame.size() < kEthernet + 20) return frame.size();
  unsigned type = frame[12] << 8 | frame[13];
  std::size_t at = kEthernet;
  std::uint8_t protocol;
  if (type == 0x0800) {
    protocol = frame[at + 9];
    at += (frame[at] & 15) * 4u;
  } else if (type == 0x86dd && frame.size() >= kEthernet + 40) {
    protocol = frame[at + 6];
    at = after_extensions(frame, at + 40, protocol);
  } else {
    return std::min(frame.size(), kEthernet);
  }
  at = std::min(at, frame.size());
  return std::min(frame.size(), at + transport_length(protocol, frame.subspan(at)));
}

}  // namespace fieldline::capture
