// SPDX-License-Identifier: Apache-2.0
// Keys from seeds, triggers made of them, and a gate that trusts them.
#pragma once

#include <netinet/in.h>
#include <sodium.h>

#include <algorithm>
#include <string>
#include <variant>

#include "base/clock.h"
#include "sense/activation.h"
#include "sense/gate.h"

namespace fieldline::test {

constexpr std::uint64_t kSecond = kNanosPerSecond;
constexpr std::uint64_t kNow = 1'800'000'000 * kSecond;  // 2027-01-15T08:00:00Z

struct TestKey {
  sense::PublicKey public_key{};
  std::array<std::uint8_t, 64> secret{};

  static TestKey from_seed(std::uint8_t seed) {
    std::array<std::uint8_t, 32> bytes;
    bytes.fill(seed);
    TestKey key;
    crypto_sign_seed_keypair(key.public_key.data(), key.secret.data(), bytes.data());
    return key;
  }
  sense::Signature sign(ByteView message) const {
    sense::Signature signature;
    crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), secret.data());
    return signature;
  }
  sense::Signature sign_grant(ByteView grant,
                              std::string_view name_space = FL_GRANT_NAMESPACE) const {
    return sign(sense::sshsig_preimage(name_space, grant));
  }
  // A line of allowed_signers.
  std::string line(const std::string& principal, const std::string& options = "") const {
    return principal + " " + (options.empty() ? "" : options + " ") + "ssh-ed25519 " +
           to_base64(sense::public_key_blob(public_key)) + " a comment\n";
  }
};

inline Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}

inline fl_flow_key outer(std::string_view source, std::string_view destination) {
  fl_flow_key key{};
  Address from = Address::parse(source).value(), to = Address::parse(destination).value();
  std::copy(from.bytes.begin(), from.bytes.end(), key.src);
  std::copy(to.bytes.begin(), to.bytes.end(), key.dst);
  key.protocol = IPPROTO_UDP;
  return key;
}

inline RunId run_id(std::uint32_t number) {
  RunId run;
  for (unsigned i = 0; i < 4; ++i) run.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  run.bytes[15] = 1;
  return run;
}

// Who sends: a user's key, a run's key, and the grant that joins them.
struct Sender {
  TestKey user;
  sense::RunKey run_key;
  sense::Grant grant;

  explicit Sender(std::uint8_t seed = 1, std::uint32_t run = 1) : user(TestKey::from_seed(seed)) {
    TestKey key = TestKey::from_seed(static_cast<std::uint8_t>(seed + 100));
    run_key.public_key = key.public_key;
    run_key.secret = key.secret;
    grant.protocol = IPPROTO_TCP;
    grant.pairs = {{0, 5201}};
    grant.run = run_id(run);
    grant.key_id = sense::key_id_of(user.public_key);
    grant.run_key = run_key.public_key;
    grant.issued_at_ns = kNow;
    grant.not_after_ns = kNow + 600 * kSecond;
    grant.host_a = prefix("10.0.0.1");
    grant.host_b = prefix("10.0.3.2");
  }

  Bytes trigger(const sense::Pulse& pulse) const {
    Bytes grant_bytes = sense::encode(grant), pulse_bytes = sense::encode(pulse);
    return sense::encode_trigger(grant_bytes, user.sign_grant(grant_bytes), pulse_bytes,
                                 sense::sign_pulse(run_key, grant.run, pulse_bytes));
  }
  Bytes trigger(std::uint32_t sequence, std::uint64_t issued_at,
                std::uint64_t lasts = 10 * kSecond) const {
    return trigger({sequence, issued_at, issued_at + lasts});
  }
};

using Outcome = std::variant<sense::Accepted, sense::Refusal>;

// A gate that trusts "ops" with seed 1 and gives everything within 10.0.0.0/8 and 2001:db8::/32.
struct World {
  sense::Trust trust;
  sense::Policy policy;
  sense::Gate gate;

  static sense::Policy open_policy() {
    sense::Rule allow;
    allow.name = "allow 1";
    allow.hosts = {prefix("10.0.0.0/8"), prefix("2001:db8::/32")};
    allow.max_snaplen = 256;
    allow.min_prefix_v4 = 8;
    allow.min_prefix_v6 = 32;
    sense::Policy policy;
    policy.allow = {allow};
    return policy;
  }
  explicit World(const std::string& signers = TestKey::from_seed(1).line("ops"),
                 const sense::Policy& with = open_policy(), const sense::GateLimits& limits = {})
      : trust(sense::Trust::parse(signers)), policy(with), gate(trust, policy, limits) {}

  // The whole way, as the daemon goes it.
  Outcome pass(ByteView trigger, std::uint64_t now,
               const fl_flow_key& from = outer("10.0.0.1", "10.0.3.2")) {
    auto admitted = gate.admit(trigger, from, now);
    if (auto* refusal = std::get_if<sense::Refusal>(&admitted)) return *refusal;
    auto ticket = std::get<sense::Ticket>(std::move(admitted));
    sense::verify(ticket);
    return gate.settle(std::move(ticket), now);
  }
};

// "accepted", or the name of the reason.
inline std::string name_of(const Outcome& outcome) {
  if (auto* refusal = std::get_if<sense::Refusal>(&outcome)) return sense::name_of(refusal->reason);
  return "accepted";
}

}  // namespace fieldline::test
