// SPDX-License-Identifier: Apache-2.0
#include "lib/speaker.h"

#include <unistd.h>

#include <algorithm>

#include "base/application_event.h"
#include "base/clock.h"

namespace fieldline::lib {

namespace {

Result<std::uint8_t> take_level(Pairs& pairs) {
  auto at = std::find_if(pairs.begin(), pairs.end(),
                         [](const auto& pair) { return pair.first == "level"; });
  if (at == pairs.end()) return std::uint8_t{FL_APPLICATION_INFO};
  auto level = level_of(at->second);
  if (!level) {
    return fail(Code::invalid, "level '" + at->second.substr(0, 32) +
                                   "' is none of Fatal, Error, Warn, Info, Debug, Trace");
  }
  pairs.erase(at);
  return *level;
}

}  // namespace

Result<Bytes> Speaker::event(std::string_view name, Pairs pairs) const {
  ApplicationEvent event;
  event.timestamp_ns = SystemClock().utc_ns();
  auto level = take_level(pairs);
  if (!level) return level.error();
  event.level = *level;
  event.sockid = sockid;
  event.pid = static_cast<std::uint32_t>(::getpid());
  event.tid = static_cast<std::uint32_t>(::gettid());
  event.name = name;
  event.host = host;
  event.program = program;
  event.pairs.assign(pairs.begin(), pairs.end());
  return encode(event);
}

}  // namespace fieldline::lib
