// SPDX-License-Identifier: GPL-2.0
/* The module's ring source, word for word, behind the shim. */
#include "test/support/kernel_shim.h"
#include "module/ring.c"
