// SPDX-License-Identifier: Apache-2.0
// The far end of --via.
#include <unistd.h>

#include <map>

#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "cli/via.h"
#include "cli/via_documents.h"
#include "proto/trigger.h"
#include "sense/trigger.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr std::size_t kSendersMax = 64;

class PulseServer {
 public:
  explicit PulseServer(FlowHost& host) : host_(host) {}

  // The answer's members; none: nothing is said.
  Result<std::optional<json>> answer(const json& request);

 private:
  Result<std::size_t> open(const json& request);  // the sender's number
  Result<void> send(const json& request);

  FlowHost& host_;
  std::vector<std::unique_ptr<TriggerSender>> senders_;
};

Result<std::size_t> PulseServer::open(const json& request) {
  if (senders_.size() >= kSendersMax)
    return fail(Code::exhausted, "more than " + std::to_string(kSendersMax) + " runs");
  auto local = via::address_at(request, "local"), remote = via::address_at(request, "remote");
  if (!local) return local.error();
  if (!remote) return remote.error();
  auto options = via::sender_options_of(member(request, "options"));
  if (!options) return options.error();
  auto sender = host_.open_sender(*local, *remote, *options);
  if (!sender) return sender.error();
  senders_.push_back(std::move(*sender));
  return senders_.size() - 1;
}

// Triggers alone: this is no way to send anything else.
Result<void> PulseServer::send(const json& request) {
  const std::uint64_t number = number_at(request, "sender");
  if (number >= senders_.size()) return fail(Code::invalid, "no such sender");
  auto trigger = from_base64(string_at(request, "trigger"));
  if (!trigger) return trigger.error();
  auto decoded = sense::decode_trigger(*trigger);
  if (!decoded) return std::move(decoded.error()).in("what is to be sent is no trigger");
  return senders_[number]->send(*trigger);
}

Result<std::optional<json>> PulseServer::answer(const json& request) {
  const std::string op = string_at(request, "op");
  if (op == "send") {
    if (auto sent = send(request); !sent) return sent.error();
    return std::optional<json>{};
  }
  if (op == "open") {
    auto opened = open(request);
    if (!opened) return opened.error();
    return std::optional(json{{"sender", *opened}});
  }
  if (op == "resolve") {
    auto found =
        host_.resolve(string_at(request, "host"), static_cast<int>(number_at(request, "family")));
    if (!found) return found.error();
    return std::optional(json{{"addresses", via::to_json(*found)}});
  }
  if (op == "sockets") {
    auto remotes = via::addresses_of(member(request, "remotes"));
    if (!remotes) return remotes.error();
    auto sockets = host_.sockets_to(*remotes);
    if (!sockets) return sockets.error();
    return std::optional(json{{"sockets", via::to_json(*sockets)}});
  }
  if (op == "source") {
    auto remote = via::address_at(request, "remote");
    if (!remote) return remote.error();
    auto source = host_.source_address(*remote);
    if (!source) return source.error();
    return std::optional(json{{"address", source->to_string()}});
  }
  return fail(Code::unsupported, "'" + op + "' is not known here; is this fieldline older?");
}

Result<void> put(int out, const json& document) {
  return write_all(out, json_text(document, -1) + "\n");
}

}  // namespace

Result<void> serve_pulses(int in, int out, FlowHost& host) {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  if (auto put_ = put(out, {{"schema", via::kSchema}, {"host", name}}); !put_) return put_;
  PulseServer server(host);
  via::Lines lines;
  char piece[16384];
  for (;;) {
    const ssize_t n = ::read(in, piece, sizeof piece);
    if (n == 0) return {};
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading requests");
    lines.feed({piece, static_cast<std::size_t>(n)});
    for (;;) {
      auto line = lines.next();
      if (!line) return line.error();
      if (!*line) break;
      const json request = json::parse(**line, nullptr, false);
      if (!request.is_object()) return fail(Code::invalid, "a request that is no JSON object");
      auto answer = server.answer(request);
      if (answer && !*answer) continue;
      json document = answer ? **answer : json{{"error", via::to_json(answer.error())}};
      document["id"] = number_at(request, "id");
      if (auto said = put(out, document); !said) return said;
    }
  }
}

int send_pulses() {
  if (is_terminal(STDIN_FILENO)) {
    return complain(fail(Code::invalid,
                         "send-pulses is the far end of `fieldline ping --via ssh:HOST`, which "
                         "starts it itself"),
                    kUsage);
  }
  auto served = serve_pulses(STDIN_FILENO, STDOUT_FILENO, *local_flow_host());
  return served || served.error().code == Code::closed ? kOk : complain(served.error());
}

}  // namespace fieldline::cli
