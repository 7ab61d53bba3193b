// SPDX-License-Identifier: Apache-2.0
// An application's event (proto/application.h): written by libfieldline, judged by an archive,
// shown by `fieldline events`. What is_dotted_name() and is_plain_text() let through may be printed
// on a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "proto/application.h"

namespace fieldline {

struct ApplicationEvent {
  std::uint64_t timestamp_ns = 0, sockid = 0;
  std::uint32_t pid = 0, tid = 0;
  std::uint8_t level = FL_APPLICATION_INFO;
  std::string_view name, host, program;
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
};

// Both ends refuse the same: invalid for what may not stand in an event, exhausted for what is too
// long. Of a parsed event the views are into the body; unsupported: it is of a later version.
Result<Bytes> encode(const ApplicationEvent& event);
Result<ApplicationEvent> parse_application_event(ByteView body);

// Words of letters, digits, '_' and '-', with dots between them.
bool is_dotted_name(std::string_view text);
// UTF-8 without control characters and without those that turn the direction of writing.
bool is_plain_text(std::string_view text);

const char* level_name(std::uint8_t level);  // "Info"; null if there is none
std::optional<std::uint8_t> level_of(std::string_view name);

}  // namespace fieldline
