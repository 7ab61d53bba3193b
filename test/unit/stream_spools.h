// SPDX-License-Identifier: Apache-2.0
// A spool over a disk that can fail, and an archive that checks what it is sent.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "stream/spool.h"
#include "stream_lab.h"
#include "test/support/fault_files.h"

namespace fieldline::stream {

constexpr std::size_t kMemory = 1 << 20;
const RunId kSession = id_of(7);
const Fingerprint kArchive{1, 2, 3};

struct SpoolLab {
  Folder dir;
  test::FaultFiles files{system_files()};
  std::shared_ptr<SpoolFolder> folder;
  std::unique_ptr<Spool> spool;
  std::vector<std::string> troubles;
  std::uint64_t sent = 0, delivered = 0;  // highest number sent; items that the archive has
  std::vector<std::uint64_t> got;         // every number that arrived, once each and rising

  bool open(std::uint64_t limit = 1 << 30, std::size_t memory = kMemory) {
    auto opened = SpoolFolder::open(dir.path(), limit, files);
    if (!opened) return false;
    folder = *opened;
    spool =
        std::make_unique<Spool>(memory, std::make_unique<SpoolDisk>(folder, kSession, kArchive));
    spool->on_trouble = [this](const Error& error) { troubles.push_back(error.text()); };
    return true;
  }
  // As a process that ends without another word.
  void kill() {
    spool.reset();
    folder.reset();
    sent = delivered = connection_at_ = 0;
    got.clear();
  }

  bool offer(std::uint32_t count, std::size_t body = 1000) {
    return spool->offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, {}, count, Bytes(body));
  }

  // What a connection carries; false: the disk could not be read.
  bool send(std::size_t enough) {
    Bytes batch;
    auto taken = spool->take(batch, enough);
    FrameReader reader;
    reader.feed(batch);
    for (;;) {
      auto frame = reader.next();
      REQUIRE(ok(frame));
      if (!*frame) return taken.has_value();
      auto item = decode_item(**frame);
      REQUIRE(ok(item));
      arrived(*item);
    }
  }
  void acknowledge(std::uint64_t last) {
    if (static_cast<std::int64_t>(last) <= 0) return;
    REQUIRE(ok(spool->acknowledge(last)));
  }
  void reconnect(std::uint64_t resume) {
    if (static_cast<std::int64_t>(resume) < 0) resume = 0;
    REQUIRE(ok(spool->resume(std::max(resume, spool->acknowledged()))));
    connection_at_ = 0;
  }
  // Sends and acknowledges; gives the items that came.
  std::uint64_t deliver(std::size_t enough = 100'000) {
    const std::uint64_t before = spool->acknowledged();
    send(enough);
    if (sent > 0) acknowledge(sent);
    return spool->acknowledged() - before;
  }

  // The numbers that a leftover's stream carries to an archive that resumes so.
  std::vector<std::uint64_t> rest_of(const Leftover& leftover, std::uint64_t resume) {
    sent = delivered = connection_at_ = 0;
    got.clear();
    spool = std::make_unique<Spool>(kMemory, std::make_unique<SpoolDisk>(folder, leftover));
    spool->on_trouble = [this](const Error& error) { troubles.push_back(error.text()); };
    REQUIRE(ok(spool->resume(resume)));
    for (int idle = 0; spool->items() > 0 && idle < 10;) idle = deliver() > 0 ? 0 : idle + 1;
    CHECK(spool->items() == 0);
    return got;
  }

  std::vector<std::string> segments() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
      if (is_segment_name(entry.path().filename().string())) names.push_back(entry.path().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  // On one connection the numbers rise; over all of them each is taken once.
  void arrived(const Item& item) {
    REQUIRE(item.sequence > connection_at_);
    connection_at_ = item.sequence + item.count - 1;
    for (std::uint64_t n = item.sequence; n <= connection_at_; ++n) {
      if (n <= sent) continue;
      sent = n;
      ++delivered;
      got.push_back(n);
    }
  }

  std::uint64_t connection_at_ = 0;
};

}  // namespace fieldline::stream
