// SPDX-License-Identifier: Apache-2.0
// What the two ends of --via say to each other, as documents (docs/format/via.md). Whatever comes
// from the other end is hostile until it was read here.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "cli/sender.h"
#include "cli/sockets.h"

namespace fieldline::cli::via {

constexpr const char* kSchema = "fieldline.via/1";
constexpr std::size_t kLineMax = 4 << 20;  // a list of some ten thousand sockets

nlohmann::json to_json(const Error& error);
Error error_of(const nlohmann::json& document);

nlohmann::json to_json(const std::vector<Address>& addresses);
Result<std::vector<Address>> addresses_of(const nlohmann::json& list);
Result<Address> address_at(const nlohmann::json& document, const char* member);

nlohmann::json to_json(const std::vector<Socket>& sockets);
Result<std::vector<Socket>> sockets_of(const nlohmann::json& list);

nlohmann::json to_json(const SenderOptions& options);
Result<SenderOptions> sender_options_of(const nlohmann::json& document);

// Takes bytes as they come, gives whole lines. A line that is too long is an error, and stays one.
class Lines {
 public:
  void feed(std::string_view bytes) { buffer_ += bytes; }
  Result<std::optional<std::string>> next();

 private:
  std::string buffer_;
  std::size_t looked_ = 0;
};

}  // namespace fieldline::cli::via
