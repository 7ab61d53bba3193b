// SPDX-License-Identifier: Apache-2.0
// Items to store, and what comes back.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/chunk.h"
#include "base/address.h"
#include "proto/frame.h"

namespace Catch {
template <class T>
struct StringMaker<fieldline::Result<T>> {
  static std::string convert(const fieldline::Result<T>& result) {
    return result ? "a value" : "error: " + result.error().text();
  }
};
}  // namespace Catch

namespace fieldline::test {

class TempDir {
 public:
  TempDir() {
    // In memory where there is such a place: these tests sync thousands of times.
    std::string parent = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    std::string pattern = parent + "/archive-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline RunId id_of(std::uint8_t first, std::uint8_t last = 0) {
  RunId id;
  id.bytes[0] = first;
  id.bytes[15] = last;
  return id;
}

// Ethernet, IP, TCP or UDP with ports, as far as the header goes.
inline Bytes frame(const std::string& src, const std::string& dst, std::uint16_t sport,
                   std::uint16_t dport, std::uint8_t protocol = 6, int vlan_tags = 0) {
  auto a = Address::parse(src), b = Address::parse(dst);
  Bytes bytes(12, 2);
  auto word = [&](unsigned value) {
    bytes.push_back(static_cast<std::uint8_t>(value >> 8));
    bytes.push_back(static_cast<std::uint8_t>(value));
  };
  for (int i = 0; i < vlan_tags; ++i) {
    word(0x8100);
    word(7);
  }
  if (a->is_v4()) {
    word(0x0800);
    append(bytes, Bytes{0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, protocol, 0, 0});
    append(bytes, ByteView(a->bytes).subspan(12));
    append(bytes, ByteView(b->bytes).subspan(12));
  } else {
    word(0x86dd);
    append(bytes, Bytes{0x60, 0, 0, 0, 0, 28, 60, 64});
    append(bytes, a->bytes);
    append(bytes, b->bytes);
    append(bytes, Bytes{protocol, 0, 1, 4, 0, 0, 0, 0});  // destination options
  }
  word(sport);
  word(dport);
  bytes.resize(bytes.size() + 16);
  return bytes;
}

inline archive::Record record(const RunId& run, std::uint64_t sequence, ByteView data,
                              std::uint64_t timestamp_ns = 0, std::uint16_t port = 0) {
  archive::Record record;
  record.run = run;
  record.sequence = sequence;
  record.timestamp_ns = timestamp_ns != 0 ? timestamp_ns : 1'000'000'000 + sequence;
  record.wire_len = 1514;
  record.port = port;
  record.meta.digest = sequence * 3;
  record.data = data;
  return record;
}

struct Document {
  std::uint8_t type = 0;
  std::uint64_t sequence = 0;
  RunId run;
  std::string json;

  pcapng::Report report() const { return {type, FL_ENCODING_JSON, sequence, run, view(json)}; }
};

inline Document configuration(std::uint64_t sequence) {
  return {FL_FRAME_CONFIGURATION,
          sequence,
          {},
          R"({"schema":"fieldline.configuration/1","sensor":"s1","ports":[)"
          R"({"port":0,"interface":"tap0"},{"port":1,"interface":"tap1"}]})"};
}

inline Document activation(const RunId& run, std::uint64_t sequence, const std::string& event,
                           std::uint64_t at_ns = 1'000'000'000,
                           const std::string& principal = "ops@site-a") {
  nlohmann::json json = {{"schema", "fieldline.activation/1"},
                         {"event", event},
                         {"run", run.hex()},
                         {"principal", principal},
                         {"at_ns", at_ns},
                         {"grant", {{"protocol", 6}}}};
  return {FL_FRAME_ACTIVATION, sequence, run, json.dump()};
}

inline Document counts(const RunId& run, std::uint64_t sequence, bool final,
                       std::uint64_t at_ns = 2'000'000'000) {
  nlohmann::json json = {{"schema", "fieldline.final_counts/1"},
                         {"run", run.hex()},
                         {"at_ns", at_ns},
                         {"final", final}};
  return {FL_FRAME_FINAL_COUNTS, sequence, run, json.dump()};
}

// An answer, taken apart.
struct Answer {
  struct Packet {
    std::string interface;
    std::uint64_t sequence, timestamp_ns, digest;
    Bytes data;
  };
  std::vector<Packet> packets;
  std::vector<Document> reports;
  std::vector<std::string> interfaces, comments;
  std::vector<pcapng::Statistics> statistics;
  std::uint64_t skipped_bytes = 0;
  bool complete = false;

  std::vector<std::uint64_t> sequences() const {
    std::vector<std::uint64_t> all;
    for (const auto& packet : packets) all.push_back(packet.sequence);
    return all;
  }
};

class AnswerReader {
 public:
  // Takes what the cursor has now: up to its end, or to an empty piece.
  void drain(archive::Cursor& cursor) {
    for (;;) {
      auto piece = cursor.next();
      REQUIRE(piece);
      answer.complete = !piece->has_value();
      if (answer.complete) break;
      if ((*piece)->empty() && cursor.has_turn_left()) {
        ++turns;
        continue;
      }
      if ((*piece)->empty()) break;
      reader_.feed(**piece);
      for (;;) {
        auto block = reader_.next();
        REQUIRE(block);
        if (!*block) break;
        std::visit([this](const auto& one) { take(one); }, **block);
      }
    }
    REQUIRE(reader_.pending() == 0);
    answer.skipped_bytes = cursor.skipped_bytes();
    REQUIRE(cursor.records() == answer.packets.size());
  }
  Answer answer;
  std::size_t turns = 0;  // in which there was nothing to show

 private:
  void take(const pcapng::Section&) {}
  void take(const pcapng::Interface& interface) {
    answer.interfaces.push_back(interface.name);
    answer.comments.push_back(interface.comment);
  }
  void take(const pcapng::Packet& packet) {
    REQUIRE(packet.meta);
    answer.packets.push_back({answer.interfaces.at(packet.interface), packet.sequence.value_or(0),
                              packet.timestamp_ns, packet.meta->digest,
                              Bytes(packet.data.begin(), packet.data.end())});
  }
  void take(const pcapng::Report& report) {
    answer.reports.push_back(
        {report.type, report.sequence, report.run, std::string(text(report.payload))});
  }
  void take(const pcapng::Statistics& statistics) { answer.statistics.push_back(statistics); }

  pcapng::Reader reader_;
};

inline Answer ask(archive::Archive& archive, const archive::Query& query) {
  auto cursor = archive.query(query);
  REQUIRE(cursor);
  AnswerReader reader;
  reader.drain(**cursor);
  return reader.answer;
}

inline Answer ask(archive::Archive& archive, const RunId& run) {
  archive::Query query;
  query.run = run;
  return ask(archive, query);
}

inline std::unique_ptr<archive::Archive> open_archive(const std::string& directory,
                                                      std::uint64_t chunk_bytes = 64 << 20) {
  archive::Options options;
  options.directory = directory;
  options.chunk_bytes = chunk_bytes;
  auto archive = archive::Archive::open(options);
  if (!archive) FAIL(archive.error().text());
  return std::move(*archive);
}

inline std::uint64_t open_session(archive::Archive& archive, const RunId& session,
                                  const std::string& name = "s1") {
  auto resume = archive.open_session(session, "SHA256:key", name, "site-a");
  if (!resume) FAIL(resume.error().text());
  return *resume;
}

inline std::map<RunId, std::uint64_t> sync(archive::Archive& archive) {
  std::map<RunId, std::uint64_t> safe;
  auto done = archive.sync([&](const RunId& id, std::uint64_t sequence) { safe[id] = sequence; });
  if (!done) FAIL(done.error().text());
  return safe;
}

// Names of the files in DIR/open or DIR/sealed, with their folder.
inline std::vector<std::string> chunk_files(const std::string& directory,
                                            const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/" + folder)) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline Bytes slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

inline void spit(const std::string& path, ByteView bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

inline std::vector<std::uint64_t> numbers(std::uint64_t from, std::uint64_t to) {
  std::vector<std::uint64_t> all;
  for (auto n = from; n <= to; ++n) all.push_back(n);
  return all;
}

}  // namespace fieldline::test
