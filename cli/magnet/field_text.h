// SPDX-License-Identifier: Apache-2.0
// Members of records in the words that tcpdump and ss have for them; JSON keeps the numbers.
#pragma once

#include <cstdint>
#include <string>

#include "magnet/fields.h"

namespace fieldline::cli {

// As tcpdump prints them: "S", "S.", "P.", "F.", "R", "none".
std::string tcp_flags_text(std::uint8_t flags);
// "Open", "Disorder", "CWR", "Recovery", "Loss"; a number that is none of them stays one.
std::string ca_state_text(std::uint64_t state);
std::string field_text(const magnet_ext& ext, const magnet::Field& field);

}  // namespace fieldline::cli
