// SPDX-License-Identifier: Apache-2.0
// The handles that this process holds. What is still on when it exits is ended then, one after
// another and each within a second, in front of the libraries that are cleaned up behind it.
#pragma once

#include <sys/types.h>

#include <memory>

#include "lib/monitor.h"

struct fieldline_handle {
  pid_t owner = 0;
  std::unique_ptr<fieldline::lib::Monitor> monitor;
};

namespace fieldline::lib {

// Before the first handle is made; may be called again.
void end_with_process();

fieldline_handle* remember(std::unique_ptr<fieldline_handle> handle);
// To be freed; null: the process's exit has it. Behind its switch_off(): an exit waits for the runs
// that it finds here, those that other threads are switching off too.
std::unique_ptr<fieldline_handle> forget(fieldline_handle* handle);

}  // namespace fieldline::lib
