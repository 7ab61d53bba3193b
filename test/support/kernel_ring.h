// SPDX-License-Identifier: GPL-2.0
// The module's ring for user space.
#pragma once

extern "C" {
#include "test/support/kernel_shim.h"
// The shim first: the ring takes the kernel's names from it.
#include "module/ring.h"
}
