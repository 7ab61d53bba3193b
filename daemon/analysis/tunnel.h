// SPDX-License-Identifier: Apache-2.0
// The headers that tunnels put around a packet (docs/format/flow.md names them), in captured bytes.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace fieldline::analysis {

constexpr std::uint16_t kEtherFrame = 0x6558;  // behind a tunnel's header: a whole Ethernet frame

struct Tunnel {
  std::uint16_t type;  // EtherType of what it carries
  std::size_t header;  // bytes of its own header
};

// body: behind the IP header, or behind UDP's. Nothing if the packet carries no other one, or its
// header is cut or of no known form.
std::optional<Tunnel> tunnel_of(std::uint8_t protocol, std::uint16_t dport, ByteView body);

}  // namespace fieldline::analysis
