// SPDX-License-Identifier: Apache-2.0
// The far end of --via, by the lines that it is given.
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "cli/via.h"
#include "cli/via_documents.h"
#include "sense/trigger.h"

using namespace fieldline;
using namespace fieldline::cli;
using nlohmann::json;

namespace {

struct Sent {
  Address remote;
  SenderOptions options;
  std::vector<Bytes> triggers;
};

class FakeHost final : public FlowHost {
 public:
  Result<std::vector<Address>> resolve(const std::string& host, int) override {
    if (host != "dtn2") return fail(Code::not_found, "'" + host + "': not known");
    return std::vector{*Address::parse("10.0.3.2"), *Address::parse("2001:db8::2")};
  }
  Result<std::vector<Socket>> sockets_to(const std::vector<Address>& remotes) override {
    Socket socket;
    socket.protocol = 6;
    socket.local = *Address::parse("10.0.0.1");
    socket.remote = remotes.front();
    socket.local_port = 43122;
    socket.remote_port = 5201;
    socket.tos = 0x28;
    socket.owner = "4121 grid\x1b[2J";
    return std::vector{socket};
  }
  Result<Address> source_address(const Address&) override { return *Address::parse("10.0.0.1"); }
  Result<std::unique_ptr<TriggerSender>> open_sender(const Address&, const Address& remote,
                                                     const SenderOptions& options) override {
    struct Recorder final : TriggerSender {
      explicit Recorder(std::shared_ptr<Sent> to) : sent(std::move(to)) {}
      Result<void> send(ByteView trigger) override {
        sent->triggers.emplace_back(trigger.begin(), trigger.end());
        return {};
      }
      std::shared_ptr<Sent> sent;
    };
    sent.push_back(std::make_shared<Sent>(Sent{remote, options, {}}));
    return std::unique_ptr<TriggerSender>(std::make_unique<Recorder>(sent.back()));
  }
  std::vector<std::shared_ptr<Sent>> sent;
};

struct Served {
  Result<void> result;
  std::vector<json> answers;  // behind the greeting
};

Served serve(FakeHost& host, const std::string& lines) {
  int in[2], out[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, in) == 0);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, out) == 0);
  REQUIRE(::write(in[1], lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()));
  ::close(in[1]);
  Served served{serve_pulses(in[0], out[1], host), {}};
  ::close(in[0]);
  ::close(out[1]);
  via::Lines said;
  char piece[65536];
  for (ssize_t n; (n = ::read(out[0], piece, sizeof piece)) > 0;)
    said.feed({piece, static_cast<std::size_t>(n)});
  ::close(out[0]);
  for (;;) {
    auto line = said.next();
    REQUIRE(line.has_value());
    if (!*line) break;
    served.answers.push_back(json::parse(**line));
  }
  REQUIRE_FALSE(served.answers.empty());
  CHECK(served.answers.front()["schema"] == "fieldline.via/1");
  served.answers.erase(served.answers.begin());
  return served;
}

Bytes trigger() {
  sense::Grant grant;
  grant.run.bytes[0] = 1;
  grant.protocol = 6;
  grant.host_a = {*Address::parse("10.0.0.1"), 128};
  grant.host_b = {*Address::parse("10.0.3.2"), 128};
  grant.pairs = {{0, 5201}};
  grant.issued_at_ns = 1;
  grant.not_after_ns = 2'000'000'000;
  const Bytes pulse = sense::encode(sense::Pulse{1, 1, 2});
  return sense::encode_trigger(sense::encode(grant), Bytes(64, 1), pulse, {});
}

}  // namespace

TEST_CASE("the far end answers by id, and sends what is a trigger") {
  FakeHost host;
  const std::string bytes = to_base64(trigger());
  const Served served = serve(
      host,
      R"({"id":1,"op":"resolve","host":"dtn2","family":0})"
      "\n"
      R"({"id":2,"op":"sockets","remotes":["10.0.3.2"]})"
      "\n"
      R"({"id":3,"op":"source","remote":"10.0.3.2"})"
      "\n"
      R"({"id":4,"op":"open","local":"10.0.0.1","remote":"10.0.3.2","options":{"icmp":true,"port":8620,"traffic_class":40,"spray":1}})"
      "\n"
      R"({"id":5,"op":"send","sender":0,"trigger":")" +
          bytes + "\"}\n");
  REQUIRE(served.result.has_value());
  REQUIRE(served.answers.size() == 4);
  CHECK(served.answers[0]["addresses"] == json{"10.0.3.2", "2001:db8::2"});
  auto sockets = via::sockets_of(served.answers[1]["sockets"]);
  REQUIRE(sockets.has_value());
  REQUIRE(sockets->size() == 1);
  CHECK(sockets->front().local_port == 43122);
  CHECK(sockets->front().remote == *Address::parse("10.0.3.2"));
  CHECK(sockets->front().tos == 0x28);
  CHECK(served.answers[2]["address"] == "10.0.0.1");
  CHECK(served.answers[3] == json{{"id", 4}, {"sender", 0}});
  REQUIRE(host.sent.size() == 1);
  CHECK(host.sent[0]->options.icmp);
  CHECK(host.sent[0]->options.traffic_class == 40);
  CHECK(host.sent[0]->triggers == std::vector<Bytes>{trigger()});
}

TEST_CASE("what is refused is said by id, and nothing is sent") {
  FakeHost host;
  std::string lines =
      R"({"id":1,"op":"open","local":"10.0.0.1","remote":"10.0.3.2","options":{"port":8620,"traffic_class":0,"spray":64}})"
      "\n";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("op":"send","sender":1,"trigger":"AAAA")", "no such sender"},
      {R"("op":"send","sender":0,"trigger":"!")", ""},
      {R"("op":"send","sender":0,"trigger":"R0VUIC8gSFRUUC8xLjA=")", "no trigger"},
      {R"("op":"open","local":"here","remote":"10.0.3.2","options":{})", "local"},
      {R"("op":"open","local":"10.0.0.1","remote":"10.0.3.2","options":{"port":65536,"traffic_class":0,"spray":1}})",
       "port"},
      {R"("op":"open","local":"10.0.0.1","remote":"10.0.3.2","options":{"port":1,"traffic_class":0,"spray":65}})",
       "spray"},
      {R"("op":"resolve","host":"dtn9")", "not known"},
      {R"("op":"sockets","remotes":[1])", ""},
      {R"("op":"exec","command":"id")", "'exec' is not known"}};
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    std::string line = "{\"id\":" + std::to_string(i + 2) + "," + wrong[i].first;
    if (std::count(line.begin(), line.end(), '{') > std::count(line.begin(), line.end(), '}'))
      line += "}";
    lines += line + "\n";
  }
  const Served served = serve(host, lines);
  REQUIRE(served.result.has_value());
  REQUIRE(served.answers.size() == wrong.size() + 1);
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    INFO(wrong[i].first);
    CHECK(served.answers[i + 1]["id"] == i + 2);
    CHECK(served.answers[i + 1]["error"]["text"].get<std::string>().find(wrong[i].second) !=
          std::string::npos);
  }
  REQUIRE(host.sent.size() == 1);
  CHECK(host.sent[0]->triggers.empty());
}

TEST_CASE("a line that is no object, or endless, ends the far end") {
  FakeHost host;
  CHECK_FALSE(serve(host, "[]\n").result.has_value());
  CHECK_FALSE(serve(host, "nonsense\n").result.has_value());
  via::Lines lines;
  lines.feed(std::string(via::kLineMax + 1, 'x'));
  CHECK_FALSE(lines.next().has_value());
}

TEST_CASE("documents of a hostile far end") {
  CHECK_FALSE(via::sockets_of(json{{{"protocol", 6}}}).has_value());
  CHECK_FALSE(via::sockets_of(json(7)).has_value());
  CHECK_FALSE(via::addresses_of(json{"10.0.0.1", nullptr}).has_value());
  CHECK(via::error_of({{"code", "denied"}, {"text", "x"}}).code == Code::denied);
  CHECK(via::error_of({{"code", "I/O error"}, {"text", "x"}}).code == Code::io);
  CHECK(via::error_of(json::array()).code == Code::invalid);
}

TEST_CASE("where --via leads is a host, and no option or command") {
  for (const char* via : {"far", "ssh:", "ssh:-oProxyCommand=id", "ssh:far;id", "ssh:far id",
                          "ssh:$(id)", "telnet:far"}) {
    INFO(via);
    auto host = flow_host_via(via, -1);
    REQUIRE_FALSE(host.has_value());
    CHECK(host.error().code == Code::unsupported);
  }
}
