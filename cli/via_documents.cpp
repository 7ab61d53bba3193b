// SPDX-License-Identifier: Apache-2.0
#include "cli/via_documents.h"

#include <limits>

#include "cli/fields.h"
#include "cli/spray.h"

namespace fieldline::cli::via {

using nlohmann::json;

namespace {

constexpr Code kCodes[] = {Code::invalid, Code::truncated, Code::unsupported,
                           Code::denied,  Code::not_found, Code::exhausted,
                           Code::io,      Code::closed,    Code::timeout};

template <class Number>
Result<void> take_number(const json& from, const char* name, Number& into) {
  const json& value = member(from, name);
  const std::uint64_t number = number_at(from, name);
  if (!value.is_number_unsigned() || number > std::numeric_limits<Number>::max())
    return fail(Code::invalid, std::string("\"") + name + "\" is no number, or too large");
  into = static_cast<Number>(number);
  return {};
}

Result<Socket> socket_of(const json& document) {
  Socket socket;
  auto local = address_at(document, "local"), remote = address_at(document, "remote");
  if (!local) return local.error();
  if (!remote) return remote.error();
  socket.local = *local;
  socket.remote = *remote;
  Result<void> done = take_number(document, "protocol", socket.protocol);
  if (done) done = take_number(document, "local_port", socket.local_port);
  if (done) done = take_number(document, "remote_port", socket.remote_port);
  if (done) done = take_number(document, "tos", socket.tos);
  if (done) done = take_number(document, "uid", socket.uid);
  if (!done) return done.error();
  socket.owner = string_at(document, "owner");
  return socket;
}

}  // namespace

json to_json(const Error& error) {
  return {{"code", name_of(error.code)}, {"text", error.context}};
}

Error error_of(const json& document) {
  const std::string name = string_at(document, "code");
  for (Code code : kCodes) {
    if (name == name_of(code)) return fail(code, string_at(document, "text"));
  }
  return fail(Code::invalid, string_at(document, "text"));
}

json to_json(const std::vector<Address>& addresses) {
  json list = json::array();
  for (const Address& address : addresses) list.push_back(address.to_string());
  return list;
}

Result<Address> address_at(const json& document, const char* name) {
  auto address = Address::parse(string_at(document, name));
  if (!address) return std::move(address.error()).in(std::string("\"") + name + "\"");
  return address;
}

Result<std::vector<Address>> addresses_of(const json& list) {
  std::vector<Address> addresses;
  if (!list.is_array()) return fail(Code::invalid, "no list of addresses");
  for (const json& one : list) {
    auto address = Address::parse(one.is_string() ? one.get<std::string>() : "");
    if (!address) return address.error();
    addresses.push_back(*address);
  }
  return addresses;
}

json to_json(const std::vector<Socket>& sockets) {
  json list = json::array();
  for (const Socket& socket : sockets) {
    list.push_back({{"protocol", socket.protocol},
                    {"local", socket.local.to_string()},
                    {"remote", socket.remote.to_string()},
                    {"local_port", socket.local_port},
                    {"remote_port", socket.remote_port},
                    {"tos", socket.tos},
                    {"uid", socket.uid},
                    {"owner", socket.owner}});
  }
  return list;
}

Result<std::vector<Socket>> sockets_of(const json& list) {
  std::vector<Socket> sockets;
  if (!list.is_array()) return fail(Code::invalid, "no list of sockets");
  for (const json& one : list) {
    auto socket = socket_of(one);
    if (!socket) return std::move(socket.error()).in("a socket");
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

json to_json(const SenderOptions& options) {
  return {{"icmp", options.icmp},
          {"port", options.port},
          {"traffic_class", options.traffic_class},
          {"spray", options.spray}};
}

Result<SenderOptions> sender_options_of(const json& document) {
  SenderOptions options;
  options.icmp = true_at(document, "icmp");
  Result<void> done = take_number(document, "port", options.port);
  if (done) done = take_number(document, "traffic_class", options.traffic_class);
  if (done) done = take_number(document, "spray", options.spray);
  if (!done) return done.error();
  if (options.spray > kSprayMax)
    return fail(Code::invalid, "\"spray\" is more than " + std::to_string(kSprayMax));
  return options;
}

Result<std::optional<std::string>> Lines::next() {
  const auto end = buffer_.find('\n', looked_);
  if (end == std::string::npos) {
    looked_ = buffer_.size();
    if (looked_ > kLineMax) return fail(Code::invalid, "a line that is too long");
    return std::optional<std::string>{};
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  looked_ = 0;
  return std::optional<std::string>(std::move(line));
}

}  // namespace fieldline::cli::via
