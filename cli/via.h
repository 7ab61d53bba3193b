// SPDX-License-Identifier: Apache-2.0
// `--via ssh:HOST`: the flow is another host's. `ssh HOST fieldline send-pulses` looks up its
// sockets and sends triggers from there; every trigger is made and signed here, so that no key
// leaves this machine, the run's own not even.
//
// Both ends write one JSON object a line. The far end says first what it is; requests bear rising
// ids, and each but "send" has one answer of the same id. "send" has one where it failed. The far
// end ends with its input.
#pragma once

#include <memory>
#include <string>

#include "cli/flow_host.h"

namespace fieldline::cli {

// via: "ssh:HOST", HOST as ssh takes it. $FIELDLINE_SSH stands in for ssh. May ask for a password
// on the terminal; readable end_by (a descriptor) ends the attempt.
Result<std::shared_ptr<FlowHost>> flow_host_via(const std::string& via, int end_by);

// The far end: `fieldline send-pulses`. The exit code.
int send_pulses();
// The same over any descriptors and host: until the end of input.
Result<void> serve_pulses(int in, int out, FlowHost& host);

}  // namespace fieldline::cli
