// SPDX-License-Identifier: Apache-2.0
// Owners of OpenSSL's objects, and what identity.cpp and tls.cpp share.
#pragma once

#include <memory>
#include <string>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "stream/identity.h"

namespace fieldline::stream {

struct Free {
  void operator()(BIO* p) const { BIO_free_all(p); }
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509* p) const { X509_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// ": reason, reason", and the thread's error queue is empty.
std::string openssl_errors();
Fingerprint fingerprint_of(X509* certificate);
Result<Identity> identity_of(EVP_PKEY* key, X509* certificate);

}  // namespace fieldline::stream
