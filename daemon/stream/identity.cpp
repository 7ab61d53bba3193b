// SPDX-License-Identifier: Apache-2.0
#include "stream/identity.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/file.h"
#include "stream/tls.h"

namespace fieldline::stream {

namespace {

constexpr std::size_t kMaxFile = 64 << 10;

// Keys with a passphrase are refused; OpenSSL's default would ask on the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

Result<Identity> parse_identity(const std::string& pem) {
  Owned<BIO> key_bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Owned<BIO> certificate_bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return fail(Code::invalid, "no unencrypted private key in it" + openssl_errors());
  Owned<X509> certificate(
      PEM_read_bio_X509(certificate_bio.get(), nullptr, no_passphrase, nullptr));
  if (!certificate) return fail(Code::invalid, "no certificate in it" + openssl_errors());
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    return fail(Code::unsupported, "its key is not an Ed25519 key");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return fail(Code::invalid, "its certificate is of another key" + openssl_errors());
  }
  return identity_of(key.get(), certificate.get());
}

Result<Owned<X509>> self_signed(EVP_PKEY* key, const std::string& common_name) {
  Owned<X509> certificate(X509_new());
  if (!certificate) return fail(Code::io, "making a certificate" + openssl_errors());
  X509* x = certificate.get();
  Owned<BIGNUM> serial(BN_new());
  // CN has at most 64 characters (X.520); none is cut in the middle.
  std::size_t length = std::min<std::size_t>(common_name.size(), 64);
  while (length < common_name.size() && (common_name[length] & 0xc0) == 0x80) --length;
  std::string name = common_name.substr(0, length);
  X509_NAME* subject = X509_get_subject_name(x);
  bool made = serial && BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(x)) != nullptr &&
              X509_set_version(x, X509_VERSION_3) == 1 &&
              // Pinned by key: it has no end (RFC 5280, 4.1.2.5), and no start that a wrong clock
              // could miss.
              ASN1_TIME_set_string(X509_getm_notBefore(x), "20000101000000Z") == 1 &&
              ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z") == 1 &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                         reinterpret_cast<const unsigned char*>(name.data()),
                                         static_cast<int>(name.size()), -1, 0) == 1 &&
              X509_set_issuer_name(x, subject) == 1 && X509_set_pubkey(x, key) == 1 &&
              X509_sign(x, key, nullptr) > 0;
  if (!made) return fail(Code::io, "making a certificate" + openssl_errors());
  return certificate;
}

Result<Identity> identity_with(Owned<EVP_PKEY> key, const std::string& common_name) {
  if (!key) return fail(Code::io, "making an Ed25519 key" + openssl_errors());
  auto certificate = self_signed(key.get(), common_name.empty() ? "fieldline" : common_name);
  if (!certificate) return certificate.error();
  return identity_of(key.get(), certificate->get());
}

Result<Identity> make_identity(const std::string& common_name) {
  return identity_with(Owned<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")),
                       common_name);
}

// Another daemon that made the file at the same time wins: its key may have been shown to somebody
// already.
Result<bool> publish(const std::string& temporary, const std::string& path) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EEXIST) return false;
  if (errno == EINVAL && ::link(temporary.c_str(), path.c_str()) == 0) {
    // A file system without RENAME_NOREPLACE.
    ::unlink(temporary.c_str());
    return true;
  }
  if (errno == EEXIST) return false;
  return fail_errno("renaming " + temporary + " to " + path);
}

Result<bool> write_new(const std::string& path, const std::string& content) {
  std::error_code ignored;  // what is missing then is said below
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  std::string temporary = path + ".XXXXXX";
  Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));  // 0600
  if (!fd) return fail_errno("creating " + temporary);
  Result<bool> published = [&]() -> Result<bool> {
    ByteView rest = view(content);
    while (!rest.empty()) {
      ssize_t n = ::write(fd.get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("writing " + temporary);
      rest = rest.subspan(static_cast<std::size_t>(n));
    }
    if (::fsync(fd.get()) != 0) return fail_errno("syncing " + temporary);
    return publish(temporary, path);
  }();
  if (!published || !*published) ::unlink(temporary.c_str());
  if (!published) return published;
  auto slash = path.rfind('/');
  auto synced = system_files().sync_directory(slash == std::string::npos ? "."
                                              : slash == 0               ? "/"
                                                                         : path.substr(0, slash));
  if (!synced) return synced.error();
  return published;
}

Result<Identity> load(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return fail(Code::not_found, path + " does not exist");
  if (!fd) return fail_errno("opening the identity " + path);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("looking at " + path);
  if (!S_ISREG(st.st_mode)) return fail(Code::invalid, "the identity " + path + " is not a file");
  if (st.st_uid != ::geteuid() && st.st_uid != 0) {
    return fail(Code::denied, "the identity " + path + " belongs to user " +
                                  std::to_string(st.st_uid) + "; run: chown " +
                                  std::to_string(::geteuid()) + " '" + path + "'");
  }
  if ((st.st_mode & 077) != 0) {
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(st.st_mode & 07777));
    return fail(Code::denied, "the private key in " + path + " is open to others (mode " + mode +
                                  "); run: chmod 600 '" + path + "'");
  }
  std::string pem(kMaxFile + 1, '\0');
  std::size_t used = 0;
  while (used < pem.size()) {
    ssize_t n = ::read(fd.get(), pem.data() + used, pem.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading " + path);
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  if (used > kMaxFile) return fail(Code::invalid, "the identity " + path + " is too long");
  pem.resize(used);
  auto identity = parse_identity(pem);
  if (!identity) {
    return Error(identity.error())
        .in("the identity " + path +
            " cannot be used (restore it, or remove it to make a new one, which peers must pin)");
  }
  return identity;
}

}  // namespace

Result<Identity> identity_of(EVP_PKEY* key, X509* certificate) {
  Owned<BIO> key_bio(BIO_new(BIO_s_mem())), certificate_bio(BIO_new(BIO_s_mem()));
  if (!key_bio || !certificate_bio ||
      PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(certificate_bio.get(), certificate) != 1) {
    return fail(Code::io, "encoding an identity" + openssl_errors());
  }
  return Identity{text_of(key_bio.get()), text_of(certificate_bio.get()),
                  fingerprint_of(certificate)};
}

std::string to_string(const Fingerprint& fingerprint) {
  return "SHA256:" + to_hex(fingerprint);
}

Result<Fingerprint> parse_fingerprint(std::string_view text) {
  constexpr std::string_view prefix = "SHA256:";
  if (!text.starts_with(prefix)) {
    return fail(Code::invalid, "a key's fingerprint is SHA256: and 64 hexadecimal digits");
  }
  Fingerprint fingerprint;
  auto parsed = from_hex(text.substr(prefix.size()), fingerprint);
  if (!parsed) return Error(parsed.error()).in("a key's fingerprint");
  return fingerprint;
}

// The DER SubjectPublicKeyInfo of an Ed25519 key is these bytes and the key (RFC 8410).
Fingerprint fingerprint_of_key(const std::array<std::uint8_t, 32>& key) {
  Bytes der = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
  append(der, key);
  Fingerprint fingerprint;
  SHA256(der.data(), der.size(), fingerprint.data());
  return fingerprint;
}

RunId session_of_key(const Fingerprint& key) {
  RunId session;
  std::copy_n(key.begin(), session.bytes.size(), session.bytes.begin());
  return session;
}

Result<Identity> identity_of_seed(const std::array<std::uint8_t, 32>& seed,
                                  const std::string& common_name) {
  return identity_with(Owned<EVP_PKEY>(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr,
                                                                    seed.data(), seed.size())),
                       common_name);
}

Result<Identity> load_or_create_identity(const std::string& path, const std::string& common_name) {
  auto loaded = load(path);
  if (loaded || loaded.error().code != Code::not_found) return loaded;
  auto made = make_identity(common_name);
  if (!made) return made;
  auto written = write_new(path, made->key_pem + made->certificate_pem);
  if (!written) return Error(written.error()).in("a new identity");
  return *written ? made : load(path);
}

}  // namespace fieldline::stream
