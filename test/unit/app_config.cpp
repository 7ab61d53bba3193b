// SPDX-License-Identifier: Apache-2.0
#include "app/config.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace fieldline;
using namespace fieldline::app;

namespace {

const std::string kKeys[] = {"SHA256:" + std::string(64, '1'), "SHA256:" + std::string(64, '2')};

std::string pinned(const std::string& key, const std::string& more = "") {
  return "[[sensor.archive]]\naddress = \"archive.example\"\nkey = \"" + key + "\"\n" + more;
}

Result<Config> load(const std::string& archives) {
  std::string path = std::filesystem::temp_directory_path() / "fieldline-config-XXXXXX";
  const int fd = ::mkstemp(path.data());
  REQUIRE(fd >= 0);
  ::close(fd);
  std::ofstream(path) << "[sensor]\nname = \"s1\"\nallowed_signers = \"signers\"\n"
                         "interfaces = [\"t-up\"]\n"
                      << archives;
  auto config = Config::load(path);
  std::filesystem::remove(path);
  return config;
}

}  // namespace

TEST_CASE("Each archive of a role is pinned once") {
  auto two = load(pinned(kKeys[0]) + pinned(kKeys[1], "also = true\n"));
  if (!two) FAIL(two.error().text());
  CHECK(two->sensor->archives.size() == 2);
  for (const std::string& twice :
       {pinned(kKeys[0]) + pinned(kKeys[0], "also = true\n"),
        pinned(kKeys[0]) + pinned(kKeys[1], "also = true\n") + pinned(kKeys[1], "also = true\n"),
        pinned(kKeys[0]) + pinned(kKeys[1]) + pinned(kKeys[1])}) {
    auto config = load(twice);
    REQUIRE_FALSE(config.has_value());
    const std::string text = config.error().text();
    INFO(text);
    CHECK(text.find("an archive above has this key already") != std::string::npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 0);  // and nothing else
  }
}
