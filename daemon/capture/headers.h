// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "base/bytes.h"

namespace fieldline::capture {

// How many bytes of an Ethernet frame are link, network and transport headers with their options:
// what a run with FL_SNAPLEN_HEADERS may keep when another run's right made the classifier lift
// more. Never more than frame.size(); what cannot be parsed ends the headers there.
std::size_t headers_length(ByteView frame);

}  // namespace fieldline::capture
