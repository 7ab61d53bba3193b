// SPDX-License-Identifier: Apache-2.0
// The JSON documents of a conversation: hello and error. Input is hostile: nothing here throws on
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "stream/identity.h"

namespace fieldline::stream {

// One JSON object, nested at most 32 deep: others walk it by recursion.
Result<nlohmann::json> parse_document(ByteView bytes);
// Bytes that are not UTF-8 (a name out of an error text) become U+FFFD.
std::string dump_document(const nlohmann::json& document);

// A member of the right type, or the default.
std::string string_of(const nlohmann::json& document, const char* member);
std::uint64_t number_of(const nlohmann::json& document, const char* member);

enum class Role { producer, reader, archive };

struct Hello {
  Role role = Role::reader;
  std::uint64_t oldest = 0, newest = 0;  // versions offered; of an archive: the one chosen
  RunId session;                         // of a producer
  std::uint64_t resume = 0;              // of an archive
  std::string name, domain;
  std::optional<RunProof> proof;  // of an application
};
Result<Hello> parse_hello(ByteView payload);
Bytes producer_hello(const RunId& session, const std::string& name, const std::string& domain,
                     const std::optional<RunProof>& proof = {});
Bytes reader_hello();
Bytes archive_hello(std::uint64_t resume, const std::string& name);

// ERROR frames carry the error's code by its enumerator's name.
Bytes error_frame(const Error& error);
Error parse_error(ByteView payload);

Bytes json_frame(std::uint8_t type, const nlohmann::json& document);

}  // namespace fieldline::stream
