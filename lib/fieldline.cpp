// SPDX-License-Identifier: Apache-2.0
// The C interface: arguments in, codes out, nothing thrown.
#pragma GCC visibility push(default)
#include "lib/fieldline.h"
#pragma GCC visibility pop

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>

#include "lib/handles.h"
#include "proto/application.h"

using namespace fieldline;
using namespace fieldline::lib;

namespace {

constexpr std::size_t kBufferMin = 4096, kBufferMax = std::size_t{1} << 30;
constexpr std::size_t kLargest = 4096;  // of a struct of any version

// Plain bytes: a thread's end has nothing to destroy.
thread_local char last_error[1024] = "";

int complain(int code, std::string_view text) {
  const std::size_t size = std::min(text.size(), sizeof last_error - 1);
  std::memcpy(last_error, text.data(), size);
  last_error[size] = '\0';
  return code;
}

int code_of(Code code) {
  switch (code) {
    case Code::invalid:
    case Code::truncated:
      return FIELDLINE_INVALID;
    case Code::unsupported:
      return FIELDLINE_UNSUPPORTED;
    case Code::denied:
      return FIELDLINE_DENIED;
    case Code::not_found:
      return FIELDLINE_NOT_FOUND;
    case Code::exhausted:
      return FIELDLINE_EXHAUSTED;
    case Code::timeout:
      return FIELDLINE_TIMEOUT;
    case Code::io:
    case Code::closed:
      return FIELDLINE_IO;
  }
  return FIELDLINE_IO;
}

int complain(const Error& error) {
  return complain(code_of(error.code), error.text());
}

template <class F>
int guarded(F&& f) noexcept {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return complain(FIELDLINE_EXHAUSTED, "out of memory");
  } catch (const std::exception& error) {
    return complain(FIELDLINE_IO, error.what());
  }
}

// The caller's process and handle, or why not.
int usable(const fieldline_handle* handle) {
  if (handle == nullptr)
    return complain(FIELDLINE_CLOSED, "no handle: fieldline_on() failed, or was not called");
  if (handle->owner != ::getpid())
    return complain(FIELDLINE_FORKED,
                    "the handle is the parent's; call fieldline_on() in this process");
  return FIELDLINE_OK;
}

// A struct of the caller's, of another version perhaps: what this one does not know must be zero.
Result<fieldline_options> known_part(const fieldline_options* options) {
  fieldline_options known{};
  known.size = sizeof known;
  if (options == nullptr) return known;
  constexpr std::size_t kOldest = sizeof(fieldline_options);
  if (options->size < kOldest || options->size > kLargest)
    return fail(Code::invalid, "options.size is no version's; set it to sizeof options");
  const auto* bytes = reinterpret_cast<const char*>(options);
  if (std::any_of(bytes + sizeof known, bytes + std::max(options->size, sizeof known),
                  [](char byte) { return byte != 0; })) {
    return fail(Code::unsupported,
                "options that this library does not know; it is version " FIELDLINE_VERSION);
  }
  std::memcpy(&known, options, sizeof known);
  return known;
}

std::string text_or_empty(const char* text) {
  return text != nullptr ? text : "";
}

Result<MonitorOptions> options_of(const fieldline_options* given) {
  auto known = known_part(given);
  if (!known) return known.error();
  MonitorOptions options;
  options.config = text_or_empty(known->config);
  options.archive = text_or_empty(known->archive);
  options.identity = text_or_empty(known->identity);
  options.host = text_or_empty(known->host);
  options.program = text_or_empty(known->program);
  if (known->for_seconds != 0) options.for_ns = known->for_seconds * kNanosPerSecond;
  if (known->on_timeout_ms != 0) options.on_timeout_ns = known->on_timeout_ms * kNanosPerMilli;
  if (known->off_timeout_ms != 0) options.off_timeout_ns = known->off_timeout_ms * kNanosPerMilli;
  if (known->sample != 0) options.sample = known->sample;
  if (known->buffer_bytes != 0) options.buffer_bytes = known->buffer_bytes;
  if (known->snaplen > UINT16_MAX || known->trigger_port > UINT16_MAX)
    return fail(Code::invalid, "options: snaplen and trigger_port are at most 65535");
  options.snaplen = static_cast<std::uint16_t>(known->snaplen);
  options.trigger_port = static_cast<std::uint16_t>(known->trigger_port);
  if (!std::has_single_bit(options.sample))
    return fail(Code::invalid, "options: sample is a power of two");
  if (options.buffer_bytes < kBufferMin || options.buffer_bytes > kBufferMax)
    return fail(Code::invalid, "options: buffer_bytes is 4096 to 1 GiB");
  return options;
}

// As much of them as the caller's struct holds.
int give(const Counts& from, fieldline_counts* to) {
  if (to == nullptr) return FIELDLINE_OK;
  fieldline_counts counts{};
  if (to->size < sizeof counts.size || to->size > kLargest)
    return complain(FIELDLINE_INVALID, "counts.size is not set; set it to sizeof counts");
  counts.size = to->size;
  counts.written = from.written;
  counts.acknowledged = from.acknowledged;
  counts.dropped = from.dropped;
  counts.pending = from.pending;
  counts.refused = from.refused;
  counts.pulses = from.pulses;
  counts.connected = from.connected ? 1 : 0;
  const std::size_t known = std::min(to->size, sizeof counts);
  std::memset(reinterpret_cast<char*>(to) + known, 0, to->size - known);
  std::memcpy(to, &counts, known);
  return FIELDLINE_OK;
}

int write(fieldline_handle* handle, const char* name, Result<Pairs> pairs) {
  if (!pairs) {
    handle->monitor->refuse();
    return complain(pairs.error());
  }
  auto written = handle->monitor->write(name, std::move(*pairs));
  return written ? FIELDLINE_OK : complain(written.error());
}

Result<Pairs> formatted(const char* format, va_list arguments) {
  if (format == nullptr) return Pairs{};
  char text[FL_APPLICATION_EVENT_MAX + 1];
  const int size = std::vsnprintf(text, sizeof text, format, arguments);
  if (size < 0) return fail(Code::invalid, "the format cannot be printed");
  if (static_cast<std::size_t>(size) >= sizeof text)
    return fail(Code::exhausted,
                "an event has at most " + std::to_string(FL_APPLICATION_EVENT_MAX) + " bytes");
  return parse_pairs(text);
}

}  // namespace

int fieldline_on(int socket, const fieldline_options* options, fieldline_handle** handle) {
  if (handle == nullptr) return complain(FIELDLINE_INVALID, "no place for the handle");
  *handle = nullptr;
  return guarded([&] {
    auto wanted = options_of(options);
    if (!wanted) return complain(wanted.error());
    end_with_process();
    auto made = std::make_unique<fieldline_handle>();
    auto monitor = Monitor::switch_on(socket, *wanted);
    if (!monitor) return complain(monitor.error());
    made->owner = ::getpid();
    made->monitor = std::move(*monitor);
    *handle = remember(std::move(made));
    return int{FIELDLINE_OK};
  });
}

int fieldline_event(fieldline_handle* handle, const char* name, const char* format, ...) {
  if (int code = usable(handle); code != FIELDLINE_OK) return code;
  if (name == nullptr) return complain(FIELDLINE_INVALID, "an event has a name");
  va_list arguments;
  va_start(arguments, format);
  const int code = guarded([&] { return write(handle, name, formatted(format, arguments)); });
  va_end(arguments);
  return code;
}

int fieldline_event_pairs(fieldline_handle* handle, const char* name, const fieldline_pair* pairs,
                          size_t count) {
  if (int code = usable(handle); code != FIELDLINE_OK) return code;
  if (name == nullptr || (pairs == nullptr && count != 0))
    return complain(FIELDLINE_INVALID, "an event has a name, and as many pairs as it says");
  return guarded([&] {
    Pairs taken;
    // One more than an event may have, besides its level: the event's own check says so.
    for (size_t i = 0; i < std::min<size_t>(count, FL_APPLICATION_PAIRS_MAX + 2); ++i)
      taken.emplace_back(text_or_empty(pairs[i].key), text_or_empty(pairs[i].value));
    return write(handle, name, std::move(taken));
  });
}

int fieldline_get_counts(fieldline_handle* handle, fieldline_counts* counts) {
  if (int code = usable(handle); code != FIELDLINE_OK) return code;
  return guarded([&] { return give(handle->monitor->counts(), counts); });
}

int fieldline_off(fieldline_handle* handle, fieldline_counts* counts) {
  if (int code = usable(handle); code != FIELDLINE_OK) return code;
  return guarded([&] {
    const Counts ended = handle->monitor->switch_off(handle->monitor->off_timeout_ns());
    forget(handle);
    if (int code = give(ended, counts); code != FIELDLINE_OK) return code;
    if (ended.acknowledged == ended.written) return int{FIELDLINE_OK};
    return complain(FIELDLINE_PARTIAL,
                    std::to_string(ended.written - ended.acknowledged) + " of " +
                        std::to_string(ended.written) +
                        " events were not acknowledged: " + std::to_string(ended.dropped) +
                        " dropped, " + std::to_string(ended.pending) +
                        " not known; is the archive up, and does it take applications' events?");
  });
}

const char* fieldline_run(const fieldline_handle* handle) {
  return handle != nullptr ? handle->monitor->run().c_str() : "";
}

const char* fieldline_error(void) {
  return last_error;
}

const char* fieldline_code_name(int code) {
  static const char* const kNames[] = {"ok",        "invalid",   "unsupported", "denied",
                                       "not_found", "exhausted", "io",          "closed",
                                       "timeout",   "partial",   "forked"};
  const bool known = code >= 0 && static_cast<std::size_t>(code) < std::size(kNames);
  return known ? kNames[code] : "unknown";
}

const char* fieldline_version(void) {
  return FIELDLINE_VERSION;
}
