// SPDX-License-Identifier: Apache-2.0
// What an earlier process left in the spool's folder, for archives that are pinned or are not.
// Nothing is dialled: the executor never runs.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "app/streams.h"
#include "stream/spool.h"

using namespace fieldline;
using namespace fieldline::app;

namespace {

stream::Fingerprint key_of(std::uint8_t byte) {
  stream::Fingerprint key;
  key.fill(byte);
  return key;
}

struct Folder {
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path = "/tmp/fieldline-leftovers-XXXXXX";
};

// A session that dies with items on disk for this archive.
void leave(const std::string& directory, const stream::Fingerprint& archive) {
  auto folder = stream::SpoolFolder::open(directory, 1 << 20);
  REQUIRE(folder.has_value());
  RunId session;
  session.bytes.fill(archive[0]);
  stream::Spool spool(1 << 20, std::make_unique<stream::SpoolDisk>(*folder, session, archive));
  REQUIRE(spool.offer(FL_FRAME_FINAL_COUNTS, FL_ENCODING_JSON, session, 1, view("{}")));
  REQUIRE(spool.keep());
}

RoleConfig config_of(const std::string& directory) {
  RoleConfig config;
  config.name = "s1";
  config.archives = {{"127.0.0.1", 1, key_of(1)}};
  config.spool_bytes = 1 << 20;
  config.spool_disk_bytes = 1 << 20;
  config.spool_directory = directory + "/spool";
  return config;
}

std::vector<std::string> archives_of(const nlohmann::json& rests) {
  std::vector<std::string> archives;
  for (const auto& rest : rests) archives.push_back(rest.at("archive"));
  return archives;
}

}  // namespace

TEST_CASE("UnpinnedLeftover: what was left for an archive is sent once a reload pins it") {
  Folder folder;
  RoleConfig config = config_of(folder.path);
  leave(config.spool_directory, key_of(1));
  leave(config.spool_directory, key_of(2));
  auto identity = stream::load_or_create_identity(folder.path + "/key.pem", "s1");
  REQUIRE(identity.has_value());
  auto spool = open_spool(config);
  REQUIRE(spool.has_value());
  boost::asio::io_context io;
  Streams streams(io, config, std::move(*identity), *spool,
                  [] { return nlohmann::json::object(); });
  CHECK(streams.others()["rests"].empty());
  streams.start();
  CHECK(archives_of(streams.others()["rests"]) ==
        std::vector<std::string>{stream::to_string(key_of(1))});
  streams.pin(config.archives);
  CHECK(streams.others()["rests"].size() == 1);
  config.archives.push_back({"127.0.0.1", 1, key_of(2)});
  streams.pin(config.archives);
  CHECK(archives_of(streams.others()["rests"]) ==
        std::vector<std::string>{stream::to_string(key_of(1)), stream::to_string(key_of(2))});
  streams.pin(config.archives);
  CHECK(streams.others()["rests"].size() == 2);
}
