// SPDX-License-Identifier: Apache-2.0
// The pairs of an event as NetLogger writes them: key=value, key="a value", spaces between.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fieldline::lib {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// In quotes \" and \\ stand for what they show. What keys and values may be is the event's to
// judge.
Result<Pairs> parse_pairs(std::string_view text);

}  // namespace fieldline::lib
