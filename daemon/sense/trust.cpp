// SPDX-License-Identifier: Apache-2.0
// allowed_signers as ssh-keygen(1) has it: principals [options] key-type base64 [comment].
#include "sense/trust.h"

#include <algorithm>

#include "sense/signer_options.h"

namespace fieldline::sense {

namespace {

constexpr std::size_t kLineMax = 8192;
constexpr std::string_view kBlank = " \t";

std::string_view skip_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kBlank), text.size()));
}

// The first word; one that begins with a quote ends at the next quote. Advances past it and the
// blanks.
Result<std::string_view> take_principals(std::string_view& rest) {
  std::size_t begin = 0, end = 0, after = 0;
  if (rest.starts_with('"')) {
    begin = 1;
    end = rest.find('"', 1);
    if (end == std::string_view::npos) return fail(Code::invalid, "a quote is not closed");
    after = end + 1;
  } else {
    end = after = std::min(rest.find_first_of(kBlank), rest.size());
  }
  auto word = rest.substr(begin, end - begin);
  rest = skip_blanks(rest.substr(after));
  return word;
}

// The options field ends at the first blank outside of quotes.
std::string_view take_field(std::string_view& rest) {
  bool quoted = false;
  std::size_t at = 0;
  for (; at < rest.size(); ++at) {
    if (rest[at] == '\\' && at + 1 < rest.size() && rest[at + 1] == '"') {
      ++at;
    } else if (rest[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && kBlank.find(rest[at]) != std::string_view::npos) {
      break;
    }
  }
  auto field = rest.substr(0, at);
  rest = skip_blanks(rest.substr(at));
  return field;
}

Result<std::vector<std::string>> principals_from(std::string_view list) {
  auto names = split_list(list);
  if (!names) return std::move(names).error().in("principals");
  for (const std::string& name : *names) {
    if (name.find_first_of("*?!") != std::string::npos) {
      return fail(
          Code::unsupported,
          "principal '" + name + "' is a pattern; a trigger states no identity, so write names");
    }
  }
  return names;
}

bool is_key_type(std::string_view word) {
  return word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-") ||
         word.starts_with("rsa-sha2-");
}

Result<Signer> parse_line(std::string_view line) {
  if (line.size() > kLineMax) return fail(Code::exhausted, "longer than 8192 bytes");
  if (line.find('\0') != std::string_view::npos) return fail(Code::invalid, "has a NUL byte");
  Signer signer;
  auto principals = take_principals(line);
  if (!principals) return principals.error();
  auto names = principals_from(*principals);
  if (!names) return names.error();
  signer.principals = std::move(*names);

  auto field = take_field(line);
  if (!is_key_type(field)) {
    if (line.empty()) return fail(Code::invalid, "has no key");
    auto options = parse_options(field, signer);
    if (!options) return options.error();
    field = take_field(line);
  }
  if (field != "ssh-ed25519") {
    return fail(Code::unsupported,
                "key type '" + std::string(field) +
                    "' cannot sign triggers; ssh-keygen -t ed25519 makes one that can");
  }
  auto blob = from_base64(take_field(line));
  if (!blob) return fail(Code::invalid, "the key is not base64");
  auto key = parse_public_key_blob(*blob);
  if (!key) return key.error();
  if (!is_sound(*key)) return fail(Code::denied, "the key is weak or no point of the curve");
  signer.key = *key;
  signer.key_id = key_id_of(*key);
  return signer;
}

}  // namespace

Trust Trust::parse(std::string_view allowed_signers) {
  Trust trust;
  unsigned number = 0;
  while (!allowed_signers.empty()) {
    auto end = std::min(allowed_signers.find('\n'), allowed_signers.size());
    auto line = allowed_signers.substr(0, end);
    allowed_signers.remove_prefix(std::min(end + 1, allowed_signers.size()));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = skip_blanks(line);
    if (line.empty() || line.starts_with('#')) continue;
    auto signer = parse_line(line);
    if (signer) {
      signer->line = number;
      trust.signers.push_back(std::move(*signer));
    } else {
      trust.refused.push_back({number, signer.error().text()});
    }
  }
  return trust;
}

bool Signer::allows_namespace(std::string_view name_space) const {
  if (namespaces.empty()) return true;
  bool found = false;
  for (const std::string& pattern : namespaces) {
    if (pattern.starts_with('!')) {
      if (matches_pattern(std::string_view(pattern).substr(1), name_space)) return false;
    } else {
      found = found || matches_pattern(pattern, name_space);
    }
  }
  return found;
}

std::vector<const Signer*> Trust::with_key_id(const KeyId& id) const {
  std::vector<const Signer*> found;
  for (const Signer& signer : signers) {
    if (signer.key_id == id) found.push_back(&signer);
  }
  return found;
}

const Signer* Trust::find(const PublicKey& key, std::string_view name_space,
                          std::uint64_t utc_ns) const {
  for (const Signer& signer : signers) {
    if (signer.key == key && signer.valid_at(utc_ns) && signer.allows_namespace(name_space)) {
      return &signer;
    }
  }
  return nullptr;
}

std::vector<std::string> Trust::principals_of(const PublicKey& key, std::string_view name_space,
                                              std::uint64_t utc_ns) const {
  std::vector<std::string> names;
  for (const Signer& signer : signers) {
    if (signer.key != key || !signer.valid_at(utc_ns)) continue;
    if (!signer.allows_namespace(name_space)) continue;
    for (const std::string& name : signer.principals) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

// Goes back to the last '*' alone: linear in text times stars, where recursion would be
// exponential.
bool matches_pattern(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace fieldline::sense
