// SPDX-License-Identifier: Apache-2.0
// magnet-read's loop over rings in memory, into real files.
#include <sys/eventfd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include <nlohmann/json.hpp>

#include "cli/magnet/read_loop.h"
#include "cli/magnet/read_report.h"
#include "cli/magnet/tool.h"
#include "magnet/merge.h"
#include "magnet_files.h"
#include "magnet_rings.h"

namespace fieldline::test {
namespace {

using cli::Pacer;
using cli::ReadEnd;
using cli::ReadLoop;
using cli::ReadOptions;

struct Lab {
  Lab(unsigned cpus, std::uint32_t ring_bytes, std::uint32_t record_size, std::uint64_t file_size)
      : devices(cpus, ring_bytes, record_size), path(folder / "trace"), stop(::eventfd(0, 0)) {
    make_trace(path, file_size);
  }

  Result<cli::ReadCounts> read(ReadOptions options) {
    auto writer = magnet::TraceWriter::open(path);
    REQUIRE(writer.has_value());
    auto rings = magnet::RingSet::open(devices);
    REQUIRE(rings.has_value());
    REQUIRE(writer->begin(session_of(*rings)).has_value());
    options.stop_descriptor = stop.get();
    auto counts = ReadLoop(*rings, *writer, options).run();
    REQUIRE(writer->finish(trim).has_value());
    return counts;
  }
  // Also from other threads, where Catch's macros may not be used.
  void stop_it() {
    const std::uint64_t one = 1;
    if (::write(stop.get(), &one, sizeof one) != sizeof one) std::abort();
  }
  magnet::TraceEvents events() {
    auto file = system_files().open(path, FileSystem::Mode::read);
    REQUIRE(file.has_value());
    auto events = magnet::TraceEvents::open(std::move(*file));
    REQUIRE(events.has_value());
    return std::move(*events);
  }

  Folder folder;
  MemoryDevices devices;
  std::string path;
  Fd stop;
  bool trim = false;
};

struct Seen {
  std::uint64_t records = 0, lost = 0, sysinfo = 0, back = 0;
};

Seen look(magnet::TraceEvents events) {
  Seen seen;
  std::uint64_t last = 0;
  for (;;) {
    auto event = events.next();
    REQUIRE(event.has_value());
    if (!*event) break;
    const auto& head = (*event)->record.head;
    seen.back += head.timestamp < last ? 1 : 0;
    last = head.timestamp;
    if (head.event == MAGNET_LOST) {
      seen.lost += static_cast<std::uint32_t>(head.size);
    } else if (head.event == MAGNET_SYSINFO) {
      ++seen.sysinfo;
    } else {
      ++seen.records;
    }
  }
  CHECK(events.reader().damages() == 0);
  CHECK(events.out_of_order() == 0);
  return seen;
}

}  // namespace

TEST_CASE("read: two CPUs under load until stopped: file + LOST = added, in the order of time") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  Lab lab(2, 65536, record_size, 64 << 20);
  std::atomic<std::uint64_t> added{0}, pending{0};
  std::vector<std::thread> writers;
  std::atomic<int> running{2};
  for (unsigned cpu = 0; cpu < 2; ++cpu) {
    writers.emplace_back([&, cpu] {
      auto& ring = lab.devices.ring(cpu);
      for (std::uint64_t i = 0; i < 200'000; ++i) {
        ++added;
        if (!ring.add(i, MAGNET_TCP_SEND, 1)) std::this_thread::yield();
      }
      if (--running == 0) lab.stop_it();
    });
  }
  const auto counts = lab.read({});
  for (auto& writer : writers) writer.join();
  for (unsigned cpu = 0; cpu < 2; ++cpu)
    pending += static_cast<std::uint64_t>(local_read(&lab.devices.ring(cpu).ring.pending));
  REQUIRE(counts.has_value());
  CHECK(counts->end == ReadEnd::stopped);
  const Seen seen = look(lab.events());
  CHECK(seen.sysinfo == 2);
  CHECK(seen.back == 0);
  CHECK(seen.records == counts->records);
  CHECK(seen.records + seen.lost + pending == added);
  CHECK(counts->lost <= seen.lost + pending);  // some before the rings were opened
  CHECK(counts->fullest > 0);
}

TEST_CASE("read: a full file ends it, and what did not fit waits in the ring for the next file") {
  Lab lab(1, 262144, 24, 128 << 10);
  std::uint64_t added = 0;
  while (added < 8000) REQUIRE(lab.devices.ring(0).add(added++, MAGNET_IP_SEND, 1));
  const auto counts = lab.read({});
  REQUIRE(counts.has_value());
  CHECK(counts->end == ReadEnd::file_full);
  const Seen first = look(lab.events());
  CHECK(first.records == counts->records);
  CHECK(first.records < added);
  lab.path = lab.folder / "second";
  make_trace(lab.path, 1 << 20);
  lab.stop_it();
  REQUIRE(lab.read({}).has_value());
  CHECK(first.records + look(lab.events()).records == added);
}

TEST_CASE("RecordsTwiceAfterAKillNearTheEnd: a file with less room than the last batch had") {
  const std::size_t stored = GENERATE(2500u, 2557u);  // room for 51 is left, then for none
  Lab lab(1, 65536, 24, 65536);
  for (std::uint64_t i = 0; i < 2600; ++i) REQUIRE(lab.devices.ring(0).add(i, MAGNET_IP_SEND, 1));
  {
    auto writer = magnet::TraceWriter::open(lab.path);
    auto rings = magnet::RingSet::open(lab.devices);
    REQUIRE(writer->begin(session_of(*rings)).has_value());
    auto& ring = rings->rings()[0];
    REQUIRE(ring.copy(writer->space().first(24 * stored)) == stored);
    REQUIRE(writer->commit({0, 1, magnet::Ring::pair_of(ring.at_open()), 0}, stored).has_value());
    ring.release(50);  // killed here
  }
  const auto counts = lab.read({});
  REQUIRE(counts.has_value());
  CHECK(counts->end == ReadEnd::file_full);
  CHECK(counts->repeated == stored - 50);
  const Seen first = look(lab.events());
  CHECK(first.records == stored + counts->records);
  lab.path = lab.folder / "second";
  make_trace(lab.path, 1 << 20);
  lab.stop_it();
  REQUIRE(lab.read({}).has_value());
  CHECK(first.records + look(lab.events()).records == 2600);
}

TEST_CASE("read: --for ends it, and --trim leaves no byte behind the last batch") {
  Lab lab(1, 65536, 64, 1 << 20);
  for (int i = 0; i < 100; ++i) REQUIRE(lab.devices.ring(0).add(1, MAGNET_IP_SEND, 1));
  ReadOptions options;
  options.for_ns = 20 * kNanosPerMilli;
  lab.trim = true;
  const auto counts = lab.read(options);
  REQUIRE(counts.has_value());
  CHECK(counts->end == ReadEnd::time_over);
  CHECK(counts->elapsed_ns >= options.for_ns);
  CHECK(std::filesystem::file_size(lab.path) == 4096 + (64 + 64) + (64 + 100 * 64));
  CHECK(look(lab.events()).records == 100);
}

TEST_CASE("read: the same file again: SYSINFO for each reader, older records before it") {
  Lab lab(2, 65536, 24, 1 << 20);
  lab.stop_it();  // stays readable: each read is one round
  for (std::uint64_t part = 0; part < 3; ++part) {
    for (unsigned cpu = 0; cpu < 2; ++cpu)
      for (int i = 0; i < 50; ++i) REQUIRE(lab.devices.ring(cpu).add(part, MAGNET_IP_SEND, 1));
    REQUIRE(lab.read({}).has_value());
  }
  const Seen seen = look(lab.events());
  CHECK(seen.records == 300);
  CHECK(seen.sysinfo == 6);
  CHECK(seen.back == 0);
}

TEST_CASE("read: a device that goes away ends it with what was there") {
  Lab lab(1, 65536, 24, 1 << 20);
  for (int i = 0; i < 50; ++i) REQUIRE(lab.devices.ring(0).add(1, MAGNET_IP_SEND, 1));
  class Gone final : public magnet::Devices {
   public:
    explicit Gone(MemoryDevices& real) : real_(real) {}
    Result<std::vector<unsigned>> cpus() override { return real_.cpus(); }
    Result<std::unique_ptr<magnet::Device>> open(unsigned cpu) override {
      auto device = real_.open(cpu);
      if (!device) return device.error();
      return std::unique_ptr<magnet::Device>(std::make_unique<Once>(std::move(*device)));
    }

   private:
    class Once final : public magnet::Device {
     public:
      explicit Once(std::unique_ptr<magnet::Device> real) : real_(std::move(real)) {}
      Result<magnet_info> info() override {
        if (std::exchange(asked_, true)) return fail(Code::io, "no such device");
        return real_->info();
      }
      Result<std::span<std::uint8_t>> map(std::size_t bytes) override { return real_->map(bytes); }
      int descriptor() const override { return real_->descriptor(); }

     private:
      std::unique_ptr<magnet::Device> real_;
      bool asked_ = false;
    };
    MemoryDevices& real_;
  } gone(lab.devices);
  auto writer = magnet::TraceWriter::open(lab.path);
  auto rings = magnet::RingSet::open(gone);
  REQUIRE(rings.has_value());
  REQUIRE(writer->begin(session_of(*rings)).has_value());
  const auto counts = ReadLoop(*rings, *writer, {}).run();
  REQUIRE(counts.has_value());
  CHECK(counts->end == ReadEnd::device_gone);
  CHECK(counts->records == 50);
  CHECK(look(lab.events()).records == 50);
}

TEST_CASE("read: progress and summary say what there is") {
  Lab lab(1, 65536, 24, 1 << 20);
  REQUIRE(lab.devices.ring(0).add(1, MAGNET_IP_SEND, 1));
  ReadOptions options;
  std::string line;
  options.progress_ns = 0;
  options.on_progress = [&](const cli::ReadCounts& counts) {
    line = cli::progress_line(counts, 0.25);
    lab.stop_it();
  };
  auto writer = magnet::TraceWriter::open(lab.path);
  auto rings = magnet::RingSet::open(lab.devices);
  REQUIRE(writer->begin(session_of(*rings)).has_value());
  options.stop_descriptor = lab.stop.get();
  const auto counts = ReadLoop(*rings, *writer, options).run();
  REQUIRE(counts.has_value());
  CHECK(line.find("1 records") != std::string::npos);
  CHECK(line.find("file 25 %") != std::string::npos);
  const std::string summary = cli::summary_line(*counts, "trace", 0.5);
  CHECK(summary.find("trace: 1 records, 0 lost") == 0);
  CHECK(summary.find("stopped by a signal") != std::string::npos);
  const auto document = nlohmann::json::parse(cli::summary_json(*counts, "trace", *writer, 24));
  CHECK(document["schema"] == "fieldline.magnet-read/1");
  CHECK(document["records"] == 1);
  CHECK(document["end"] == "stopped");
}

TEST_CASE("pacer: a ring gets half full at a steady rate, within its bounds") {
  for (double fills_per_second : {0.5, 5.0, 50.0, 500.0, 50'000.0}) {
    Pacer pacer = Pacer::automatic();
    double fill = 0;
    for (int round = 0; round < 50; ++round) {
      fill = std::min(1.0, fills_per_second * static_cast<double>(pacer.sleep_ns()) / 1e9);
      pacer.observe(fill, pacer.sleep_ns());
    }
    INFO(fills_per_second << " rings a second, sleep " << pacer.sleep_ns());
    CHECK(pacer.sleep_ns() >= Pacer::kShortest);
    CHECK(pacer.sleep_ns() <= Pacer::kLongest);
    if (fills_per_second < 1000) CHECK(fill < 0.55);
    if (fills_per_second > 20 && fills_per_second < 1000) CHECK(fill > 0.45);
  }
}

TEST_CASE("pacer: a rate that rises is followed at once, one that falls slowly") {
  Pacer pacer = Pacer::automatic();
  for (int i = 0; i < 30; ++i) pacer.observe(0.001, pacer.sleep_ns());
  CHECK(pacer.sleep_ns() == Pacer::kLongest);
  pacer.observe(1.0, Pacer::kLongest);
  CHECK(pacer.sleep_ns() <= Pacer::kLongest / 2);
  const std::uint64_t after = pacer.sleep_ns();
  pacer.observe(0, after);
  CHECK(pacer.sleep_ns() <= 2 * after);
  pacer.woken();
  CHECK(pacer.sleep_ns() <= Pacer::kFirst);
  CHECK(pacer.fill_time_ns() > 0);
  Pacer fixed = Pacer::fixed(7);
  fixed.observe(1.0, 1);
  CHECK(fixed.sleep_ns() == 7);
}

TEST_CASE("tools: sizes") {
  CHECK(*cli::parse_size("4096") == 4096);
  CHECK(*cli::parse_size("64K") == 65536);
  CHECK(*cli::parse_size("256MiB") == 256u << 20);
  CHECK(*cli::parse_size("2GB") == std::uint64_t{2} << 30);
  for (const char* wrong : {"", "K", "12X", "-5", "1.5M", "99999999999T", "5 M", "0x10"})
    CHECK_FALSE(cli::parse_size(wrong).has_value());
}

}  // namespace fieldline::test
