// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace fieldline {

// Does the kernel say that something keeps its clock right (adjtimex)? False also where it may not
// be asked.
bool clock_is_synchronised();

}  // namespace fieldline
