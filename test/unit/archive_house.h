// SPDX-License-Identifier: Apache-2.0
// An archive with a clock and a disk that a test sets, and sensors that make runs in it.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "archive_fixture.h"
#include "test/support/fault_files.h"

namespace fieldline::test {

class SetClock final : public Clock {
 public:
  void pass(std::uint64_t ns) {
    utc_ += ns;
    monotonic_ += ns;
  }
  void jump(std::int64_t ns) { utc_ += static_cast<std::uint64_t>(ns); }
  std::uint64_t utc_ns() const override { return utc_; }
  std::uint64_t monotonic_ns() const override { return monotonic_; }
  std::uint64_t tai_ns() const override { return utc_; }

 private:
  // Files are dated by the real one.
  std::uint64_t utc_ = SystemClock().utc_ns(), monotonic_ = 1000 * kNanosPerSecond;
};

inline const std::string kOwner = "ops@site-a";
inline const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);

inline RunId run_id(std::uint8_t n) {
  return id_of(0xa0, n);
}
inline RunId session_id(std::uint8_t n) {
  return id_of(0x50, n);
}

struct House {
  explicit House(std::uint64_t chunk_bytes = 64 << 10) : chunk_bytes_(chunk_bytes) { open(); }

  archive::Options options() {
    archive::Options options{dir.path(), chunk_bytes_, &files, rules, &clock, deletions_kept};
    return options;
  }
  void open() {
    auto opened = archive::Archive::open(options());
    if (!opened) FAIL(opened.error().text());
    archive = std::move(*opened);
    sequence_.clear();
  }
  void reopen() {
    REQUIRE(archive->close());
    archive.reset();
    open();
  }
  void drop_sessions() {
    for (const auto& [n, sequence] : sequence_) {
      REQUIRE(archive->close_session(session_id(n)));
    }
  }

  // A sensor: s0, s1 ...
  RunId connect(std::uint8_t n) {
    auto resume = archive->open_session(session_id(n), "SHA256:key", "s" + std::to_string(n), "a");
    if (!resume) FAIL(resume.error().text());
    sequence_[n] = *resume;
    return session_id(n);
  }
  std::uint64_t next(std::uint8_t sensor) { return ++sequence_[sensor]; }
  std::uint64_t last(std::uint8_t sensor) { return sequence_[sensor]; }

  void start_run(std::uint8_t n, std::size_t records, std::uint8_t sensor = 0,
                 const std::string& principal = kOwner) {
    if (!sequence_.contains(sensor)) {
      connect(sensor);
      REQUIRE(archive->append(session_id(sensor), configuration(next(sensor)).report()));
    }
    const RunId session = session_id(sensor);
    auto started = activation(run_id(n), next(sensor), "started", clock.utc_ns(), principal);
    REQUIRE(archive->append(session, started.report()));
    for (std::size_t i = 0; i < records; ++i) {
      auto one = record(run_id(n), next(sensor), kFrame, clock.utc_ns() + i);
      REQUIRE(archive->append(session, one));
    }
    sync(*archive);
  }
  void end_run(std::uint8_t n, std::uint8_t sensor = 0) {
    auto final = counts(run_id(n), next(sensor), true, clock.utc_ns());
    REQUIRE(archive->append(session_id(sensor), final.report()));
    sync(*archive);
  }
  void make_run(std::uint8_t n, std::size_t records, std::uint8_t sensor = 0,
                const std::string& principal = kOwner) {
    start_run(n, records, sensor, principal);
    end_run(n, sensor);
  }

  archive::Tended tend(bool synchronised = true) {
    auto tended = archive->tend(synchronised);
    if (!tended) FAIL(tended.error().text());
    return *tended;
  }
  void tend_all() {
    while (tend().has_more) {
    }
  }
  // Of all chunks.
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const char* folder : {"open", "sealed"}) {
      for (const auto& file : chunk_files(dir.path(), folder))
        sum += std::filesystem::file_size(file);
    }
    return sum;
  }

  TempDir dir;
  FaultFiles files{system_files()};
  SetClock clock;
  archive::Rules rules;
  std::size_t deletions_kept = archive::Options{}.deletions_kept;
  std::unique_ptr<archive::Archive> archive;

 private:
  std::uint64_t chunk_bytes_;
  std::map<std::uint8_t, std::uint64_t> sequence_;
};

}  // namespace fieldline::test
