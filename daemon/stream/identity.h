// SPDX-License-Identifier: Apache-2.0
// Who a daemon is on a stream: a self-signed Ed25519 certificate, known by its key's fingerprint
// alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/ssl/context.hpp>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"

namespace fieldline::stream {

// SHA-256 of the DER SubjectPublicKeyInfo; printed "SHA256:" + 64 hex digits.
using Fingerprint = std::array<std::uint8_t, 32>;
std::string to_string(const Fingerprint& fingerprint);
Result<Fingerprint> parse_fingerprint(std::string_view text);

struct Identity {
  std::string key_pem, certificate_pem;
  Fingerprint fingerprint{};
};

// What an application shows that is pinned nowhere: the grant of its run, signed by its user. It
// names the run's key, with which the application proves itself in TLS.
struct RunProof {
  Bytes grant, signature;
};
// Of an Ed25519 public key as it stands in a grant.
Fingerprint fingerprint_of_key(const std::array<std::uint8_t, 32>& key);
// An application's one session: no other key has it, and no other session has this key.
RunId session_of_key(const Fingerprint& key);
// seed: of an Ed25519 key (RFC 8032).
Result<Identity> identity_of_seed(const std::array<std::uint8_t, 32>& seed,
                                  const std::string& common_name);

// Reads the PEM file (private key, certificate; mode 0600), or makes both and writes it if it does
// not exist.
Result<Identity> load_or_create_identity(const std::string& path, const std::string& common_name);

// TLS 1.3 only, both sides. Peers are never checked against a CA: callers compare
// peer_fingerprint() with a pin. A reader has no certificate: identity == nullptr.
Result<std::shared_ptr<boost::asio::ssl::context>> server_context(const Identity& identity);
Result<std::shared_ptr<boost::asio::ssl::context>> client_context(const Identity* identity);

// Of the peer's certificate after the handshake; zero if it showed none.
Fingerprint peer_fingerprint(SSL* ssl);
// 32 bytes of FL_QUERY_EXPORTER.
Result<std::array<std::uint8_t, 32>> query_exporter(SSL* ssl);

}  // namespace fieldline::stream
