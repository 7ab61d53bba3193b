// SPDX-License-Identifier: Apache-2.0
// PROTOCOL.sshsig: the armored output of ssh-keygen -Y sign.
#include "sense/ssh_wire.h"
#include "sense/trigger.h"

namespace fieldline::sense {

namespace {

constexpr std::string_view kBegin = "-----BEGIN SSH SIGNATURE-----";
constexpr std::string_view kEnd = "-----END SSH SIGNATURE-----";
constexpr std::string_view kKeyType = "ssh-ed25519";
constexpr std::size_t kArmoredMax = 16384;
constexpr std::size_t kArmorLine = 70;  // as ssh-keygen writes

Error not_sshsig(const std::string& why) {
  return fail(Code::invalid, "SSH signature: " + why + "; make it with ssh-keygen -Y sign");
}

// One string that is a pair of strings: a type and a value of `size` bytes.
Result<ByteView> typed_value(ByteView blob, std::size_t size, const char* what) {
  ByteReader reader(blob);
  auto type = take_string(reader);
  if (!type) return std::move(type).error().in(what);
  if (text(*type) != kKeyType) {
    return fail(Code::unsupported,
                std::string(what) + " is of another type; only ssh-ed25519 is taken");
  }
  auto value = take_string(reader);
  if (!value) return std::move(value).error().in(what);
  if (value->size() != size || reader.left() != 0) {
    return fail(Code::invalid, std::string(what) + " has the wrong length");
  }
  return *value;
}

Result<ByteView> expect_string(ByteReader& reader, const char* what) {
  auto taken = take_string(reader);
  if (!taken) return not_sshsig(std::string(what) + " " + taken.error().text());
  return *taken;
}

Result<SshSignature> parse_blob(ByteView blob) {
  ByteReader reader(blob);
  auto magic = reader.take(6);
  if (!magic || text(*magic) != "SSHSIG") return not_sshsig("has no SSHSIG magic");
  auto version = reader.take_struct<std::uint32_t>();
  if (!version) return not_sshsig("ends in its version");
  if (big_endian(*version) != 1) {
    return fail(Code::unsupported, "SSH signature: version " +
                                       std::to_string(big_endian(*version)) +
                                       "; only version 1 is known");
  }
  auto key_blob = expect_string(reader, "public key");
  if (!key_blob) return key_blob.error();
  auto name_space = expect_string(reader, "namespace");
  if (!name_space) return name_space.error();
  auto reserved = expect_string(reader, "reserved field");
  if (!reserved) return reserved.error();
  auto hash = expect_string(reader, "hash");
  if (!hash) return hash.error();
  auto signature_blob = expect_string(reader, "signature");
  if (!signature_blob) return signature_blob.error();
  if (reader.left() != 0) return not_sshsig("has bytes behind its end");
  if (name_space->empty()) return not_sshsig("has no namespace");
  if (!reserved->empty()) return not_sshsig("its reserved field is not empty");
  if (text(*hash) != "sha512") {
    return fail(Code::unsupported,
                "SSH signature: hashed by something else; sign with -O hashalg=sha512");
  }

  SshSignature out;
  auto key = parse_public_key_blob(*key_blob);
  if (!key) return std::move(key).error().in("SSH signature");
  auto signature = typed_value(*signature_blob, out.signature.size(), "the signature");
  if (!signature) return std::move(signature).error().in("SSH signature");
  out.key = *key;
  out.name_space = std::string(text(*name_space));
  std::copy(signature->begin(), signature->end(), out.signature.begin());
  return out;
}

}  // namespace

Bytes public_key_blob(const PublicKey& key) {
  Bytes blob;
  append_string(blob, view(kKeyType));
  append_string(blob, key);
  return blob;
}

Result<PublicKey> parse_public_key_blob(ByteView blob) {
  PublicKey key;
  auto value = typed_value(blob, key.size(), "the public key");
  if (!value) return value.error();
  std::copy(value->begin(), value->end(), key.begin());
  return key;
}

Result<SshSignature> parse_sshsig(std::string_view armored) {
  constexpr std::string_view kSpace = " \t\r\n";
  if (armored.size() > kArmoredMax) return not_sshsig("is too long");
  auto first = armored.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return not_sshsig("is empty");
  armored = armored.substr(first, armored.find_last_not_of(kSpace) - first + 1);
  if (!armored.starts_with(kBegin) || !armored.ends_with(kEnd) ||
      armored.size() < kBegin.size() + kEnd.size()) {
    return not_sshsig("is not between its BEGIN and END lines");
  }
  armored.remove_prefix(kBegin.size());
  armored.remove_suffix(kEnd.size());
  auto blob = from_base64(armored);
  if (!blob) return not_sshsig("is not base64");
  return parse_blob(*blob);
}

std::string armor_sshsig(const SshSignature& signature) {
  Bytes blob, inner;
  append_string(inner, view(kKeyType));
  append_string(inner, signature.signature);
  append(blob, view("SSHSIG"));
  append_struct(blob, big_endian(std::uint32_t{1}));
  append_string(blob, public_key_blob(signature.key));
  append_string(blob, view(signature.name_space));
  append_string(blob, {});
  append_string(blob, view("sha512"));
  append_string(blob, inner);

  std::string base64 = to_base64(blob), out(kBegin);
  for (std::size_t at = 0; at < base64.size(); at += kArmorLine) {
    out += '\n';
    out += base64.substr(at, kArmorLine);
  }
  return out + '\n' + std::string(kEnd) + '\n';
}

}  // namespace fieldline::sense
