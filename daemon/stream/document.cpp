// SPDX-License-Identifier: Apache-2.0
#include "stream/document.h"

#include <algorithm>
#include <array>

#include "stream/frame.h"

namespace fieldline::stream {

using nlohmann::json;

namespace {

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxErrorText = 4096;
constexpr std::size_t kMaxProof = 2048;  // of each part, in base64; a grant has at most 280 bytes
constexpr const char* kHelloSchema = "fieldline.hello/1";

struct CodeName {
  Code code;
  const char* name;
};
constexpr std::array kCodes = {
    CodeName{Code::invalid, "invalid"},
    CodeName{Code::truncated, "truncated"},
    CodeName{Code::unsupported, "unsupported"},
    CodeName{Code::denied, "denied"},
    CodeName{Code::not_found, "not_found"},
    CodeName{Code::exhausted, "exhausted"},
    CodeName{Code::io, "io"},
    CodeName{Code::closed, "closed"},
    CodeName{Code::timeout, "timeout"},
};

// Counted before parsing: the parser itself has no limit.
bool too_deep(ByteView bytes) {
  int depth = 0;
  bool in_string = false, escaped = false;
  for (auto c : bytes) {
    if (in_string) {
      if (escaped) {
        escaped = false;
      } else if (c == '\\') {
        escaped = true;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

// Names end up in logs and on terminals.
bool is_name(const std::string& name) {
  return name.size() <= kMaxName && std::none_of(name.begin(), name.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

Result<Hello> versions_of(const json& document, Hello hello) {
  if (hello.role == Role::archive) {
    hello.oldest = hello.newest = number_of(document, "version");
    return hello;
  }
  auto versions = document.find("versions");
  if (versions == document.end() || !versions->is_array() || versions->size() != 2 ||
      !(*versions)[0].is_number_unsigned() || !(*versions)[1].is_number_unsigned()) {
    return fail(Code::invalid, "hello: \"versions\" is not [oldest,newest]");
  }
  hello.oldest = (*versions)[0].get<std::uint64_t>();
  hello.newest = (*versions)[1].get<std::uint64_t>();
  return hello;
}

Result<std::optional<RunProof>> proof_of(const json& document) {
  if (!document.contains("grant")) return std::optional<RunProof>();
  RunProof proof;
  for (auto [member, into] :
       {std::pair{"grant", &proof.grant}, std::pair{"grant_signature", &proof.signature}}) {
    const std::string base64 = string_of(document, member);
    auto bytes = base64.size() <= kMaxProof ? from_base64(base64) : Result<Bytes>(Bytes{});
    if (!bytes || bytes->empty()) {
      return fail(Code::invalid, std::string("hello: \"") + member + "\" is not base64");
    }
    *into = std::move(*bytes);
  }
  return std::optional(std::move(proof));
}

json versions() {
  return json::array({FL_STREAM_VERSION, FL_STREAM_VERSION});
}

}  // namespace

Result<json> parse_document(ByteView bytes) {
  if (too_deep(bytes)) {
    return fail(Code::invalid, "JSON nested deeper than " + std::to_string(kMaxDepth));
  }
  json document = json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (document.is_discarded()) return fail(Code::invalid, "not JSON");
  if (!document.is_object()) return fail(Code::invalid, "not a JSON object");
  // json converts from and to too much for a plain return.
  return {boost::system::in_place_value, std::move(document)};
}

std::string dump_document(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string string_of(const json& document, const char* member) {
  auto found = document.find(member);
  return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const json& document, const char* member) {
  auto found = document.find(member);
  return found != document.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

Result<Hello> parse_hello(ByteView payload) {
  auto document = parse_document(payload);
  if (!document) return Error(document.error()).in("hello");
  std::string schema = string_of(*document, "schema");
  if (schema != kHelloSchema) {
    return fail(Code::unsupported, "hello of schema \"" + schema + "\"; this end knows " +
                                       kHelloSchema + ": update the older end");
  }
  Hello hello;
  std::string role = string_of(*document, "role");
  if (role == "producer") {
    hello.role = Role::producer;
    auto session = RunId::parse(string_of(*document, "session"));
    if (!session) return Error(session.error()).in("hello: session");
    hello.session = *session;
    if (hello.session.is_zero()) return fail(Code::invalid, "hello: the session is zero");
  } else if (role == "reader") {
    hello.role = Role::reader;
  } else if (role == "archive") {
    hello.role = Role::archive;
    hello.resume = number_of(*document, "resume");
  } else {
    return fail(Code::invalid, "hello: the role is none of producer, reader, archive");
  }
  hello.name = string_of(*document, "name");
  hello.domain = string_of(*document, "domain");
  if (!is_name(hello.name) || !is_name(hello.domain)) {
    return fail(Code::invalid, "hello: a name is too long or has control characters");
  }
  auto proof = proof_of(*document);
  if (!proof) return proof.error();
  hello.proof = std::move(*proof);
  return versions_of(*document, std::move(hello));
}

Bytes producer_hello(const RunId& session, const std::string& name, const std::string& domain,
                     const std::optional<RunProof>& proof) {
  json hello = {{"schema", kHelloSchema},   {"role", "producer"}, {"versions", versions()},
                {"session", session.hex()}, {"name", name},       {"domain", domain}};
  if (proof) {
    hello["grant"] = to_base64(proof->grant);
    hello["grant_signature"] = to_base64(proof->signature);
  }
  return json_frame(FL_FRAME_HELLO, hello);
}

Bytes reader_hello() {
  return json_frame(FL_FRAME_HELLO,
                    {{"schema", kHelloSchema}, {"role", "reader"}, {"versions", versions()}});
}

Bytes archive_hello(std::uint64_t resume, const std::string& name) {
  return json_frame(FL_FRAME_HELLO, {{"schema", kHelloSchema},
                                     {"role", "archive"},
                                     {"version", FL_STREAM_VERSION},
                                     {"resume", resume},
                                     {"name", name}});
}

Bytes error_frame(const Error& error) {
  auto known = std::find_if(kCodes.begin(), kCodes.end(),
                            [&](const CodeName& entry) { return entry.code == error.code; });
  return json_frame(FL_FRAME_ERROR, {{"schema", "fieldline.error/1"},
                                     {"code", known->name},
                                     {"text", error.text().substr(0, kMaxErrorText)}});
}

Error parse_error(ByteView payload) {
  auto document = parse_document(payload);
  if (!document) return Error(document.error()).in("an ERROR frame that cannot be read");
  std::string name = string_of(*document, "code");
  auto known = std::find_if(kCodes.begin(), kCodes.end(),
                            [&](const CodeName& entry) { return entry.name == name; });
  std::string text = string_of(*document, "text").substr(0, kMaxErrorText);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  // A code of a later version: what counts is that the other end said no.
  return fail(known != kCodes.end() ? known->code : Code::denied, text);
}

Bytes json_frame(std::uint8_t type, const json& document) {
  return encode_frame(type, FL_ENCODING_JSON, view(dump_document(document)));
}

}  // namespace fieldline::stream
