// SPDX-License-Identifier: Apache-2.0
// The flows of a run by bandwidth, as a table and as JSON (docs/format/top.md).
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/top_pace.h"

namespace fieldline::cli {

nlohmann::json to_json(const TopView& view);
std::string to_table(const TopView& view);

}  // namespace fieldline::cli
