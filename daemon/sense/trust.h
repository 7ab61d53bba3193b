// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sense/trigger.h"

namespace fieldline::sense {

// One line of allowed_signers: who may sign with this key, in which namespaces, when.
struct Signer {
  // Names, not patterns: a trigger states no identity, so that "*" would name nobody and slip past
  // a [[deny]]. The first is what logs show.
  std::vector<std::string> principals;
  std::vector<std::string> namespaces;  // patterns as in ssh_config(5), "!" excludes; empty: all
  std::uint64_t valid_after_ns = 0, valid_before_ns = UINT64_MAX;
  PublicKey key{};
  KeyId key_id{};
  unsigned line = 0;

  bool allows_namespace(std::string_view name_space) const;
  bool valid_at(std::uint64_t utc_ns) const {
    return valid_after_ns <= utc_ns && utc_ns <= valid_before_ns;
  }
};

struct RefusedLine {
  unsigned line = 0;
  std::string reason;
};

// OpenSSH's allowed_signers: plain ssh-ed25519 lines. A line with an option that is not honoured
// here (cert-authority, unknown ones, times without Z) is refused, and the rest stays in force.
struct Trust {
  std::vector<Signer> signers;
  std::vector<RefusedLine> refused;

  static Trust parse(std::string_view allowed_signers);

  // Signers whose key id is this one (a hint: keys may collide).
  std::vector<const Signer*> with_key_id(const KeyId& id) const;
  // The signer of this key, valid in the namespace at that time; nullptr if none.
  const Signer* find(const PublicKey& key, std::string_view name_space, std::uint64_t utc_ns) const;
  // The principals of every line with this key that is valid in the namespace at that time.
  std::vector<std::string> principals_of(const PublicKey& key, std::string_view name_space,
                                         std::uint64_t utc_ns) const;
};

// '*' and '?' as in ssh_config(5), comma-free.
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace fieldline::sense
