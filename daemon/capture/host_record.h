// SPDX-License-Identifier: Apache-2.0
// What an event record says by which it joins a socket.
#pragma once

#include <cstdint>
#include <optional>

#include "capture/host_flows.h"
#include "proto/magnet.h"

namespace fieldline::capture {

// Its extension is a packet's: not the socket's word, but what was on its way.
bool is_packet(const magnet_record_ext& record);
// The record's own word of its socket's peer. Packets do not count: on their way they may be
// translated.
bool tells_peer(const magnet_record_ext& record);
// Takes away what the event ring's records have of addresses (fl_event_tag); 0: they have nothing.
std::uint64_t take_tag(magnet_record_ext& record);
std::optional<Ports> ports_of(const magnet_record_ext& record);
// A sequence of this host's own: what it sends, or what its peer acknowledges.
std::optional<std::uint32_t> own_sequence(const magnet_record_ext& record);

}  // namespace fieldline::capture
