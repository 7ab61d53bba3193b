// SPDX-License-Identifier: Apache-2.0
#include "source/clock_facts.h"

#include <sys/timex.h>

#include <algorithm>
#include <fstream>

namespace fieldline::source {

ClockFacts read_clock_facts() {
  ClockFacts clock;
  std::ifstream("/sys/devices/system/clocksource/clocksource0/current_clocksource") >> clock.source;
  timex state{};  // modes 0: only read
  const int told = ::adjtimex(&state);
  if (told < 0) return clock;
  clock.synchronized = told != TIME_ERROR && !(state.status & STA_UNSYNC);
  clock.offset_ns = std::int64_t{state.offset} * (state.status & STA_NANO ? 1 : 1000);
  clock.max_error_ns = static_cast<std::uint64_t>(std::max<long>(state.maxerror, 0)) * 1000;
  clock.estimated_error_ns = static_cast<std::uint64_t>(std::max<long>(state.esterror, 0)) * 1000;
  clock.frequency_ppm = static_cast<double>(state.freq) / 65536;  // adjtimex(2)
  return clock;
}

}  // namespace fieldline::source
