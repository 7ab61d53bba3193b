// SPDX-License-Identifier: Apache-2.0
// Questions to the kernel by rtnetlink, in this process's namespace.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace fieldline::source::netlink {

using OnMessage = std::function<void(std::uint16_t type, ByteView body)>;
// Everything of a kind: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE.
Result<void> dump(std::uint16_t request, const OnMessage& on_message);
// One link, by its index.
Result<void> link(int index, const OnMessage& on_message);

// Where what goes to an address leaves this host; from: nullptr, or an address of this host.
Result<void> route(const Address& to, const Address* from, const OnMessage& on_message);

// Every qdisc of the namespace.
Result<void> qdiscs(const OnMessage& on_message);

// The attributes behind a message's fixed part; what does not fit is left out.
using OnAttribute = std::function<void(std::uint16_t type, ByteView value)>;
void each_attribute(ByteView attributes, const OnAttribute& on_attribute);

int int_of(ByteView value);
std::string text_of(ByteView value);

}  // namespace fieldline::source::netlink
