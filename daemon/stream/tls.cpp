// SPDX-License-Identifier: Apache-2.0
#include "stream/tls.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <cstring>

#include <boost/asio/buffer.hpp>

#include "proto/frame.h"

namespace fieldline::stream {

namespace ssl = boost::asio::ssl;

namespace {

// Takes the place of OpenSSL's chain verification, which has nothing to say about a self-signed
// certificate whose key is pinned. That the peer holds the key is shown by TLS itself; validity
// times are not looked at, since a sensor's clock may be wrong. Extra certificates are ignored.
int accept_structure(X509_STORE_CTX* store, void*) {
  X509* certificate = X509_STORE_CTX_get0_cert(store);
  EVP_PKEY* key = certificate != nullptr ? X509_get0_pubkey(certificate) : nullptr;
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

Result<std::shared_ptr<ssl::context>> context(ssl::context::method method,
                                              const Identity* identity) {
  boost::system::error_code error;
  std::shared_ptr<ssl::context> made;
  try {
    made = std::make_shared<ssl::context>(method);
  } catch (const boost::system::system_error& e) {
    return fail(Code::unsupported, std::string("TLS 1.3 is not available: ") + e.what());
  }
  SSL_CTX* native = made->native_handle();
  if (SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(native, TLS1_3_VERSION) != 1) {
    return fail(Code::unsupported, "TLS 1.3 is not available" + openssl_errors());
  }
  // No resumption: each connection proves its key anew.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  // On a server this requests a certificate and goes on without one: readers have none.
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(native, accept_structure, nullptr);
  if (identity == nullptr) return made;
  made->use_certificate(boost::asio::buffer(identity->certificate_pem), ssl::context::pem, error);
  if (!error) {
    made->use_private_key(boost::asio::buffer(identity->key_pem), ssl::context::pem, error);
  }
  if (error) return fail(Code::invalid, "the identity cannot be used: " + error.message());
  return made;
}

}  // namespace

std::string openssl_errors() {
  std::string text;
  while (unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    text += (text.empty() ? ": " : ", ") + std::string(reason != nullptr ? reason : "unknown");
  }
  return text;
}

Fingerprint fingerprint_of(X509* certificate) {
  Fingerprint fingerprint{};
  unsigned char* der = nullptr;
  int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (length > 0) {
    SHA256(der, static_cast<std::size_t>(length), fingerprint.data());
    OPENSSL_free(der);
  }
  return fingerprint;
}

Result<std::shared_ptr<ssl::context>> server_context(const Identity& identity) {
  return context(ssl::context::tlsv13_server, &identity);
}

Result<std::shared_ptr<ssl::context>> client_context(const Identity* identity) {
  return context(ssl::context::tlsv13_client, identity);
}

Fingerprint peer_fingerprint(SSL* ssl) {
  Owned<X509> certificate(SSL_get1_peer_certificate(ssl));
  return certificate ? fingerprint_of(certificate.get()) : Fingerprint{};
}

Result<std::array<std::uint8_t, 32>> query_exporter(SSL* ssl) {
  std::array<std::uint8_t, 32> exported{};
  if (SSL_export_keying_material(ssl, exported.data(), exported.size(), FL_QUERY_EXPORTER,
                                 std::strlen(FL_QUERY_EXPORTER), nullptr, 0, 0) != 1) {
    return fail(Code::io, "exporting from TLS" + openssl_errors());
  }
  return exported;
}

}  // namespace fieldline::stream
