// SPDX-License-Identifier: Apache-2.0
// Everything that asks libsodium. Verification is crypto_sign_verify_detached alone: libraries
// disagree on weak keys and encodings, and one trigger must not mean two things on two sensors.
#include <sodium.h>

#include <stdexcept>

#include "sense/ssh_wire.h"
#include "sense/trigger.h"

namespace fieldline::sense {

namespace {

static_assert(crypto_sign_PUBLICKEYBYTES == 32 && crypto_sign_BYTES == 64);
static_assert(crypto_sign_SECRETKEYBYTES == std::tuple_size_v<decltype(RunKey::secret)>);

// sodium_init() is safe to call from several threads, but only its first call works.
bool sodium_ready() {
  static const bool ready = sodium_init() >= 0;
  return ready;
}

Bytes pulse_message(const RunId& run, ByteView pulse) {
  Bytes message;
  append(message, view(FL_PULSE_CONTEXT));
  append(message, run.bytes);
  append(message, pulse);
  return message;
}

std::array<std::uint8_t, 32> key_hash(const PublicKey& key) {
  std::array<std::uint8_t, 32> hash;
  Bytes blob = public_key_blob(key);
  crypto_hash_sha256(hash.data(), blob.data(), blob.size());
  return hash;
}

}  // namespace

Bytes sshsig_preimage(std::string_view name_space, ByteView message) {
  std::array<std::uint8_t, crypto_hash_sha512_BYTES> hash;
  crypto_hash_sha512(hash.data(), message.data(), message.size());
  Bytes out;
  append(out, view("SSHSIG"));
  append_string(out, view(name_space));
  append_string(out, {});
  append_string(out, view("sha512"));
  append_string(out, hash);
  return out;
}

KeyId key_id_of(const PublicKey& key) {
  auto hash = key_hash(key);
  KeyId id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

std::string ssh_fingerprint(const PublicKey& key) {
  std::string base64 = to_base64(key_hash(key));
  base64.resize(base64.find_last_not_of('=') + 1);
  return "SHA256:" + base64;
}

bool is_sound(const PublicKey& key) {
  return sodium_ready() && crypto_core_ed25519_is_valid_point(key.data()) == 1;
}

Fingerprint grant_hash_of(const Trigger& trigger) {
  Fingerprint hash;
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, trigger.grant_bytes.data(), trigger.grant_bytes.size());
  crypto_hash_sha256_update(&state, trigger.grant_signature.data(), trigger.grant_signature.size());
  crypto_hash_sha256_final(&state, hash.data());
  return hash;
}

RunKey RunKey::generate() {
  if (!sodium_ready())
    throw std::runtime_error("libsodium does not start: no source of randomness");
  RunKey key;
  crypto_sign_keypair(key.public_key.data(), key.secret.data());
  return key;
}

Signature sign_pulse(const RunKey& key, const RunId& run, ByteView pulse) {
  Signature signature;
  Bytes message = pulse_message(run, pulse);
  crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(),
                       key.secret.data());
  return signature;
}

bool verify(const PublicKey& key, ByteView message, ByteView signature) {
  return sodium_ready() && signature.size() == crypto_sign_BYTES &&
         crypto_sign_verify_detached(signature.data(), message.data(), message.size(),
                                     key.data()) == 0;
}

bool verify_grant(const PublicKey& key, const Trigger& trigger) {
  return trigger.signature_type == FL_SIGNATURE_ED25519 &&
         verify(key, sshsig_preimage(FL_GRANT_NAMESPACE, trigger.grant_bytes),
                trigger.grant_signature);
}

bool verify_pulse(const Trigger& trigger) {
  return verify(trigger.grant.run_key, pulse_message(trigger.grant.run, trigger.pulse_bytes),
                trigger.pulse_signature);
}

}  // namespace fieldline::sense
