// SPDX-License-Identifier: Apache-2.0
// magnet-parse: order, columns, filters, damage. test/format/magnet_readers.py has babeltrace2 and
// JSON's readers look at the same.
#include "cli/magnet/parse.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include <nlohmann/json.hpp>

#include "cli/magnet/ctf.h"
#include "magnet_files.h"
#include "magnet_rings.h"

namespace fieldline::test {
namespace {

constexpr std::uint64_t kUtc = 1'763'766'697'000'000'000;

magnet::ClockPair pair_at(std::uint64_t cycles) {  // 1 GHz
  return {cycles, kUtc + cycles + 37'000'000'000, kUtc + cycles, 10};
}

magnet::TraceHeader header_of(std::uint16_t record_size, std::uint8_t boot = 1) {
  magnet::TraceHeader header;
  header.record_size = record_size;
  header.abi = MAGNET_ABI;
  header.cycles_khz = 1'000'000;
  header.boot_id = {boot, 2, 3};
  header.host = "host-" + std::to_string(boot);
  return header;
}

Bytes trace_bytes(const magnet::TraceHeader& header) {
  Bytes bytes;
  append_struct(bytes, magnet::encode_header(header));
  bytes.resize(FL_TRACE_HEADER_SIZE);
  return bytes;
}

void save(const std::string& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

struct Run {
  int code = 0;
  std::string out;
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::istringstream in(out);
    for (std::string line; std::getline(in, line);)
      if (!line.starts_with("#")) all.push_back(line);
    return all;
  }
};

Run run(const Folder& folder, cli::ParseOptions options) {
  const std::string path = folder / "output";
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  Run ran;
  ran.code = cli::parse(options, fd.get());
  ran.out = text_of(path);
  return ran;
}

magnet_record record(std::uint64_t cycles, std::uint32_t event, std::uint64_t sockid = 1,
                     std::int32_t size = 100) {
  return {sockid, cycles, event, size};
}

// Of the records that a test wants, batch by batch.
class Maker {
 public:
  void operator()(unsigned cpu, std::uint32_t round, const magnet::ClockPair& pair,
                  const std::vector<magnet_record>& records) {
    append_batch(bytes_, ++sequence_, cpu, round, pair,
                 {reinterpret_cast<const std::uint8_t*>(records.data()), 24 * records.size()}, 24);
  }
  void operator()(unsigned cpu, std::uint32_t round, std::uint64_t cycles,
                  const std::vector<magnet_record>& records) {
    (*this)(cpu, round, pair_at(cycles), records);
  }
  std::string save_as(const std::string& path) {
    bytes_.resize(bytes_.size() + 8192);
    save(path, bytes_);
    return path;
  }

 private:
  Bytes bytes_ = trace_bytes(header_of(24));
  std::uint64_t sequence_ = 0;
};

// 1 GHz from 1,000,000 on: SYSINFO, then events of two sockets on two CPUs.
std::string simple_trace(const Folder& folder) {
  Maker batch;
  batch(0, 1, 1'000'000, {record(1'000'000, MAGNET_SYSINFO, 0, 1'000'000)});
  batch(1, 1, 1'000'100, {record(1'000'100, MAGNET_SYSINFO, 0, 1'000'000)});
  batch(0, 2, 5'000'000,
        {record(2'000'000, MAGNET_SOCK_SEND, 4711, 5000), record(2'000'100, MAGNET_TCP_SEND, 4711),
         record(4'000'000, MAGNET_IP_SEND, 4711, -5)});
  batch(1, 2, 5'000'050, {record(2'000'050, MAGNET_UDP_SEND, 8), record(3'000'000, 0x8001, 8)});
  batch(0, 3, 9'000'000, {record(6'000'000, MAGNET_LOST, 0, 12)});
  return batch.save_as(folder / "simple");
}

}  // namespace

TEST_CASE("parse: the paper's table, CPUs merged") {
  Folder folder;
  const Run ran = run(folder, {{simple_trace(folder)}});
  CHECK(ran.code == 0);
  CHECK(ran.out.find("#sockid\tseconds\tcpu\tevent\tsize\n") != std::string::npos);
  CHECK(ran.lines() == std::vector<std::string>{
                           "0\t0.000000000\t0\tSYSINFO\t1000000",
                           "0\t0.000000100\t1\tSYSINFO\t1000000",
                           "4711\t0.001000000\t0\tSOCK_SEND\t5000",
                           "8\t0.001000050\t1\tUDP_SEND\t100",
                           "4711\t0.001000100\t0\tTCP_SEND\t100",
                           "8\t0.002000000\t1\t0x8001\t100",
                           "4711\t0.003000000\t0\tIP_SEND\t-5",
                           "0\t0.005000000\t0\tLOST\t12",
                       });
}

TEST_CASE("parse: counters that begin anew, as in a machine's sleep, keep order and time") {
  Folder folder;
  const std::uint64_t asleep = 60'000'000'000;
  auto awake = [&](std::uint64_t cycles) {
    magnet::ClockPair pair = pair_at(cycles + asleep);
    pair.cycles = cycles;
    return pair;
  };
  Maker batch;
  batch(0, 1, 50'000'000'000, {record(50'000'000'000, MAGNET_SYSINFO, 0, 1)});
  batch(1, 1, 50'000'000'100, {record(50'000'000'100, MAGNET_SYSINFO, 0, 1)});
  batch(0, 2, 51'000'000'000, {record(50'500'000'000, MAGNET_SOCK_SEND, 1)});
  batch(1, 2, 51'000'000'100, {record(50'600'000'000, MAGNET_SOCK_SEND, 2)});
  // The rings kept what came just before.
  batch(0, 3, awake(3'000),
        {record(51'100'000'000, MAGNET_SOCK_SEND, 3), record(2'000, MAGNET_SOCK_SEND, 5)});
  batch(1, 3, awake(3'100),
        {record(51'200'000'000, MAGNET_SOCK_SEND, 4), record(2'500, MAGNET_SOCK_SEND, 6)});
  cli::ParseOptions options{{batch.save_as(folder / "asleep")}};
  options.time = cli::TimeColumn::seconds;
  CHECK(run(folder, options).lines() ==
        std::vector<std::string>{
            "0\t0.000000000\t0\tSYSINFO\t1", "0\t0.000000100\t1\tSYSINFO\t1",
            "1\t0.500000000\t0\tSOCK_SEND\t100", "2\t0.600000000\t1\tSOCK_SEND\t100",
            "3\t1.100000000\t0\tSOCK_SEND\t100", "4\t1.200000000\t1\tSOCK_SEND\t100",
            "5\t10.000002000\t0\tSOCK_SEND\t100", "6\t10.000002500\t1\tSOCK_SEND\t100"});
}

TEST_CASE("parse: cycles and UTC") {
  Folder folder;
  cli::ParseOptions options{{simple_trace(folder)}};
  options.time = cli::TimeColumn::cycles;
  CHECK(run(folder, options).lines()[2] == "4711\t2000000\t0\tSOCK_SEND\t5000");
  options.time = cli::TimeColumn::utc;
  CHECK(run(folder, options).lines()[2] ==
        "4711\t2025-11-21T23:11:37.002000000Z\t0\tSOCK_SEND\t5000");
}

TEST_CASE("parse: an end beyond all time is no end") {
  Folder folder;
  const std::string trace = simple_trace(folder);
  for (const char* end : {"18000000000", "2600-01-01T00:00:00Z"}) {
    cli::ParseOptions options{{trace}};
    REQUIRE(options.filter.until(end).has_value());
    CHECK(run(folder, options).lines().size() == 8);
  }
}

TEST_CASE("parse: --since, --until, --sockid, --event") {
  Folder folder;
  const std::string path = simple_trace(folder);
  auto names = [&](auto set) {
    cli::ParseOptions options{{path}};
    set(options.filter);
    std::string all;
    for (const auto& line : run(folder, options).lines()) {
      auto from = line.rfind('\t', line.rfind('\t') - 1) + 1;
      all += line.substr(from, line.rfind('\t') - from) + " ";
    }
    return all;
  };
  using Filter = cli::EventFilter;
  CHECK(names([](Filter& f) { REQUIRE(f.since("0.002").has_value()); }) == "0x8001 IP_SEND LOST ");
  CHECK(names([](Filter& f) { REQUIRE(f.until("1000100ns").has_value()); }) ==
        "SYSINFO SYSINFO SOCK_SEND UDP_SEND ");
  CHECK(names([](Filter& f) { REQUIRE(f.since("2025-11-21T23:11:37.003Z").has_value()); }) ==
        "0x8001 IP_SEND LOST ");
  CHECK(names([](Filter& f) { REQUIRE(f.since("@1763766697.004").has_value()); }) ==
        "IP_SEND LOST ");
  CHECK(names([](Filter& f) { f.add_socket(8); }) == "UDP_SEND 0x8001 ");
  CHECK(names([](Filter& f) { REQUIRE(f.add_event("ip").has_value()); }) == "IP_SEND ");
  CHECK(names([](Filter& f) {
          REQUIRE(f.add_event("0x8001").has_value());
          REQUIRE(f.add_event("lost").has_value());
          REQUIRE(f.add_event("tcp").has_value());
        }) == "TCP_SEND 0x8001 LOST ");
  Filter filter;
  for (const char* wrong : {"", "x", "5parsecs", "2025-11-21", "2025-11-21T23:11:37", "@", "1.x"})
    CHECK_FALSE(filter.since(wrong).has_value());
  const auto unknown = filter.add_event("TCP_SNED");
  REQUIRE_FALSE(unknown.has_value());
  CHECK(unknown.error().text().find("TCP_SEND") != std::string::npos);
}

TEST_CASE("parse: --json is a document a line, with the extension's members") {
  Folder folder;
  Bytes bytes = trace_bytes(header_of(64));
  magnet_record_ext open{record(1000, MAGNET_SOCK_OPEN, 5, 0), {}};
  open.ext.open.local[10] = open.ext.open.local[11] = 0xff;
  open.ext.open.local[15] = 9;
  open.ext.open.peer_port = 443;
  magnet_record_ext tcp{record(2000, MAGNET_TCP_SEND, 5, 1448), {}};
  tcp.ext.tcp.seq = 0xffffffff;
  const magnet_record_ext both[] = {open, tcp};
  append_batch(bytes, 1, 0, 1, pair_at(3000),
               {reinterpret_cast<const std::uint8_t*>(both), sizeof both}, 64);
  save(folder / "ext", bytes);
  cli::ParseOptions options{{folder / "ext"}};
  options.json = true;
  const auto lines = run(folder, options).lines();
  REQUIRE(lines.size() == 3);
  const auto head = nlohmann::json::parse(lines[0]);
  CHECK(head["schema"] == "fieldline.magnet-parse/1");
  CHECK(head["traces"][0]["host"] == "host-1");
  const auto first = nlohmann::json::parse(lines[1]), second = nlohmann::json::parse(lines[2]);
  CHECK(first["event"] == "SOCK_OPEN");
  CHECK(first["ext"]["local"] == "0.0.0.9");
  CHECK(first["ext"]["peer_port"] == 443);
  CHECK(second["ext"]["seq"] == 0xffffffffu);
  CHECK(second["utc_ns"] == kUtc + 2000);
  options.json = false;
  CHECK(run(folder, options).lines()[0].find("\tlocal=0.0.0.9\tlocal_port=0\t") !=
        std::string::npos);
}

TEST_CASE("parse: traces of several hosts are merged by UTC and named") {
  Folder folder;
  for (std::uint8_t host : {std::uint8_t{1}, std::uint8_t{2}}) {
    Bytes bytes = trace_bytes(header_of(24, host));
    for (std::uint64_t i = 0; i < 3; ++i) {
      const magnet_record one = record(1000 * (2 * i + host), MAGNET_IP_SEND, host);
      append_batch(bytes, i + 1, 0, static_cast<std::uint32_t>(i), pair_at(one.timestamp),
                   view_of(one), 24);
    }
    save(folder / std::to_string(host), bytes);
  }
  const Run ran = run(folder, {{folder / "2", folder / "1"}});
  std::string order;
  for (const auto& line : ran.lines()) order += line[0];
  CHECK(order == "121212");
  CHECK(ran.lines()[0].ends_with("\thost=host-1"));
}

TEST_CASE("parse: what is sound is printed, what is not makes 5; no trace makes 1") {
  Folder folder;
  Bytes bytes = content_of(simple_trace(folder));
  bytes[4096 + 88 + 70] ^= 1;  // the second batch
  save(folder / "damaged", bytes);
  const Run ran = run(folder, {{folder / "damaged"}});
  CHECK(ran.code == 5);
  CHECK(ran.lines().size() == 7);
  save(folder / "nothing", {});
  CHECK(run(folder, {{folder / "nothing"}}).code == 1);
  CHECK(run(folder, {{folder / "not there"}}).code == 1);
  make_trace(folder / "blank", 1 << 16);
  const Run blank = run(folder, {{folder / "blank"}});
  CHECK(blank.code == 0);
  CHECK(blank.lines().empty());
}

TEST_CASE("parse: the reader of a pipe may go") {
  Folder folder;
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  Fd read_end(ends[0]), write_end(ends[1]);
  read_end.reset();
  cli::ParseOptions options{{simple_trace(folder)}};
  CHECK(cli::parse(options, write_end.get()) == 0);
}

TEST_CASE(
    "parse: batches of rings that were drained in rounds come out in order, whatever they hold") {
  Folder folder;
  std::mt19937_64 random(20261122);
  constexpr unsigned kCpus = 5;
  Bytes bytes = trace_bytes(header_of(24));
  std::vector<std::vector<magnet_record>> rings(kCpus);
  std::uint64_t now = 1000, sequence = 0, all = 0;
  for (std::uint32_t round = 1; round < 200; ++round) {
    for (unsigned cpu = 0; cpu < kCpus; ++cpu) {
      for (std::uint64_t n = random() % 20; n > 0; --n)
        rings[random() % kCpus].push_back(record(now += random() % 50 + 1, MAGNET_IP_SEND, ++all));
      // A record that was written while this ring was being copied stays for the next round.
      auto& ring = rings[cpu];
      const std::size_t kept = ring.empty() ? 0 : random() % 2;
      const std::size_t taken = ring.size() - kept;
      if (taken != 0) {
        append_batch(bytes, ++sequence, cpu, round, pair_at(now + 1),
                     {reinterpret_cast<const std::uint8_t*>(ring.data()), 24 * taken}, 24);
        ring.erase(ring.begin(), ring.begin() + static_cast<std::ptrdiff_t>(taken));
      }
    }
  }
  for (unsigned cpu = 0; cpu < kCpus; ++cpu) {
    if (rings[cpu].empty()) continue;
    append_batch(bytes, ++sequence, cpu, 200, pair_at(now + 1 + cpu),
                 {reinterpret_cast<const std::uint8_t*>(rings[cpu].data()), 24 * rings[cpu].size()},
                 24);
  }
  auto events = magnet::TraceEvents::open(std::make_unique<MemoryFile>(bytes));
  REQUIRE(events.has_value());
  std::uint64_t last = 0, count = 0;
  for (;;) {
    auto event = events->next();
    REQUIRE(event.has_value());
    if (!*event) break;
    CHECK((*event)->record.head.timestamp > last);
    last = (*event)->record.head.timestamp;
    ++count;
  }
  CHECK(count == all);
  CHECK(events->out_of_order() == 0);
}

TEST_CASE("ctf: a folder is not written into, and one boot makes one trace") {
  Folder folder;
  cli::ParseOptions options{{simple_trace(folder)}};
  options.ctf = folder / "ctf";
  CHECK(run(folder, options).code == 0);
  CHECK(std::filesystem::exists(folder / "ctf/metadata"));
  CHECK(std::filesystem::exists(folder / "ctf/cpu_1"));
  CHECK(run(folder, options).code == 1);
  save(folder / "other", trace_bytes(header_of(24, 7)));
  options.files.push_back(folder / "other");
  options.ctf = folder / "second";
  CHECK(run(folder, options).code == 1);
  CHECK_FALSE(std::filesystem::exists(folder / "second"));
}

}  // namespace fieldline::test
