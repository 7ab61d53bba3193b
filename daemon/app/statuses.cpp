// SPDX-License-Identifier: Apache-2.0
#include "app/statuses.h"

#include <algorithm>

#include "base/text.h"
#include "stream/document.h"

namespace fieldline::app {

using nlohmann::json;

void Statuses::opened(const RunId& session, const stream::ProducerHello& hello) {
  Told& told = told_[session];  // its dead connection may not have been noticed yet
  told.key = hello.key;
  told.name = hello.name;
}

Result<void> Statuses::take(const RunId& session, const json& status) {
  const auto own = told_.find(session);
  if (own == told_.end()) {
    ++refused_;
    return fail(Code::denied, "a status of no open session of a sensor or host");
  }
  const std::string name = stream::string_of(status, "sensor");
  if (name != own->second.name) {
    ++refused_;
    return fail(Code::denied, "'" + own->second.name + "' with key " +
                                  stream::to_string(own->second.key) +
                                  " sent a status that names '" + printable(name) +
                                  "': it is shown nowhere; look at who has that key");
  }
  // It may be here with the rest of an earlier session as well.
  for (auto& [other, told] : told_) {
    if (told.key == own->second.key &&
        stream::string_of(told.status, "role") == stream::string_of(status, "role"))
      told.status = nullptr;
  }
  own->second.status = status;
  return {};
}

std::size_t Statuses::size() const {
  return static_cast<std::size_t>(std::count_if(
      told_.begin(), told_.end(), [](const auto& one) { return !one.second.status.is_null(); }));
}

json Statuses::list() const {
  json list = json::array();
  for (const auto& [session, told] : told_) {
    if (!told.status.is_null()) list.push_back(told.status);
  }
  return list;
}

}  // namespace fieldline::app
