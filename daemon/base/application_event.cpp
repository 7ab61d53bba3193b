// SPDX-License-Identifier: Apache-2.0
#include "base/application_event.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace fieldline {

namespace {

constexpr std::size_t kTextMax = 255;  // host and program: their lengths have 8 bits
constexpr const char* kLevels[] = {"Fatal", "Error", "Warn", "Info", "Debug", "Trace"};

struct Decoded {
  char32_t character = 0;
  std::size_t bytes = 0;  // 0: not UTF-8
};

// RFC 3629: the shortest form alone, no surrogates, nothing beyond U+10FFFF.
Decoded decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return {};
  char32_t character = first & (0x7f >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    character = character << 6 | (byte(i) & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (character < kLeast[length] || character > 0x10ffff) return {};
  if (character >= 0xd800 && character <= 0xdfff) return {};
  return {character, length};
}

// Line and paragraph separators and the marks of UAX #9 make a line read as what it is not.
bool is_treacherous(char32_t c) {
  const bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
  const bool direction = c == 0x061c || c == 0x200e || c == 0x200f ||
                         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  return control || direction;
}

Error bad(const std::string& what) {
  return fail(Code::invalid, "application event: " + what);
}

Error too_much(const std::string& what, std::size_t has, std::size_t most) {
  return fail(Code::exhausted, "application event: " + what + " of " + std::to_string(has) +
                                   "; at most " + std::to_string(most));
}

Result<void> check(const ApplicationEvent& event) {
  if (level_name(event.level) == nullptr) return bad("no level " + std::to_string(event.level));
  if (event.name.size() > FL_APPLICATION_NAME_MAX)
    return too_much("a name", event.name.size(), FL_APPLICATION_NAME_MAX);
  if (!is_dotted_name(event.name))
    return bad("a name is words of letters, digits, '_' and '-' with dots between them");
  for (const auto& text : {event.host, event.program}) {
    if (text.size() > kTextMax) return too_much("a host or program", text.size(), kTextMax);
    if (!is_plain_text(text)) return bad("a host or program that is no plain text");
  }
  if (event.pairs.size() > FL_APPLICATION_PAIRS_MAX)
    return too_much("pairs", event.pairs.size(), FL_APPLICATION_PAIRS_MAX);
  for (const auto& [key, value] : event.pairs) {
    if (key.size() > FL_APPLICATION_KEY_MAX)
      return too_much("a key", key.size(), FL_APPLICATION_KEY_MAX);
    if (!is_dotted_name(key))
      return bad("a key is words of letters, digits, '_' and '-' with dots between them");
    if (value.size() > FL_APPLICATION_EVENT_MAX)
      return too_much("a value", value.size(), FL_APPLICATION_EVENT_MAX);
    if (!is_plain_text(value))
      return bad("the value of '" + std::string(key) +
                 "' is not UTF-8, or has control characters: escape what is to stand in it");
  }
  return {};
}

}  // namespace

bool is_dotted_name(std::string_view text) {
  bool in_word = false;
  for (char c : text) {
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!is_word && (c != '.' || !in_word)) return false;
    in_word = is_word;
  }
  return in_word;
}

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    const Decoded next = decode(text);
    if (next.bytes == 0 || is_treacherous(next.character)) return false;
    text.remove_prefix(next.bytes);
  }
  return true;
}

const char* level_name(std::uint8_t level) {
  return level >= 1 && level <= std::size(kLevels) ? kLevels[level - 1] : nullptr;
}

std::optional<std::uint8_t> level_of(std::string_view name) {
  auto same = [&](const char* level) {
    return std::equal(name.begin(), name.end(), level, level + std::string_view(level).size(),
                      [](char a, char b) { return (a | 0x20) == (b | 0x20); });
  };
  auto found = std::find_if(std::begin(kLevels), std::end(kLevels), same);
  if (found == std::end(kLevels)) return std::nullopt;
  return static_cast<std::uint8_t>(found - std::begin(kLevels) + 1);
}

Result<Bytes> encode(const ApplicationEvent& event) {
  auto sound = check(event);
  if (!sound) return sound.error();
  fl_application_event head{};
  head.version = big_endian(std::uint16_t{FL_APPLICATION_VERSION});
  head.level = event.level;
  head.pairs = static_cast<std::uint8_t>(event.pairs.size());
  head.name_len = static_cast<std::uint8_t>(event.name.size());
  head.host_len = static_cast<std::uint8_t>(event.host.size());
  head.program_len = static_cast<std::uint8_t>(event.program.size());
  head.pid = big_endian(event.pid);
  head.tid = big_endian(event.tid);
  head.timestamp_ns = big_endian(event.timestamp_ns);
  head.sockid = big_endian(event.sockid);
  Bytes body;
  append_struct(body, head);
  for (const auto& text : {event.name, event.host, event.program}) append(body, view(text));
  for (const auto& [key, value] : event.pairs) {
    fl_application_pair pair{};
    pair.key_len = static_cast<std::uint8_t>(key.size());
    pair.value_len = big_endian(static_cast<std::uint16_t>(value.size()));
    append_struct(body, pair);
    append(body, view(key));
    append(body, view(value));
  }
  if (body.size() > FL_APPLICATION_EVENT_MAX)
    return too_much("bytes", body.size(), FL_APPLICATION_EVENT_MAX);
  return body;
}

Result<ApplicationEvent> parse_application_event(ByteView body) {
  if (body.size() > FL_APPLICATION_EVENT_MAX)
    return too_much("bytes", body.size(), FL_APPLICATION_EVENT_MAX);
  ByteReader reader(body);
  auto version = ByteReader(body).take_struct<std::uint16_t>();
  if (!version) return std::move(version.error()).in("application event");
  if (big_endian(*version) != FL_APPLICATION_VERSION) {
    return fail(Code::unsupported, "an application event of version " +
                                       std::to_string(big_endian(*version)) + ": update");
  }
  auto head = reader.take_struct<fl_application_event>();
  if (!head) return std::move(head.error()).in("application event");
  ApplicationEvent event;
  event.level = head->level;
  event.pid = big_endian(std::uint32_t{head->pid});
  event.tid = big_endian(std::uint32_t{head->tid});
  event.timestamp_ns = big_endian(std::uint64_t{head->timestamp_ns});
  event.sockid = big_endian(std::uint64_t{head->sockid});
  bool whole = true;
  const auto take = [&](std::size_t length) {
    auto bytes = reader.take(length);
    whole = whole && bytes.has_value();
    return bytes ? text(*bytes) : std::string_view();
  };
  event.name = take(head->name_len);
  event.host = take(head->host_len);
  event.program = take(head->program_len);
  for (unsigned i = 0; whole && i < head->pairs; ++i) {
    auto pair = reader.take_struct<fl_application_pair>();
    if (!pair) return std::move(pair.error()).in("application event");
    const auto key = take(pair->key_len);
    event.pairs.emplace_back(key, take(big_endian(std::uint16_t{pair->value_len})));
  }
  if (!whole || reader.left() != 0) return bad("its lengths and its bytes disagree");
  auto sound = check(event);
  if (!sound) return sound.error();
  return event;
}

}  // namespace fieldline
