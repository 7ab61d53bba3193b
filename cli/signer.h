// SPDX-License-Identifier: Apache-2.0
// Signatures by the SSH key that the user already has. ssh-keygen does the signing, with the
// private key file or with an agent that holds the key; private keys are never read here.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "cli/process.h"
#include "sense/trigger.h"

namespace fieldline::cli {

struct ArmoredSignature {
  std::string armored;
  sense::SshSignature parsed;
};

class Signer {
 public:
  // identity: a private key file (its .pub beside it, or ssh-keygen makes it), or a .pub whose key
  // an agent holds.
  // ssh-keygen asks on the terminal, or fails where it would; end_by: as below, from the start.
  static Result<Signer> open(const std::string& identity, Terminal terminal = Terminal::shared,
                             int end_by = -1);

  const sense::PublicKey& key() const { return key_; }
  std::string fingerprint() const { return sense::ssh_fingerprint(key_); }
  const std::string& comment() const { return comment_; }
  const std::string& identity() const { return identity_; }

  // While this descriptor is readable, ssh-keygen is ended and sign() fails: closed. Borrowed.
  void end_by(int fd) { end_by_ = fd; }

  // May ask for a passphrase on the terminal.
  Result<ArmoredSignature> sign(std::string_view name_space, ByteView message) const;

 private:
  std::string identity_, comment_;
  sense::PublicKey key_{};
  Terminal terminal_ = Terminal::shared;
  int end_by_ = -1;
};

// "ssh-ed25519 BASE64 comment": the key and the comment; the reason if it is another kind of key.
Result<std::pair<sense::PublicKey, std::string>> parse_public_key(std::string_view line);

}  // namespace fieldline::cli
