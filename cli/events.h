// SPDX-License-Identifier: Apache-2.0
// `fieldline events`: what the hosts' sockets did in a run, in the order of time.
#pragma once

#include "cli/event_list.h"
#include "cli/settings.h"

namespace fieldline::cli {

int events(const EventsOptions& options, const UserSettings& settings);

}  // namespace fieldline::cli
