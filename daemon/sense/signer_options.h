// SPDX-License-Identifier: Apache-2.0
// The options field of an allowed_signers line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sense/trust.h"

namespace fieldline::sense {

// namespaces="a,b",valid-after="T",valid-before="T", each at most once, names in any case.
Result<void> parse_options(std::string_view field, Signer& signer);

// Non-empty words between commas.
Result<std::vector<std::string>> split_list(std::string_view list);

// YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ as ns since the epoch. Without Z OpenSSH reads local
// time: refused, because sensors in two time zones would disagree about one file.
Result<std::uint64_t> parse_timestamp_ns(std::string_view text);

}  // namespace fieldline::sense
