// SPDX-License-Identifier: Apache-2.0
// OpenSSH is the oracle: what its tools sign we accept, what we accept its tools verify.
#include <catch2/catch.hpp>
#include <thread>

#include "sense_process.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::Process;
using test::TemporaryFolder;

namespace {

struct Keys {
  TemporaryFolder folder;
  PublicKey key{};

  explicit Keys(const std::string& type = "ed25519") {
    REQUIRE(run({"ssh-keygen", "-q", "-t", type, "-N", "", "-C", "test", "-f", folder / "key"}) ==
            0);
    std::string line = folder.read("key.pub");
    folder.write("signers", view("ops@site-a " + line));
    auto begin = line.find(' ') + 1;
    auto blob = from_base64(line.substr(begin, line.find(' ', begin) - begin));
    REQUIRE(blob.has_value());
    if (type == "ed25519") key = parse_public_key_blob(*blob).value();
  }
  int run(std::vector<std::string> command, const std::string& input = "/dev/null",
          std::vector<std::string> environment = {}) const {
    return Process{std::move(command), input, std::move(environment)}.run(folder / "output");
  }
  // ssh-keygen -Y sign of the file `message`.
  std::string sign(const std::string& name_space, const std::string& key_file = "key") const {
    std::filesystem::remove(folder / "message.sig");
    INFO(folder.read("message").size());
    REQUIRE(run({"ssh-keygen", "-Y", "sign", "-n", name_space, "-f", folder / key_file,
                 folder / "message"}) == 0);
    return folder.read("message.sig");
  }
  int verify_by_openssh(const std::string& armored, const std::string& name_space) const {
    folder.write("check.sig", view(armored));
    return run({"ssh-keygen", "-Y", "verify", "-f", folder / "signers", "-I", "ops@site-a", "-n",
                name_space, "-s", folder / "check.sig"},
               folder / "message");
  }
};

Bytes a_grant(const PublicKey& key) {
  test::Sender sender;
  sender.grant.key_id = key_id_of(key);
  return encode(sender.grant);
}

}  // namespace

TEST_CASE("a grant signed by ssh-keygen passes the gate, and ssh-keygen verifies the same bytes") {
  Keys keys;
  Bytes grant = a_grant(keys.key);
  keys.folder.write("message", grant);
  std::string armored = keys.sign(FL_GRANT_NAMESPACE);
  auto parsed = parse_sshsig(armored);
  REQUIRE(parsed.has_value());
  CHECK(parsed->key == keys.key);
  CHECK(parsed->name_space == FL_GRANT_NAMESPACE);

  test::Sender sender;
  Bytes pulse = encode(Pulse{1, kNow, kNow + test::kSecond});
  auto trigger = encode_trigger(grant, parsed->signature, pulse,
                                sign_pulse(sender.run_key, sender.grant.run, pulse));
  test::World world(keys.folder.read("signers"));
  REQUIRE(world.trust.refused.empty());
  auto outcome = world.pass(trigger, kNow);
  REQUIRE(test::name_of(outcome) == "accepted");
  CHECK(std::get<Accepted>(outcome).principal == "ops@site-a");

  // Our armor of the signature in the trigger is what ssh-keygen wrote, and ssh-keygen agrees.
  auto decoded = decode_trigger(trigger).value();
  SshSignature ours{keys.key, FL_GRANT_NAMESPACE, {}};
  std::copy(decoded.grant_signature.begin(), decoded.grant_signature.end(), ours.signature.begin());
  CHECK(armor_sshsig(ours) == armored);
  CHECK(keys.verify_by_openssh(armor_sshsig(ours), FL_GRANT_NAMESPACE) == 0);
  keys.folder.write("message", view("another message"));
  CHECK(keys.verify_by_openssh(armor_sshsig(ours), FL_GRANT_NAMESPACE) != 0);
}

TEST_CASE("a signature made in another namespace is refused by us and by ssh-keygen") {
  Keys keys;
  Bytes grant = a_grant(keys.key);
  keys.folder.write("message", grant);
  std::string armored = keys.sign("file");
  auto parsed = parse_sshsig(armored);
  REQUIRE(parsed.has_value());
  CHECK(parsed->name_space == "file");
  CHECK_FALSE(verify(keys.key, sshsig_preimage(FL_GRANT_NAMESPACE, grant), parsed->signature));
  CHECK(verify(keys.key, sshsig_preimage("file", grant), parsed->signature));
  CHECK(keys.verify_by_openssh(armored, FL_GRANT_NAMESPACE) != 0);
  CHECK(keys.verify_by_openssh(armored, "file") == 0);
}

TEST_CASE("ssh-agent signs a grant without the private key on disk") {
  Keys keys;
  keys.folder.write("message", a_grant(keys.key));
  const std::string socket = keys.folder / "agent";
  const std::string set = "SSH_AUTH_SOCK=" + socket;
  pid_t agent = Process{{"ssh-agent", "-D", "-a", socket}}.start(keys.folder / "agent.log");
  // ssh-add -l ends with 1 while the agent listens and holds no key, with 2 until then.
  int listed = 2;
  for (int tries = 0; tries < 2000 && listed == 2; ++tries) {
    listed = keys.run({"ssh-add", "-l"}, "/dev/null", {set});
  }
  int added = keys.run({"ssh-add", "-q", keys.folder / "key"}, "/dev/null", {set});
  std::filesystem::remove(keys.folder / "key");
  int signed_by_agent = keys.run({"ssh-keygen", "-Y", "sign", "-n", FL_GRANT_NAMESPACE, "-f",
                                  keys.folder / "key.pub", keys.folder / "message"},
                                 "/dev/null", {set});
  kill(agent, SIGTERM);
  int status = 0;
  REQUIRE(waitpid(agent, &status, 0) == agent);

  CHECK(listed == 1);
  CHECK(added == 0);
  REQUIRE(signed_by_agent == 0);
  auto parsed = parse_sshsig(keys.folder.read("message.sig"));
  REQUIRE(parsed.has_value());
  CHECK(verify(keys.key, sshsig_preimage(FL_GRANT_NAMESPACE, view(keys.folder.read("message"))),
               parsed->signature));
}

TEST_CASE("key id and fingerprint are those that ssh-keygen -l prints") {
  Keys keys;
  REQUIRE(keys.run({"ssh-keygen", "-l", "-f", keys.folder / "key.pub"}) == 0);
  CHECK(keys.folder.read("output").find(" " + ssh_fingerprint(keys.key) + " ") !=
        std::string::npos);
  auto hash = from_base64(ssh_fingerprint(keys.key).substr(7)).value();
  auto id = key_id_of(keys.key);
  CHECK(std::equal(id.begin(), id.end(), hash.begin()));
}

TEST_CASE("signatures of other key types and hashes are refused with the remedy") {
  Keys ecdsa("ecdsa");
  ecdsa.folder.write("message", view("x"));
  auto parsed = parse_sshsig(ecdsa.sign(FL_GRANT_NAMESPACE));
  REQUIRE_FALSE(parsed.has_value());
  CHECK(parsed.error().code == Code::unsupported);
  CHECK(parsed.error().text().find("only ssh-ed25519") != std::string::npos);

  Keys keys;
  keys.folder.write("message", view("x"));
  REQUIRE(keys.run({"ssh-keygen", "-Y", "sign", "-O", "hashalg=sha256", "-n", FL_GRANT_NAMESPACE,
                    "-f", keys.folder / "key", keys.folder / "message"}) == 0);
  auto sha256 = parse_sshsig(keys.folder.read("message.sig"));
  REQUIRE_FALSE(sha256.has_value());
  CHECK(sha256.error().text().find("hashalg=sha512") != std::string::npos);
}

TEST_CASE("options of allowed_signers mean to us what they mean to ssh-keygen") {
  Keys keys;
  keys.folder.write("message", a_grant(keys.key));
  std::string armored = keys.sign(FL_GRANT_NAMESPACE);
  const std::string key = keys.folder.read("key.pub");
  struct Case {
    const char* options;
    bool good;
  };
  for (const Case& one :
       {Case{"", true}, Case{"namespaces=\"grant@fieldline\" ", true},
        Case{"namespaces=\"file,grant@*\" ", true}, Case{"namespaces=\"git\" ", false},
        Case{"NAMESPACES=\"*,!grant@fieldline\" ", false}, Case{"valid-after=\"20200101Z\" ", true},
        Case{"valid-after=\"20200101Z\",valid-before=\"20210101120000Z\" ", false},
        Case{"valid-before=\"210001010000Z\",namespaces=\"grant@fieldline\" ", true},
        Case{"valid-after=\"21000101Z\" ", false}}) {
    INFO(one.options);
    std::string line = "ops@site-a " + std::string(one.options) + key;
    keys.folder.write("signers", view(line));
    Trust trust = Trust::parse(line);
    REQUIRE(trust.refused.empty());
    CHECK((keys.verify_by_openssh(armored, FL_GRANT_NAMESPACE) == 0) == one.good);
    std::uint64_t now = SystemClock().utc_ns();
    CHECK((trust.find(keys.key, FL_GRANT_NAMESPACE, now) != nullptr) == one.good);
  }
}
