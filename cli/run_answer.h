// SPDX-License-Identifier: Apache-2.0
// What the archive has of a command's runs, when they have ended.
#pragma once

#include <cstdint>

#include "cli/run_record.h"
#include "cli/settings.h"
#include "cli/signer.h"

namespace fieldline::cli {

// Waits until each sensor that was on has given its final counts, at most 10 s, and no longer than
// `stop` (a descriptor) is unreadable; then asks for each run's records.
void ask_for_answers(RunRecord& record, const UserSettings& settings, const Signer& signer,
                     std::uint64_t interval_ns, int stop);

}  // namespace fieldline::cli
