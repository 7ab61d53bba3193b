// SPDX-License-Identifier: Apache-2.0
#include "cli/signer.h"

#include <algorithm>

#include "base/file.h"
#include "cli/process.h"

namespace fieldline::cli {

namespace {

constexpr std::string_view kType = "ssh-ed25519";
constexpr const char* kMakeOne =
    "make one with `ssh-keygen -t ed25519` and name it with --identity or `identity` in the "
    "settings";

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  auto end = std::min(line.find_first_of(" \t\r\n"), line.size());
  auto word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// A string of the SSH wire form: u32 length, bytes.
Result<ByteView> take_string(ByteReader& reader) {
  auto length = reader.take_struct<std::uint32_t>();
  if (!length) return length.error();
  return reader.take(big_endian(*length));
}

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  auto at = text.rfind('\n');
  return at == std::string::npos ? text : text.substr(at + 1);
}

// The public key's line: IDENTITY.pub, IDENTITY itself if it is public, or what ssh-keygen derives.
Result<std::string> public_line(const std::string& identity, Terminal terminal, int end_by) {
  constexpr std::size_t kLimit = 16384;
  if (!identity.ends_with(".pub")) {
    auto beside = read_file(identity + ".pub", kLimit);
    if (beside) return *beside;
    if (beside.error().code != Code::not_found) return beside.error();
  }
  auto content = read_file(identity, kLimit);
  if (!content) {
    return fail(content.error().code, content.error().context + "; " + kMakeOne);
  }
  if (content->find("PRIVATE KEY-----") == std::string::npos) return *content;
  auto derived = run_process({"ssh-keygen", "-y", "-f", identity}, {}, end_by, terminal);
  if (!derived) return derived.error();
  if (derived->status != 0) {
    return fail(Code::denied,
                "ssh-keygen cannot read " + identity + ": " + last_line(derived->err) +
                    "; mend the file or put the public key beside it as " + identity + ".pub");
  }
  return derived->out;
}

}  // namespace

Result<std::pair<sense::PublicKey, std::string>> parse_public_key(std::string_view line) {
  auto type = next_word(line), blob = next_word(line);
  line = line.substr(0, line.find_first_of("\r\n"));
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  if (type != kType) {
    bool is_key = type.starts_with("ssh-") || type.starts_with("sk-") || type.starts_with("ecdsa-");
    return fail(is_key ? Code::unsupported : Code::invalid,
                is_key ? "it is a key of type " + std::string(type) + "; this version signs with " +
                             std::string(kType) + " alone; " + kMakeOne
                       : std::string("it is not an SSH public key; ") + kMakeOne);
  }
  auto bytes = from_base64(blob);
  if (!bytes) return fail(Code::invalid, "the key's base64 is damaged");
  ByteReader reader(*bytes);
  auto inner = take_string(reader);
  if (!inner || text(*inner) != kType) return fail(Code::invalid, "the key's blob is damaged");
  auto raw = take_string(reader);
  sense::PublicKey key;
  if (!raw || raw->size() != key.size() || reader.left() != 0) {
    return fail(Code::invalid, "the key's blob is damaged");
  }
  std::copy(raw->begin(), raw->end(), key.begin());
  return std::pair{key, std::string(line)};
}

Result<Signer> Signer::open(const std::string& identity, Terminal terminal, int end_by) {
  auto line = public_line(identity, terminal, end_by);
  if (!line) return fail(line.error().code, "identity: " + line.error().context);
  auto parsed = parse_public_key(*line);
  if (!parsed) {
    return fail(parsed.error().code, "identity " + identity + ": " + parsed.error().context);
  }
  Signer signer;
  signer.identity_ = identity;
  signer.terminal_ = terminal;
  signer.end_by_ = end_by;
  signer.key_ = parsed->first;
  signer.comment_ = parsed->second;
  return signer;
}

Result<ArmoredSignature> Signer::sign(std::string_view name_space, ByteView message) const {
  auto done =
      run_process({"ssh-keygen", "-Y", "sign", "-n", std::string(name_space), "-f", identity_},
                  message, end_by_, terminal_);
  if (!done) return done.error();
  if (done->status != 0) {
    return fail(Code::denied,
                "ssh-keygen could not sign with " + identity_ + ": " + last_line(done->err) +
                    "; is the key in the agent (`ssh-add -l`), or its passphrase right?");
  }
  auto parsed = sense::parse_sshsig(done->out);
  if (!parsed)
    return fail(parsed.error().code, "ssh-keygen's signature: " + parsed.error().context);
  if (parsed->key != key_) {
    return fail(Code::denied, "ssh-keygen signed with another key than " + identity_ +
                                  ".pub names; the two files do not belong together");
  }
  return ArmoredSignature{std::move(done->out), *parsed};
}

}  // namespace fieldline::cli
