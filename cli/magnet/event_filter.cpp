// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/event_filter.h"

#include <time.h>

#include <charconv>
#include <optional>

#include "base/clock.h"
#include "magnet/names.h"

namespace fieldline::cli {

namespace {

// "12", "12.5": nanoseconds of so many seconds.
std::optional<std::uint64_t> parse_seconds(std::string_view text) {
  std::uint64_t whole = 0;
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, whole);
  if (error != std::errc() || whole > UINT64_MAX / kNanosPerSecond - 1) return std::nullopt;
  std::uint64_t ns = whole * kNanosPerSecond;
  if (at == end) return ns;
  if (*at++ != '.' || at == end) return std::nullopt;
  for (std::uint64_t digit = kNanosPerSecond / 10; at != end; ++at, digit /= 10) {
    if (*at < '0' || *at > '9') return std::nullopt;
    ns += static_cast<std::uint64_t>(*at - '0') * digit;
  }
  return ns;
}

std::optional<std::uint64_t> parse_utc(const std::string& text) {
  tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  const time_t seconds = ::timegm(&parts);
  std::string_view tail(rest);
  if (seconds < 0 || tail.empty() || tail.back() != 'Z') return std::nullopt;
  tail.remove_suffix(1);
  const auto fraction =
      tail.empty() ? std::optional<std::uint64_t>(0) : parse_seconds("0" + std::string(tail));
  if (!fraction) return std::nullopt;
  if (static_cast<std::uint64_t>(seconds) >= UINT64_MAX / kNanosPerSecond) return UINT64_MAX;
  return static_cast<std::uint64_t>(seconds) * kNanosPerSecond + *fraction;
}

}  // namespace

Result<Moment> parse_moment(const std::string& text) {
  std::optional<std::uint64_t> ns;
  bool relative = false;
  if (text.starts_with('@')) {
    ns = parse_seconds(std::string_view(text).substr(1));
  } else if (text.find('T') != std::string::npos) {
    ns = parse_utc(text);
  } else {
    relative = true;
    ns = parse_seconds(text);
    if (const auto duration = parse_duration_ns(text); !ns && duration != 0) ns = duration;
  }
  if (ns) return Moment{relative, *ns};
  return fail(Code::invalid, "'" + text +
                                 "' is not a time; write 1.5 or 90s (from the start), "
                                 "2026-11-21T23:11:00.5Z (UTC) or @SECONDS since the epoch");
}

Result<void> EventFilter::since(const std::string& text) {
  auto moment = parse_moment(text);
  if (!moment) return std::move(moment.error()).in("--since");
  since_ = *moment;
  has_since_ = true;
  return {};
}

Result<void> EventFilter::until(const std::string& text) {
  auto moment = parse_moment(text);
  if (!moment) return std::move(moment.error()).in("--until");
  until_ = *moment;
  has_until_ = true;
  return {};
}

Result<void> EventFilter::add_event(const std::string& name) {
  if (auto layer = magnet::layer_number(name)) {
    layers_.insert(*layer);
    return {};
  }
  if (auto code = magnet::event_code(name)) {
    codes_.insert(*code);
    return {};
  }
  std::string known = "sock, tcp, udp, ip, dev";
  for (const auto& event : magnet::event_names()) known += std::string(", ") + event.name;
  return fail(Code::invalid,
              "--event " + name + ": a layer, a name or a code: " + known + ", 0x8001");
}

bool EventFilter::passes_time(std::uint64_t utc_ns) const {
  if (has_since_ && utc_ns < since_.utc_ns(start_)) return false;
  return !has_until_ || utc_ns < until_.utc_ns(start_);
}

bool EventFilter::passes_event(std::uint32_t code) const {
  if (!names_events()) return true;
  const auto layer = magnet::layer_of(code);
  return codes_.contains(code) || (layer && layers_.contains(*layer));
}

bool EventFilter::passes(const magnet::Event& event) const {
  const auto& head = event.record.head;
  if (!sockets_.empty() && !sockets_.contains(head.sockid)) return false;
  return passes_time(event.when.utc_ns) && passes_event(head.event);
}

bool EventFilter::over(const magnet::Event& event) const {
  // A clock that was set back may bring some more: a minute's grace.
  constexpr std::uint64_t kGrace = 60 * kNanosPerSecond;
  return has_until_ && event.when.utc_ns >= kGrace &&
         event.when.utc_ns - kGrace >= until_.utc_ns(start_);
}

}  // namespace fieldline::cli
