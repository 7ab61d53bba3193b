// SPDX-License-Identifier: Apache-2.0
// The trigger's codec and signatures (proto/trigger.h). Pure: no files, no clocks, no sockets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "proto/flow.h"
#include "proto/trigger.h"
#include "sense/refusal.h"

namespace fieldline::sense {

using PublicKey = std::array<std::uint8_t, 32>;  // Ed25519
using Signature = std::array<std::uint8_t, 64>;
using KeyId = std::array<std::uint8_t, 8>;
using Fingerprint = std::array<std::uint8_t, 32>;  // SHA-256; zero: none

// No pulse lasts longer: what a lost end can cost, and how long a pulse can be replayed.
constexpr std::uint64_t kPulseWindowMax = 60ull * 1'000'000'000;

struct PortPair {
  std::uint16_t a = 0, b = 0;  // 0: any
  auto operator<=>(const PortPair&) const = default;
};

struct Grant {
  std::uint8_t verb = FL_VERB_CAPTURE;
  std::uint8_t protocol = 0;
  std::vector<PortPair> pairs;
  RunId run;
  KeyId key_id{};
  PublicKey run_key{};
  std::uint64_t issued_at_ns = 0, not_after_ns = 0;  // UTC
  Prefix host_a, host_b;
  std::uint16_t snaplen = FL_SNAPLEN_HEADERS;
  std::uint32_t sample_n = 1;
  Fingerprint archive{};
};

struct Pulse {
  std::uint32_t sequence = 0;
  std::uint64_t issued_at_ns = 0, expiry_ns = 0;
  bool ends_run() const { return expiry_ns == issued_at_ns; }
};

struct Trigger {
  Grant grant;
  Pulse pulse;
  Bytes certificate;  // empty: plain key
  std::uint8_t signature_type = FL_SIGNATURE_ED25519;
  Bytes grant_bytes, grant_signature;  // as signed
  Bytes pulse_bytes;
  Signature pulse_signature{};
};

Bytes encode(const Grant& grant);
Bytes encode(const Pulse& pulse);
// The whole trigger. grant_signature: 64 raw Ed25519 bytes.
Bytes encode_trigger(ByteView grant, ByteView grant_signature, ByteView pulse,
                     const Signature& pulse_signature);
// Every length checked; trailing bytes are an error.
Result<Grant> decode_grant(ByteView bytes);
Result<Trigger> decode_trigger(ByteView bytes);
// The same, with the reason under which a refusal is counted.
std::variant<Trigger, Refusal> read_trigger(ByteView bytes);

// What ssh-keygen -Y sign -n NAME_SPACE signs for `message` (PROTOCOL.sshsig, SHA-512).
Bytes sshsig_preimage(std::string_view name_space, ByteView message);

struct SshSignature {
  PublicKey key{};
  std::string name_space;
  Signature signature{};
};
// The armored output of ssh-keygen -Y sign; only ssh-ed25519 with SHA-512 is accepted.
Result<SshSignature> parse_sshsig(std::string_view armored);
// The inverse: what ssh-keygen -Y verify reads.
std::string armor_sshsig(const SshSignature& signature);

Bytes public_key_blob(const PublicKey& key);             // SSH wire form
Result<PublicKey> parse_public_key_blob(ByteView blob);  // ssh-ed25519 alone
KeyId key_id_of(const PublicKey& key);                   // over the SSH wire form of the key
std::string ssh_fingerprint(const PublicKey& key);       // "SHA256:..." as ssh-keygen -l prints

// A point of the main subgroup in its one encoding: all that ssh-keygen makes. Weak keys verify
// anything.
bool is_sound(const PublicKey& key);
// SHA-256 over grant and signature: what a verified grant is remembered by.
Fingerprint grant_hash_of(const Trigger& trigger);

// Keys of a run, and pulses signed by them.
struct RunKey {
  PublicKey public_key{};
  std::array<std::uint8_t, 64> secret{};
  static RunKey generate();
};
Signature sign_pulse(const RunKey& key, const RunId& run, ByteView pulse);

// libsodium alone decides.
bool verify(const PublicKey& key, ByteView message, ByteView signature);
bool verify_grant(const PublicKey& key, const Trigger& trigger);
bool verify_pulse(const Trigger& trigger);

}  // namespace fieldline::sense
