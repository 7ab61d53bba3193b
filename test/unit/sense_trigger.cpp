// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::kSecond;

namespace {

Trigger decoded(const Bytes& bytes) {
  auto trigger = decode_trigger(bytes);
  INFO((trigger ? "" : trigger.error().text()));
  REQUIRE(trigger.has_value());
  return *trigger;
}

std::string reason_of(const Bytes& bytes) {
  auto read = read_trigger(bytes);
  if (auto* refusal = std::get_if<Refusal>(&read)) {
    REQUIRE_FALSE(refusal->detail.empty());
    auto as_result = decode_trigger(bytes);
    REQUIRE_FALSE(as_result.has_value());
    REQUIRE(as_result.error().text().find(remedy_of(refusal->reason)) != std::string::npos);
    return name_of(refusal->reason);
  }
  return "accepted";
}

// Where the parts of test::Sender's trigger begin.
constexpr std::size_t kGrant = sizeof(fl_trigger_header);
constexpr std::size_t kPulse = kGrant + sizeof(fl_grant) + sizeof(fl_port_pair) + 64;

std::string reason_with(std::size_t at, std::uint8_t byte) {
  Bytes bytes = test::Sender().trigger(1, kNow);
  bytes.at(at) = byte;
  return reason_of(bytes);
}

}  // namespace

TEST_CASE("a trigger survives encode and decode with every member") {
  test::Sender sender;
  Grant& grant = sender.grant;
  grant.protocol = IPPROTO_UDP;
  grant.pairs = {{1, 2}, {0, 0}, {65535, 443}};
  grant.host_a = test::prefix("2001:db8:1::/48");
  grant.host_b = test::prefix("::/0");
  grant.snaplen = 300;
  grant.sample_n = 1u << 31;
  grant.archive.fill(0xab);
  Pulse pulse{0xfffffffe, kNow + 1, kNow + 2};
  Trigger trigger = decoded(sender.trigger(pulse));

  CHECK(trigger.grant.pairs == grant.pairs);
  CHECK(trigger.grant.sample_n == grant.sample_n);
  CHECK(trigger.grant.host_a == grant.host_a);
  CHECK(trigger.grant.host_b == grant.host_b);
  CHECK(trigger.grant.run == grant.run);
  CHECK(trigger.grant.key_id == grant.key_id);
  CHECK(trigger.grant.run_key == grant.run_key);
  CHECK(trigger.grant.issued_at_ns == grant.issued_at_ns);
  CHECK(trigger.grant.not_after_ns == grant.not_after_ns);
  CHECK(trigger.grant.snaplen == 300);
  CHECK(trigger.grant.archive == grant.archive);
  CHECK(trigger.grant.protocol == IPPROTO_UDP);
  CHECK(trigger.pulse.sequence == pulse.sequence);
  CHECK(trigger.pulse.issued_at_ns == pulse.issued_at_ns);
  CHECK(trigger.pulse.expiry_ns == pulse.expiry_ns);
  CHECK(verify_grant(sender.user.public_key, trigger));
  CHECK(verify_pulse(trigger));
}

TEST_CASE("a trigger with 32 pairs fits, 33 are malformed") {
  test::Sender sender;
  for (std::uint16_t port = 1; port < 32; ++port) sender.grant.pairs.push_back({port, 5201});
  Bytes bytes = sender.trigger(1, kNow);
  CHECK(bytes.size() <= FL_TRIGGER_MAX);
  CHECK(decoded(bytes).grant.pairs.size() == 32);
  sender.grant.pairs.push_back({40000, 5201});
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.pairs.clear();
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
}

TEST_CASE("a trigger cut at any length is malformed, and so is one with bytes behind it") {
  Bytes whole = test::Sender().trigger(1, kNow);
  REQUIRE(whole.size() == FL_TRIGGER_MIN);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK(reason_of(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))) ==
          "malformed");
  }
  Bytes longer = whole;
  longer.push_back(0);
  CHECK(reason_of(longer) == "malformed");
  longer.resize(FL_TRIGGER_MAX + 1);
  CHECK(reason_of(longer) == "malformed");
}

TEST_CASE("every flipped bit is refused by the codec or by a signature") {
  test::Sender sender;
  const Bytes whole = sender.trigger(1, kNow);
  unsigned by_codec = 0, by_signature = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Bytes bytes = whole;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    auto read = read_trigger(bytes);
    if (std::holds_alternative<Refusal>(read)) {
      ++by_codec;
      continue;
    }
    const auto& trigger = std::get<Trigger>(read);
    INFO("bit " << bit);
    REQUIRE_FALSE((verify_grant(sender.user.public_key, trigger) && verify_pulse(trigger)));
    ++by_signature;
  }
  CHECK(by_codec + by_signature == FL_TRIGGER_MIN * 8);
  CHECK(by_codec > 160);       // the header, reserved fields, counts, prefixes
  CHECK(by_signature > 1024);  // both signatures, whole
}

TEST_CASE("each field of the header that is not as it must be has its reason") {
  CHECK(reason_with(0, 0xf2) == "malformed");  // magic
  CHECK(reason_with(8, 2) == "unknown_version");
  CHECK(reason_with(9, 1) == "malformed");     // flags
  CHECK(reason_with(11, 1) == "malformed");    // a certificate that is not there
  CHECK(reason_with(13, 155) == "malformed");  // grant length
  CHECK(reason_with(15, 63) == "malformed");   // signature length
  CHECK(reason_with(16, 3) == "malformed");    // signature type
  CHECK(reason_with(16, 2) == "malformed");    // a hardware key's type with a plain key's length
  CHECK(reason_with(19, 1) == "malformed");    // reserved
  CHECK(reason_with(kGrant, 2) == "unknown_version");
  CHECK(reason_with(kGrant + 1, 0) == "malformed");     // no such verb
  CHECK(reason_with(kGrant + 1, 2) == "accepted");      // count
  CHECK(reason_with(kGrant + 1, 3) == "unsupported");   // test
  CHECK(reason_with(kGrant + 2, 47) == "unsupported");  // GRE
  CHECK(reason_with(kGrant + 4, 1) == "malformed");
  CHECK(reason_with(kPulse + 4, 1) == "malformed");
}

TEST_CASE("certificates, hardware keys and odd samplings are unsupported, not malformed") {
  Bytes whole = test::Sender().trigger(1, kNow);
  Bytes certificate = whole;
  certificate[11] = 4;
  certificate.insert(certificate.begin() + kGrant, 4, 0);
  CHECK(reason_of(certificate) == "unsupported");

  Bytes hardware = whole;
  hardware[15] = 69;
  hardware[16] = FL_SIGNATURE_SK_ED25519;
  hardware.insert(hardware.begin() + kPulse, 5, 0);
  CHECK(reason_of(hardware) == "unsupported");

  test::Sender sender;
  sender.grant.sample_n = 10;
  CHECK(reason_of(sender.trigger(1, kNow)) == "unsupported");
  sender.grant.sample_n = 0;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  for (unsigned bit = 0; bit < 32; ++bit) {
    sender.grant.sample_n = 1u << bit;
    CHECK(reason_of(sender.trigger(1, kNow)) == "accepted");
  }
  sender.grant.verb = FL_VERB_COUNT;  // of none there is no sample
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
}

TEST_CASE("hosts with bits behind their prefix are malformed, also in the mapped part") {
  test::Sender sender;
  sender.grant.host_a.length = 127;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.host_a = test::prefix("0.0.0.0/0");
  CHECK(reason_of(sender.trigger(1, kNow)) == "accepted");
  sender.grant.host_a.length = 95;  // half of ::ffff:
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.host_a.length = 129;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.host_a.length = 255;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.host_a = sender.grant.host_b = test::prefix("::/0");
  CHECK(reason_of(sender.trigger(1, kNow)) == "accepted");
}

TEST_CASE("times that contradict each other are malformed, at the ends of the range too") {
  test::Sender sender;
  constexpr std::uint64_t last = UINT64_MAX;
  CHECK(reason_of(sender.trigger({1, kNow, kNow - 1})) == "malformed");
  CHECK(reason_of(sender.trigger({1, kNow, kNow})) == "accepted");
  CHECK(reason_of(sender.trigger({1, kNow, kNow + kPulseWindowMax})) == "accepted");
  CHECK(reason_of(sender.trigger({1, kNow, kNow + kPulseWindowMax + 1})) == "malformed");
  CHECK(reason_of(sender.trigger({1, 0, last})) == "malformed");
  CHECK(reason_of(sender.trigger({1, kNow - 1, kNow})) == "malformed");  // older than its grant
  CHECK(reason_of(sender.trigger({1, last, last})) == "accepted");
  sender.grant.not_after_ns = kNow;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.issued_at_ns = last;
  sender.grant.not_after_ns = 0;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
}

TEST_CASE("ICMP has no ports, and no run is named zero") {
  test::Sender sender;
  sender.grant.protocol = IPPROTO_ICMP;
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
  sender.grant.pairs = {{0, 0}};
  CHECK(reason_of(sender.trigger(1, kNow)) == "accepted");
  sender.grant.protocol = IPPROTO_ICMPV6;
  CHECK(reason_of(sender.trigger(1, kNow)) == "accepted");
  sender.grant.run = {};
  CHECK(reason_of(sender.trigger(1, kNow)) == "malformed");
}

TEST_CASE("a key of small order verifies nothing") {
  test::Sender sender;
  Trigger trigger = decoded(sender.trigger(1, kNow));
  PublicKey identity{};
  identity[0] = 1;  // the neutral element: any message would verify under a naive check
  Bytes signature(64, 0);
  signature[0] = 1;
  CHECK_FALSE(is_sound(identity));
  CHECK_FALSE(verify(identity, view("anything"), signature));
  CHECK_FALSE(is_sound(PublicKey{}));
  CHECK(is_sound(sender.user.public_key));

  // A grant can name such a run key; its pulses verify nowhere.
  trigger.grant.run_key = identity;
  std::copy(signature.begin(), signature.end(), trigger.pulse_signature.begin());
  CHECK_FALSE(verify_pulse(trigger));
}

TEST_CASE("a pulse belongs to its run, and signatures of other lengths are refused") {
  test::Sender sender;
  Trigger trigger = decoded(sender.trigger(1, kNow));
  REQUIRE(verify_pulse(trigger));
  trigger.grant.run = test::run_id(2);
  CHECK_FALSE(verify_pulse(trigger));
  trigger.grant_signature.pop_back();
  CHECK_FALSE(verify_grant(sender.user.public_key, trigger));
  RunKey fresh = RunKey::generate();
  CHECK(is_sound(fresh.public_key));
  CHECK(fresh.public_key != RunKey::generate().public_key);
}
