// SPDX-License-Identifier: Apache-2.0
#include "sense/signer_options.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace fieldline::sense {

namespace {

bool same_name(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// name or name="value"; advances past it. \" in a value is a quote.
struct Option {
  std::string name;
  std::optional<std::string> value;
};

Result<Option> take_option(std::string_view& rest) {
  Option option;
  auto end = std::min(rest.find_first_of(",="), rest.size());
  option.name = std::string(rest.substr(0, end));
  rest.remove_prefix(end);
  if (!rest.starts_with('=')) return option;
  rest.remove_prefix(1);
  if (!rest.starts_with('"')) {
    return fail(Code::invalid, "option '" + option.name + "' wants its value in quotes");
  }
  std::string value;
  std::size_t at = 1;
  while (at < rest.size() && rest[at] != '"') {
    if (rest[at] == '\\' && at + 1 < rest.size() && rest[at + 1] == '"') ++at;
    value += rest[at++];
  }
  if (at == rest.size()) {
    return fail(Code::invalid, "the quote of option '" + option.name + "' is not closed");
  }
  rest.remove_prefix(at + 1);
  option.value = std::move(value);
  return option;
}

Result<void> set_time(const Option& option, bool given, std::uint64_t& to) {
  if (given) return fail(Code::invalid, "option '" + option.name + "' stands twice");
  auto time = parse_timestamp_ns(*option.value);
  if (!time) return std::move(time).error().in(option.name);
  to = *time;
  return {};
}

Result<void> set_option(const Option& option, Signer& signer) {
  if (same_name(option.name, "cert-authority")) {
    return fail(Code::unsupported,
                "cert-authority is not honoured yet; list the users' keys themselves");
  }
  bool after = same_name(option.name, "valid-after");
  bool before = same_name(option.name, "valid-before");
  bool namespaces = same_name(option.name, "namespaces");
  if (!after && !before && !namespaces) {
    return fail(Code::unsupported, "unknown option '" + option.name +
                                       "'; namespaces, valid-after and valid-before are honoured");
  }
  if (!option.value) return fail(Code::invalid, "option '" + option.name + "' has no value");
  if (after) return set_time(option, signer.valid_after_ns != 0, signer.valid_after_ns);
  if (before) return set_time(option, signer.valid_before_ns != UINT64_MAX, signer.valid_before_ns);
  if (!signer.namespaces.empty()) return fail(Code::invalid, "option 'namespaces' stands twice");
  auto list = split_list(*option.value);
  if (!list) return std::move(list).error().in("namespaces");
  signer.namespaces = std::move(*list);
  return {};
}

Result<int> number_at(std::string_view text, std::size_t at, std::size_t digits) {
  int value = 0;
  for (char c : text.substr(at, digits)) {
    if (c < '0' || c > '9') return fail(Code::invalid, "'" + std::string(text) + "' is not a time");
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

Result<void> parse_options(std::string_view field, Signer& signer) {
  for (;;) {
    auto option = take_option(field);
    if (!option) return option.error();
    auto set = set_option(*option, signer);
    if (!set) return set.error();
    if (field.empty()) break;
    if (!field.starts_with(',')) {
      return fail(Code::invalid, "a comma is missing behind option '" + option->name + "'");
    }
    field.remove_prefix(1);
  }
  if (signer.valid_before_ns <= signer.valid_after_ns) {
    return fail(Code::invalid, "valid-before is not after valid-after");
  }
  return {};
}

Result<std::vector<std::string>> split_list(std::string_view list) {
  std::vector<std::string> words;
  for (;;) {
    auto comma = std::min(list.find(','), list.size());
    if (comma == 0) return fail(Code::invalid, "a name in the list is empty");
    words.emplace_back(list.substr(0, comma));
    if (comma == list.size()) return words;
    list.remove_prefix(comma + 1);
  }
}

Result<std::uint64_t> parse_timestamp_ns(std::string_view text) {
  const std::string shown(text);
  if (!text.ends_with('Z')) {
    return fail(Code::unsupported,
                "'" + shown +
                    "' has no Z; without it the time depends on the reader's zone: "
                    "write it in UTC as YYYYMMDD[HHMM[SS]]Z");
  }
  text.remove_suffix(1);
  if (text.size() != 8 && text.size() != 12 && text.size() != 14) {
    return fail(Code::invalid, "'" + shown + "' is not YYYYMMDD[HHMM[SS]]Z");
  }
  std::array<int, 6> part{};
  constexpr std::array<std::size_t, 6> kAt{0, 4, 6, 8, 10, 12}, kDigits{4, 2, 2, 2, 2, 2};
  for (std::size_t i = 0; i < part.size() && kAt[i] < text.size(); ++i) {
    auto number = number_at(text, kAt[i], kDigits[i]);
    if (!number) return number.error();
    part[i] = *number;
  }
  namespace chrono = std::chrono;
  chrono::year_month_day day{chrono::year(part[0]), chrono::month(static_cast<unsigned>(part[1])),
                             chrono::day(static_cast<unsigned>(part[2]))};
  if (!day.ok() || part[0] < 1970 || part[0] > 2500 || part[3] > 23 || part[4] > 59 ||
      part[5] > 59) {
    return fail(Code::invalid, "'" + shown + "' is not a time");
  }
  auto seconds = chrono::sys_days(day).time_since_epoch() / chrono::seconds(1) + part[3] * 3600 +
                 part[4] * 60 + part[5];
  return static_cast<std::uint64_t>(seconds) * kNanosPerSecond;
}

}  // namespace fieldline::sense
