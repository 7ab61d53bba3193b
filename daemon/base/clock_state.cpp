// SPDX-License-Identifier: Apache-2.0
#include "base/clock_state.h"

#include <sys/timex.h>

namespace fieldline {

bool clock_is_synchronised() {
  timex state{};
  const int told = ::adjtimex(&state);
  return told >= 0 && told != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

}  // namespace fieldline
