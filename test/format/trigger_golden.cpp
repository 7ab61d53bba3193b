// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/trigger.md, byte for byte: made here, read here, and read from
// the page.
#include <catch2/catch.hpp>
#include <sstream>

#include "test/unit/sense_process.h"
#include "test/unit/sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::kSecond;

namespace {

constexpr const char* kPage = "docs/format/trigger.md";

constexpr const char* kGolden =
    "f14c444c494e450a01000000009c004001000000010106010000000000112233445566778899aabbccddeeff"
    "7def39264223a3c5d62f016a1efd1e4fdf793eb42cd84471e1ba9f0cf04d1287b5cc71f616287cb818fae276"
    "93b4000018fae302467d700000000000000000000000ffff0a00000100000000000000000000ffff0a000302"
    "8080000000000001000000000000000000000000000000000000000000000000000000000000000000001451"
    "4853c65c2047fc7ec19915f72a43178c80de5f07037a394742ccd785b46ba8b40038506b49863cd6407426f7"
    "b34dbf8779b8188068ff7243c3b8c20d88afd204000000010000000018fae27693b4000018fae278e7bfe400"
    "34a313817e79a03f0b3732474dcc0e49da5cea10498aab3239ce639225609965acb6e18c47dde8205e9994c8"
    "88e7f23f914627f3713c367758d61fc243c7220c";

test::Sender example() {
  test::Sender sender(1);
  sender.grant.run = RunId::parse("00112233445566778899aabbccddeeff").value();
  return sender;
}

Bytes golden() {
  Bytes bytes(std::string_view(kGolden).size() / 2);
  REQUIRE(from_hex(kGolden, bytes).has_value());
  return bytes;
}

// The lines of the fenced blocks with this language.
std::vector<std::string> block(const std::string& language) {
  std::istringstream page(read_file(kPage).value());
  std::vector<std::string> lines;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("```")) {
      inside = !inside && line == "```" + language;
    } else if (inside) {
      lines.push_back(line);
    }
  }
  return lines;
}

}  // namespace

TEST_CASE("the golden trigger is what encode makes") {
  CHECK(to_hex(example().trigger(1, kNow)) == kGolden);
}

TEST_CASE("the golden trigger decodes and verifies") {
  auto trigger = decode_trigger(golden());
  REQUIRE(trigger.has_value());
  const Grant& grant = trigger->grant;
  CHECK(grant.verb == FL_VERB_CAPTURE);
  CHECK(grant.protocol == IPPROTO_TCP);
  CHECK(grant.pairs == std::vector<PortPair>{{0, 5201}});
  CHECK(grant.run.hex() == "00112233445566778899aabbccddeeff");
  CHECK(grant.host_a.to_string() == "10.0.0.1");
  CHECK(grant.host_b.to_string() == "10.0.3.2");
  CHECK(grant.issued_at_ns == kNow);
  CHECK(grant.not_after_ns == kNow + 600 * kSecond);
  CHECK(grant.snaplen == FL_SNAPLEN_HEADERS);
  CHECK(trigger->pulse.sequence == 1);
  CHECK(trigger->pulse.expiry_ns == kNow + 10 * kSecond);
  CHECK(verify_grant(example().user.public_key, *trigger));
  CHECK(verify_pulse(*trigger));
}

TEST_CASE("the page's annotated bytes are the golden ones, at the offsets that it gives") {
  Bytes bytes;
  for (const std::string& line : block("hex")) {
    // offset | bytes | meaning
    auto first = line.find('|'), second = line.find('|', first + 1);
    INFO(line);
    REQUIRE(second != std::string::npos);
    CHECK(std::stoul(line.substr(0, first)) == bytes.size());
    std::string digits = line.substr(first + 1, second - first - 1);
    std::erase(digits, ' ');
    Bytes part(digits.size() / 2);
    REQUIRE(from_hex(digits, part).has_value());
    append(bytes, part);
  }
  CHECK(to_hex(bytes) == kGolden);
}

TEST_CASE("the page names every reason with its remedy") {
  const std::string page = read_file(kPage).value();
  for (std::size_t i = 0; i < kReasons; ++i) {
    auto reason = static_cast<Reason>(i);
    INFO(name_of(reason));
    CHECK(page.find(std::string("| `") + name_of(reason) + "` |") != std::string::npos);
    CHECK(page.find(remedy_of(reason)) != std::string::npos);
  }
}

TEST_CASE("the page's commands make ssh-keygen verify the golden grant, and refuse a changed one") {
  test::TemporaryFolder folder;
  std::string script = "set -euo pipefail; cd " + (folder / "") + "\n";
  for (const std::string& line : block("sh")) script += line + "\n";
  folder.write("check", view(script));
  folder.write("key.pub", view("ssh-ed25519 " +
                               to_base64(public_key_blob(example().user.public_key)) + " ops\n"));
  Bytes bytes = golden();
  folder.write("trigger.bin", bytes);
  int status = test::Process{{"bash", folder / "check"}}.run(folder / "output");
  INFO(folder.read("output"));
  CHECK(status == 0);
  CHECK(folder.read("output").starts_with("Good \"grant@fieldline\" signature for ops@site-a"));

  bytes[sizeof(fl_trigger_header) + 115] = 200;  // snaplen
  folder.write("trigger.bin", bytes);
  CHECK(test::Process{{"bash", folder / "check"}}.run(folder / "output") != 0);
}
