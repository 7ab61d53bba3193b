// SPDX-License-Identifier: Apache-2.0
#include "cli/signer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "base/fd.h"
#include "cli_keys.h"
#include "proto/trigger.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

const std::string kMessage("a grant\0with a NUL and \n a line", 31);

void check_signature(const Signer& signer, const KeyFolder& folder) {
  auto signature = signer.sign(FL_GRANT_NAMESPACE, view(kMessage));
  REQUIRE(signature);
  CHECK(signature->parsed.key == signer.key());
  CHECK(signature->parsed.name_space == FL_GRANT_NAMESPACE);
  CHECK(sense::verify(signer.key(), sense::sshsig_preimage(FL_GRANT_NAMESPACE, view(kMessage)),
                      signature->parsed.signature));
  // OpenSSH agrees.
  std::ofstream(folder.path + "/sig") << signature->armored;
  auto verified = run_process({"ssh-keygen", "-Y", "check-novalidate", "-n", FL_GRANT_NAMESPACE,
                               "-s", folder.path + "/sig"},
                              view(kMessage));
  REQUIRE(verified);
  CHECK(verified->status == 0);
  CHECK_THAT(verified->out, Catch::Contains(signer.fingerprint()));
}

// An agent of the test's own; SSH_AUTH_SOCK names it while it lives.
struct Agent {
  explicit Agent(const std::string& folder) : address(folder + "/agent") {
    auto started = run_process({"ssh-agent", "-s", "-a", address}, {});
    REQUIRE(started);
    auto at = started->out.find("SSH_AGENT_PID=");
    REQUIRE(at != std::string::npos);
    pid = std::atoi(started->out.c_str() + at + 14);
    REQUIRE(pid > 1);
    if (const char* before = std::getenv("SSH_AUTH_SOCK")) old = before;
    ::setenv("SSH_AUTH_SOCK", address.c_str(), 1);
  }
  ~Agent() {
    ::kill(pid, SIGTERM);
    for (int tries = 0; tries < 500 && ::access(address.c_str(), F_OK) == 0; ++tries) {
      ::poll(nullptr, 0, 10);  // it is no child of ours: its socket's end is what can be seen
    }
    if (old.empty()) {
      ::unsetenv("SSH_AUTH_SOCK");
    } else {
      ::setenv("SSH_AUTH_SOCK", old.c_str(), 1);
    }
  }
  pid_t pid = 0;
  std::string address, old;
};

}  // namespace

TEST_CASE("A private key file signs, and OpenSSH agrees") {
  KeyFolder folder;
  auto signer = Signer::open(folder.make("key"));
  REQUIRE(signer);
  CHECK(signer->comment() == "tester@key");
  CHECK_THAT(signer->fingerprint(), Catch::StartsWith("SHA256:"));
  check_signature(*signer, folder);
}

TEST_CASE("A private key without its .pub signs where ssh-keygen can derive the public key") {
  KeyFolder folder;
  std::string key = folder.make("key");
  auto whole = Signer::open(key);
  REQUIRE(whole);
  std::filesystem::remove(key + ".pub");
  auto signer = Signer::open(key);
  REQUIRE(signer);
  CHECK(signer->key() == whole->key());
}

TEST_CASE("With an agent the public key alone is enough") {
  KeyFolder folder;
  std::string key = folder.make("key");
  Agent agent(folder.path);
  auto added = run_process({"ssh-add", "-q", key}, {});
  REQUIRE(added);
  REQUIRE(added->status == 0);
  std::filesystem::remove(key);
  for (const std::string& identity : {key + ".pub", key}) {
    CAPTURE(identity);
    auto signer = Signer::open(identity);
    REQUIRE(signer);
    check_signature(*signer, folder);
  }
}

TEST_CASE("A public key that no agent holds cannot sign, and the message says where to look") {
  KeyFolder folder;
  std::string key = folder.make("key");
  std::filesystem::remove(key);
  Agent agent(folder.path);  // empty
  auto signer = Signer::open(key + ".pub");
  REQUIRE(signer);
  auto signature = signer->sign("query@fieldline", view(kMessage));
  REQUIRE_FALSE(signature);
  CHECK_THAT(signature.error().context, Catch::Contains("ssh-add -l"));
}

TEST_CASE("Keys of other kinds, missing and damaged ones are refused by name") {
  KeyFolder folder;
  auto rsa = Signer::open(folder.make("rsa", "rsa"));
  REQUIRE_FALSE(rsa);
  CHECK(rsa.error().code == Code::unsupported);
  CHECK_THAT(rsa.error().context,
             Catch::Contains("ssh-rsa") && Catch::Contains("ssh-keygen -t ed25519"));
  auto none = Signer::open(folder.path + "/none");
  REQUIRE_FALSE(none);
  CHECK_THAT(none.error().context, Catch::Contains("--identity"));

  std::ofstream(folder.path + "/text.pub") << "hello world\n";
  CHECK_FALSE(Signer::open(folder.path + "/text.pub"));
  std::string key = folder.make("key");
  std::ifstream file(key + ".pub");
  std::string line(std::istreambuf_iterator<char>(file), {});
  for (std::size_t length = 0; length < line.find(" tester"); ++length) {
    CHECK_FALSE(parse_public_key(std::string_view(line).substr(0, length)));
  }
  CHECK(parse_public_key(line));
  CHECK(parse_public_key(line.substr(0, line.find(" tester"))));
}

TEST_CASE("Two key files that do not belong together are found out") {
  KeyFolder folder;
  std::string one = folder.make("one"), two = folder.make("two");
  std::filesystem::copy_file(two + ".pub", one + ".pub",
                             std::filesystem::copy_options::overwrite_existing);
  auto signer = Signer::open(one);
  REQUIRE(signer);
  CHECK_FALSE(signer->sign("grant@fieldline", view(kMessage)));
}

TEST_CASE("A program gets its input and gives both outputs and its status, without a shell") {
  std::string long_input(300'000, 'x');
  auto cat = run_process({"cat"}, view(long_input));
  REQUIRE(cat);
  CHECK(cat->out == long_input);
  auto quoted = run_process({"printf", "%s", "$(id) ; `ls`"}, {});
  REQUIRE(quoted);
  CHECK(quoted->out == "$(id) ; `ls`");
  auto failing = run_process({"ls", "/none-such"}, view(long_input));
  REQUIRE(failing);
  CHECK(failing->status != 0);
  CHECK_FALSE(failing->err.empty());
  auto missing = run_process({"fieldline-no-such-program"}, {});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Code::not_found);
  CHECK_FALSE(run_process({"head", "-c", "2000000", "/dev/zero"}, {}));
}

TEST_CASE("A program is ended when nobody waits for it any longer") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  Fd read(ends[0]), write(ends[1]);
  write.reset();  // its end is readable from the start
  auto ended = run_process({"sleep", "60"}, {}, read.get());
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == Code::closed);
}
