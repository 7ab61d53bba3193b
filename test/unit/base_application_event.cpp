// SPDX-License-Identifier: Apache-2.0
// What may stand in an application's event, at either end.
#include <catch2/catch.hpp>

#include <random>
#include <string>

#include "base/application_event.h"

using namespace fieldline;

namespace {

ApplicationEvent sound() {
  ApplicationEvent event;
  event.timestamp_ns = 1'700'000'000'000'000'001;
  event.sockid = 77;
  event.pid = 10;
  event.tid = 11;
  event.level = FL_APPLICATION_WARN;
  event.name = "gridftp.read.start";
  event.host = "dtn1";
  event.program = "xfer";
  event.pairs = {{"bytes", "131072"}, {"file", "/data/ä b=\"c\""}, {"bytes", ""}};
  return event;
}

Code code_of(const ApplicationEvent& event) {
  auto encoded = encode(event);
  REQUIRE_FALSE(encoded.has_value());
  return encoded.error().code;
}

// What a writer that checks nothing would send.
Bytes forged(std::string_view name, std::string_view key, std::string_view value) {
  ApplicationEvent event = sound();
  const std::string same_name(name.size(), 'n'), same_key(key.size(), 'k'),
      same_value(value.size(), 'v');
  event.name = same_name;
  event.pairs = {{same_key, same_value}};
  Bytes body = encode(event).value();
  auto put = [&](std::size_t at, std::string_view text) {
    std::copy(text.begin(), text.end(), body.begin() + static_cast<std::ptrdiff_t>(at));
  };
  const std::size_t pair = 32 + name.size() + event.host.size() + event.program.size();
  put(32, name);
  put(pair + 4, key);
  put(pair + 4 + key.size(), value);
  return body;
}

}  // namespace

TEST_CASE("an application's event comes back as it went in, its pairs in their order") {
  const Bytes body = encode(sound()).value();
  const auto event = parse_application_event(body).value();
  CHECK(event.timestamp_ns == sound().timestamp_ns);
  CHECK(event.sockid == 77);
  CHECK(event.pid == 10);
  CHECK(event.tid == 11);
  CHECK(event.level == FL_APPLICATION_WARN);
  CHECK(event.name == sound().name);
  CHECK(event.host == "dtn1");
  CHECK(event.program == "xfer");
  CHECK(event.pairs == sound().pairs);
}

TEST_CASE("names and keys are dotted words") {
  for (const char* good : {"a", "a.b", "A-1_x.9", "gridftp.read.start"})
    CHECK(is_dotted_name(good));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a\x1b[2J", "\xc3\xa4", "a=b", "a/b"})
    CHECK_FALSE(is_dotted_name(bad));
}

TEST_CASE("EscapeSequencesReachTheTerminal: text is UTF-8 that shows what it is") {
  for (const char* good : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"})
    CHECK(is_plain_text(good));
  for (const char* bad : {"\x1b[2J", "a\nb", "\t", "\x7f", "\xc2\x9b", "\xe2\x80\xae",
                          "\xe2\x81\xa6", "\xe2\x80\xa8", "\xd8\x9c"})
    CHECK_FALSE(is_plain_text(bad));
  // Not UTF-8: overlong, surrogates, beyond the last, cut, a continuation alone.
  for (const char* bad :
       {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\x80", "\xff"})
    CHECK_FALSE(is_plain_text(bad));
}

TEST_CASE("neither end takes what may not stand in an event") {
  ApplicationEvent event = sound();
  event.name = "a b";
  CHECK(code_of(event) == Code::invalid);
  event = sound();
  event.pairs.push_back({"k", "\x1b]0;owned\x07"});
  CHECK(code_of(event) == Code::invalid);
  event = sound();
  event.host = "a\nb";
  CHECK(code_of(event) == Code::invalid);
  event = sound();
  event.level = 0;
  CHECK(code_of(event) == Code::invalid);
  for (auto body : {forged("a\x1b", "k", "v"), forged("a", "k\n", "v"), forged("a", "k", "\x1b[2J"),
                    forged("a", "k", "\xc3")}) {
    CHECK_FALSE(parse_application_event(body).has_value());
  }
  CHECK(parse_application_event(forged("a.b", "k", "\xc3\xa4")).has_value());
}

TEST_CASE("what is too long or too many is refused as that") {
  const std::string name(FL_APPLICATION_NAME_MAX + 1, 'n'), key(FL_APPLICATION_KEY_MAX + 1, 'k'),
      value(FL_APPLICATION_EVENT_MAX, 'v');
  ApplicationEvent event = sound();
  event.name = name;
  CHECK(code_of(event) == Code::exhausted);
  event.name = std::string_view(name).substr(1);
  CHECK(encode(event).has_value());
  event = sound();
  event.pairs = {{key, ""}};
  CHECK(code_of(event) == Code::exhausted);
  event.pairs = {{"k", value}};
  CHECK(code_of(event) == Code::exhausted);
  event.pairs.assign(FL_APPLICATION_PAIRS_MAX, {"k", "v"});
  CHECK(encode(event).has_value());
  event.pairs.push_back({"k", "v"});
  CHECK(code_of(event) == Code::exhausted);
  CHECK(parse_application_event(Bytes(FL_APPLICATION_EVENT_MAX + 1)).error().code ==
        Code::exhausted);
}

TEST_CASE("a body whose lengths lie is refused, cut or longer by whatever") {
  const Bytes body = encode(sound()).value();
  for (std::size_t size = 0; size < body.size(); ++size)
    CHECK_FALSE(parse_application_event(ByteView(body).first(size)).has_value());
  Bytes longer = body;
  longer.push_back(0);
  CHECK_FALSE(parse_application_event(longer).has_value());
  Bytes later = body;
  later[1] = 2;
  CHECK(parse_application_event(later).error().code == Code::unsupported);
}

TEST_CASE("damage from written-down seeds gives an event that may be shown, or none") {
  const Bytes body = encode(sound()).value();
  std::mt19937 random(20'261'122);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes damaged = body;
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes)
      damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
    auto event = parse_application_event(damaged);
    if (!event) continue;
    ++taken;
    bool shown = is_dotted_name(event->name) && is_plain_text(event->host);
    for (const auto& [key, value] : event->pairs)
      shown = shown && is_dotted_name(key) && is_plain_text(value);
    if (!shown) FAIL("change " << i);
  }
  CHECK(taken > 0);
}

TEST_CASE("levels are NetLogger's") {
  CHECK(level_of("info") == FL_APPLICATION_INFO);
  CHECK(level_of("Fatal") == FL_APPLICATION_FATAL);
  CHECK_FALSE(level_of("loud").has_value());
  CHECK_FALSE(level_of("").has_value());
  CHECK(std::string(level_name(FL_APPLICATION_TRACE)) == "Trace");
  CHECK(level_name(7) == nullptr);
}
