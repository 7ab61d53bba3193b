// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <fstream>

#include "base/file.h"
#include "stream_lab.h"

namespace fieldline::stream {
namespace {

TEST_CASE("an identity is made once and found again") {
  Folder folder;
  auto made = load_or_create_identity(folder / "key.pem", "s1");
  REQUIRE(ok(made));
  struct stat st {};
  REQUIRE(::stat((folder / "key.pem").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  auto found = load_or_create_identity(folder / "key.pem", "another name");
  REQUIRE(ok(found));
  CHECK(found->fingerprint == made->fingerprint);
  CHECK(found->key_pem == made->key_pem);
  CHECK(found->certificate_pem == made->certificate_pem);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  CHECK(load_or_create_identity(folder / "other.pem", "s2")->fingerprint != made->fingerprint);
}

TEST_CASE("a key that others may read is refused with the command that mends it") {
  Folder folder;
  std::string path = folder / "key.pem";
  REQUIRE(ok(load_or_create_identity(path, "s1")));
  for (mode_t mode : {0640, 0604, 0660, 0644}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    auto loaded = load_or_create_identity(path, "s1");
    REQUIRE_FALSE(ok(loaded));
    CHECK(loaded.error().code == Code::denied);
    CHECK(loaded.error().text().find("chmod 600 '" + path + "'") != std::string::npos);
  }
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  CHECK(ok(load_or_create_identity(path, "s1")));
}

TEST_CASE("a damaged identity is refused, never replaced") {
  Folder folder;
  std::string path = folder / "key.pem";
  auto one = load_or_create_identity(path, "s1");
  auto two = load_or_create_identity(folder / "two.pem", "s2");
  REQUIRE(ok(one));
  REQUIRE(ok(two));
  for (const std::string& damaged :
       {std::string(), std::string("nonsense"), one->key_pem, one->certificate_pem,
        one->key_pem + two->certificate_pem, one->key_pem.substr(0, 60) + one->certificate_pem,
        std::string(100'000, '-')}) {
    std::ofstream(path, std::ios::trunc) << damaged;
    CHECK_FALSE(ok(load_or_create_identity(path, "s1")));
    CHECK(*read_file(path) == damaged);
  }
  CHECK(ok(load_or_create_identity(folder / "no/such/folder/s1.pem", "s1")));  // is made
  CHECK_FALSE(ok(load_or_create_identity("/proc/no/such/folder/s1.pem", "s1")));
  CHECK_FALSE(ok(load_or_create_identity(folder.path().string(), "s1")));
}

TEST_CASE("a long name is cut between characters") {
  Folder folder;
  std::string name = "x";
  for (int i = 0; i < 100; ++i) name += "\u00fc";
  CHECK(ok(load_or_create_identity(folder / "key.pem", name)));
}

TEST_CASE("fingerprints are read as they are printed") {
  Fingerprint fingerprint = identity("archive").fingerprint;
  std::string text = to_string(fingerprint);
  CHECK(text.size() == 7 + 64);
  REQUIRE(ok(parse_fingerprint(text)));
  CHECK(*parse_fingerprint(text) == fingerprint);
  CHECK_FALSE(ok(parse_fingerprint(text.substr(1))));
  CHECK_FALSE(ok(parse_fingerprint(text + "0")));
  CHECK_FALSE(ok(parse_fingerprint(text.substr(0, 70) + "g")));
  CHECK_FALSE(ok(parse_fingerprint("")));
}

}  // namespace
}  // namespace fieldline::stream
