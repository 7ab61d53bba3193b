// SPDX-License-Identifier: Apache-2.0
#include "cli_result.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/clock.h"
#include "cli/query.h"
#include "cli/settings.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

const std::string kKey = "SHA256:" + std::string(64, 'a');

struct Folder {
  Folder() {
    char name[] = "/tmp/fieldline-settings-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(path + "/" + name).parent_path());
    std::ofstream(path + "/" + name) << content;
    return path + "/" + name;
  }
  std::string path;
};

Environment environment(std::map<std::string, std::string>& values) {
  return [&values](const char* name) {
    auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

std::string problem(const std::string& toml) {
  auto settings = parse_settings(toml, "config.toml");
  REQUIRE_FALSE(settings);
  return settings.error().context;
}

}  // namespace

TEST_CASE("A settings file names archive, key and identity") {
  auto settings = parse_settings(
      "identity = \"~/k\"\n[archive]\naddress = \"[2001:db8::1]:9000\"\nkey = \"" + kKey + "\"\n",
      "c");
  REQUIRE(settings);
  CHECK(settings->identity == "~/k");
  CHECK(settings->archive->host == "2001:db8::1");
  CHECK(settings->archive->port == 9000);
  CHECK(settings->archive->to_string() == "[2001:db8::1]:9000");
  CHECK(stream::to_string(*settings->archive->key) == kKey);
}

TEST_CASE("A settings error names file, line, column and key") {
  CHECK_THAT(problem("identiti = \"x\"\n"),
             Catch::Contains("config.toml:1:1: ") && Catch::Contains("identiti"));
  CHECK_THAT(problem("[archive]\naddress = \"h:1\"\n  keyy = \"x\"\n"),
             Catch::Contains("config.toml:3:3: ") && Catch::Contains("keyy"));
  CHECK_THAT(problem("[archive]\naddress = 7\n"), Catch::Contains("config.toml:2:"));
  CHECK_THAT(problem("[archive]\naddress = \"h:0\"\n"),
             Catch::Contains("config.toml:2:") && Catch::Contains("65535"));
  CHECK_THAT(problem("[archive]\naddress = \"h\"\nkey = \"MD5:1\"\n"),
             Catch::Contains("config.toml:3:") && Catch::Contains("fieldlined --fingerprint"));
  CHECK_THAT(problem("[archive]\nkey = \"" + kKey + "\"\n"), Catch::Contains("address"));
  CHECK_THAT(problem("a = = 1\n"), Catch::Contains("config.toml:1:"));
}

TEST_CASE("Damaged settings are an error and never a crash") {
  const std::string whole =
      "identity = \"k\"\n[archive]\naddress = \"h:1\"\nkey = \"" + kKey + "\"\n";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    (void)parse_settings(whole.substr(0, length), "c");
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      (void)parse_settings(flipped, "c");
    }
  }
}

TEST_CASE("An archive's address takes host, port and key") {
  CHECK(ArchiveAddress::parse("arc")->port == 8621);
  CHECK(ArchiveAddress::parse("arc:99")->port == 99);
  CHECK(ArchiveAddress::parse("2001:db8::1")->host == "2001:db8::1");
  CHECK(ArchiveAddress::parse("arc:99#" + kKey)->key);
  for (const char* bad : {"", ":1", "arc:", "arc:x", "arc:70000", "[::1", "[::1]x", "a b",
                          "arc#SHA256:12", "user@arc"}) {
    CAPTURE(bad);
    CHECK_FALSE(ArchiveAddress::parse(bad));
  }
}

TEST_CASE("Flags go before the environment, and that before the file") {
  Folder folder;
  folder.write(".config/fieldline/config.toml",
               "identity = \"~/file\"\n[archive]\naddress = \"file:1\"\nkey = \"" + kKey + "\"\n");
  std::map<std::string, std::string> values{{"HOME", folder.path}};

  auto file = load_settings({}, environment(values));
  REQUIRE(file);
  CHECK(file->identity == folder.path + "/file");
  CHECK(file->archive->host == "file");

  values["FIELDLINE_ARCHIVE"] = "env:2#" + kKey;
  values["FIELDLINE_IDENTITY"] = "/env";
  auto env = load_settings({}, environment(values));
  REQUIRE(env);
  CHECK(env->archive->host == "env");
  CHECK(env->identity == "/env");

  auto flags = load_settings({"", {"flag:3#" + kKey}, "/flag"}, environment(values));
  REQUIRE(flags);
  CHECK(flags->archive->host == "flag");
  CHECK(flags->identity == "/flag");

  // The file's key counts for the file's address alone.
  CHECK(load_settings({"", {"file:1"}, ""}, environment(values)));
  auto unknown = load_settings({"", {"file:2"}, ""}, environment(values));
  REQUIRE_FALSE(unknown);
  CHECK_THAT(unknown.error().context, Catch::Contains("fieldlined --fingerprint"));

  auto several = load_settings({"", {"a#" + kKey + ",b#" + kKey}, ""}, environment(values));
  REQUIRE_FALSE(several);
  CHECK_THAT(several.error().context, Catch::Contains("one at a time"));
}

TEST_CASE("A settings file that is named must be there, the usual one need not") {
  Folder folder;
  std::map<std::string, std::string> values{{"HOME", folder.path}};
  auto none = load_settings({}, environment(values));
  REQUIRE(none);
  CHECK_FALSE(none->archive);
  CHECK(none->identity == folder.path + "/.ssh/id_ed25519");
  CHECK_FALSE(load_settings({folder.path + "/none.toml", {}, ""}, environment(values)));
  values["FIELDLINE_CONFIG"] = folder.path + "/none.toml";
  CHECK_FALSE(load_settings({}, environment(values)));
  values["FIELDLINE_CONFIG"] = folder.write("some.toml", "identity = \"/some\"\n");
  CHECK(load_settings({}, environment(values))->identity == "/some");
}

TEST_CASE("A time is RFC 3339, seconds since the epoch, or so long ago") {
  const std::uint64_t now = 1'795'300'000ull * kNanosPerSecond;
  CHECK(*parse_time("1970-01-01T00:00:01.5Z", now) == 1'500'000'000);
  CHECK(*parse_time("@12.000000001", now) == 12'000'000'001);
  CHECK(*parse_time("-5m", now) == now - 300 * kNanosPerSecond);
  for (const char* bad :
       {"", "-", "@", "@.5", "@1.", "@1.1234567890", "2026-11-21", "2026-11-21T23:11:00",
        "2026-11-21T23:11:00.Z", "1900-01-01T00:00:00Z", "-9999999d", "@99999999999999999999"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_time(bad, now));
  }
}

TEST_CASE("A run's length is a duration with units") {
  CHECK(parse_duration_ns("90s") == 90 * kNanosPerSecond);
  CHECK(parse_duration_ns("1h30m") == 5400 * kNanosPerSecond);
  CHECK(parse_duration_ns("60") == 60 * kNanosPerSecond);
  for (const char* bad : {"", "s", "-1s", "1x", "1 s", "1.5s", "99999999999999999999s"}) {
    CAPTURE(bad);
    CHECK(parse_duration_ns(bad) == 0);
  }
}

TEST_CASE("A file is published whole or not at all") {
  Folder folder;
  std::string path = folder.write("old", "old");
  {
    auto pending = PendingFile::create(path);
    REQUIRE(pending);
    REQUIRE(::write(pending->fd(), "new", 3) == 3);
  }
  std::ifstream kept(path);
  CHECK(std::string(std::istreambuf_iterator<char>(kept), {}) == "old");
  auto pending = PendingFile::create(path);
  REQUIRE(pending);
  REQUIRE(::write(pending->fd(), "new", 3) == 3);
  REQUIRE(pending->publish());
  std::ifstream now(path);
  CHECK(std::string(std::istreambuf_iterator<char>(now), {}) == "new");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
  CHECK_FALSE(PendingFile::create(folder.path + "/none/file"));
}
