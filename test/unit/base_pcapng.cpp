// SPDX-License-Identifier: Apache-2.0
#include "base/pcapng.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

using namespace fieldline;
using namespace fieldline::pcapng;

namespace {

// Blocks by hand, in either byte order.
class Maker {
 public:
  explicit Maker(bool big = false) : big_(big) {}

  Maker& u16(std::uint16_t v) { return put(big_ ? big_endian(v) : v); }
  Maker& u32(std::uint32_t v) { return put(big_ ? big_endian(v) : v); }
  Maker& u64(std::uint64_t v) { return put(big_ ? big_endian(v) : v); }
  Maker& raw(ByteView what) {
    append(body_, what);
    body_.resize((body_.size() + 3) / 4 * 4);
    return *this;
  }
  Maker& option(std::uint16_t code, ByteView value) {
    return u16(code).u16(static_cast<std::uint16_t>(value.size())).raw(value);
  }
  Maker& block(std::uint32_t type) {
    Bytes body;
    std::swap(body, body_);
    auto length = static_cast<std::uint32_t>(body.size() + 12);
    u32(type).u32(length).raw(body).u32(length);
    append(bytes, body_);
    body_.clear();
    return *this;
  }
  Maker& section() { return u32(0x1a2b3c4d).u16(1).u16(0).u64(UINT64_MAX).block(FL_PCAPNG_SHB); }
  Maker& interface() { return u16(1).u16(0).u32(0); }
  Maker& packet(std::uint32_t interface, std::uint64_t ticks, ByteView data) {
    u32(interface)
        .u32(static_cast<std::uint32_t>(ticks >> 32))
        .u32(static_cast<std::uint32_t>(ticks));
    auto length = static_cast<std::uint32_t>(data.size());
    return u32(length).u32(length).raw(data);
  }

  Bytes bytes;

 private:
  template <class T>
  Maker& put(T value) {
    append_struct(body_, value);
    return *this;
  }
  bool big_;
  Bytes body_;
};

struct Read {
  std::vector<std::uint64_t> times;
  std::vector<std::size_t> kinds;
  std::string error;
  std::uint64_t skipped_blocks, skipped_bytes;
};

Read read(ByteView bytes, Reader::OnDamage mode = Reader::OnDamage::stop, std::size_t step = 0) {
  Reader reader(mode);
  Read result{};
  if (step == 0) step = bytes.size();
  while (!bytes.empty()) {
    auto piece = bytes.first(std::min(step, bytes.size()));
    bytes = bytes.subspan(piece.size());
    reader.feed(piece);
    if (bytes.empty()) reader.end();
    for (;;) {
      auto block = reader.next();
      if (!block) {
        result.error = block.error().text();
        REQUIRE_FALSE(reader.next().has_value());  // nothing more after an error
        break;
      }
      if (!*block) break;
      result.kinds.push_back((*block)->index());
      if (auto* packet = std::get_if<Packet>(&**block))
        result.times.push_back(packet->timestamp_ns);
    }
  }
  result.skipped_blocks = reader.skipped_blocks();
  result.skipped_bytes = reader.skipped_bytes();
  return result;
}

const Bytes kData{1, 2, 3, 4, 5};

Bytes whole_file() {
  Bytes bytes;
  write(bytes, Section{"fieldline", R"({"a":1})"});
  write(bytes, Interface{"s1:tap0", R"({"port":0})"});
  Packet packet;
  packet.timestamp_ns = 1'732'230'000'123'456'789;
  packet.wire_len = 1514;
  packet.data = kData;
  packet.sequence = 7;
  packet.meta = fl_chunk_packet{};
  packet.meta->digest = 0x1122334455667788;
  packet.meta->flags = 3;
  write(bytes, packet);
  Report report;
  report.type = 6;
  report.encoding = 1;
  report.sequence = 8;
  report.run.bytes[0] = 0xab;
  report.payload = view("{\"x\":1}");
  write(bytes, report);
  Statistics statistics;
  statistics.received = 1;
  statistics.delivered = 0;
  write(bytes, statistics);
  return bytes;
}

}  // namespace

TEST_CASE("pcapng: what is written is read back, in pieces of any size") {
  const Bytes bytes = whole_file();
  for (std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{50}, bytes.size()}) {
    Reader reader;
    std::vector<Block> seen;
    Bytes data;
    std::string payload;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      reader.feed(ByteView(bytes).subspan(at, std::min(step, bytes.size() - at)));
      for (;;) {
        auto block = reader.next();
        REQUIRE(block.has_value());
        if (!*block) break;
        seen.push_back(**block);
        if (auto* p = std::get_if<Packet>(&seen.back()))
          data.assign(p->data.begin(), p->data.end());
        if (auto* r = std::get_if<Report>(&seen.back())) payload = text(r->payload);
      }
    }
    REQUIRE(seen.size() == 5);
    REQUIRE(reader.offset() == bytes.size());
    REQUIRE(reader.pending() == 0);
    auto& section = std::get<Section>(seen[0]);
    REQUIRE(section.application == "fieldline");
    REQUIRE(section.comment == R"({"a":1})");
    auto& interface = std::get<Interface>(seen[1]);
    REQUIRE(interface.name == "s1:tap0");
    REQUIRE(interface.comment == R"({"port":0})");
    REQUIRE(interface.tsresol == 9);
    auto& packet = std::get<Packet>(seen[2]);
    REQUIRE(packet.timestamp_ns == 1'732'230'000'123'456'789);
    REQUIRE(packet.wire_len == 1514);
    REQUIRE(data == kData);
    REQUIRE(packet.sequence == 7);
    REQUIRE(packet.meta->digest == 0x1122334455667788);
    REQUIRE(packet.meta->flags == 3);
    auto& report = std::get<Report>(seen[3]);
    REQUIRE(report.type == 6);
    REQUIRE(report.sequence == 8);
    REQUIRE(report.run.bytes[0] == 0xab);
    REQUIRE(payload == "{\"x\":1}");
    auto& statistics = std::get<Statistics>(seen[4]);
    REQUIRE(statistics.received == 1);
    REQUIRE(statistics.delivered == 0);
    REQUIRE_FALSE(statistics.dropped.has_value());
  }
}

TEST_CASE("pcapng: both byte orders and several sections, each with its own interfaces") {
  for (bool big : {false, true}) {
    Maker file(big);
    const std::uint8_t nano = 9, binary = 0x80 | 10;
    std::uint64_t day = 86400;
    file.section();
    file.interface().block(FL_PCAPNG_IDB);
    file.interface().option(9, view_of(nano)).block(FL_PCAPNG_IDB);
    file.interface().option(9, view_of(binary)).block(FL_PCAPNG_IDB);
    if (big) day = big_endian(day);
    file.interface().option(14, view_of(day)).block(FL_PCAPNG_IDB);
    for (std::uint32_t i = 0; i < 4; ++i) file.packet(i, 5'000'000, kData).block(FL_PCAPNG_EPB);
    file.section();
    file.interface().option(9, view_of(nano)).block(FL_PCAPNG_IDB);
    file.packet(0, 77, kData).block(FL_PCAPNG_EPB);
    auto result = read(file.bytes);
    REQUIRE(result.error.empty());
    REQUIRE(result.times == std::vector<std::uint64_t>{5'000'000'000, 5'000'000, 4'882'812'500'000,
                                                       86405'000'000'000, 77});
    Maker other(!big);
    other.section();
    append(file.bytes, other.bytes);
    file.packet(0, 1, kData).block(FL_PCAPNG_EPB);
    REQUIRE(read(file.bytes).error.find("not pcapng") == 0);  // the new section has no interface
  }
}

TEST_CASE("pcapng: times that no 64-bit nanoseconds hold saturate") {
  Maker file;
  const std::uint8_t seconds = 0;
  const std::uint64_t before = static_cast<std::uint64_t>(-100);
  file.section().interface().option(9, view_of(seconds)).block(FL_PCAPNG_IDB);
  file.interface().option(9, view_of(seconds)).option(14, view_of(before)).block(FL_PCAPNG_IDB);
  file.packet(0, UINT64_MAX, kData).block(FL_PCAPNG_EPB);
  file.packet(1, 99, kData).block(FL_PCAPNG_EPB);
  REQUIRE(read(file.bytes).times == std::vector<std::uint64_t>{UINT64_MAX, 0});
}

TEST_CASE("pcapng: simple, obsolete, foreign custom and unknown blocks are skipped and counted") {
  Maker file;
  file.section().interface().block(FL_PCAPNG_IDB);
  file.u32(4).raw(kData).block(3);
  file.u32(0).u32(0).block(2);
  file.u32(1).u32(2).block(4);
  file.u32(12345).u32(FL_PCAPNG_MAGIC).block(FL_PCAPNG_REPORT);
  file.u32(FL_PCAPNG_PEN).u32(1).block(FL_PCAPNG_REPORT);
  file.block(0x77777777);
  file.packet(0, 1, kData).block(FL_PCAPNG_EPB);
  auto result = read(file.bytes);
  REQUIRE(result.error.empty());
  REQUIRE(result.skipped_blocks == 6);
  REQUIRE(result.times == std::vector<std::uint64_t>{1000});
}

TEST_CASE("pcapng: hostile lengths are errors, never reads past the end") {
  auto after_head = [](auto&& make) {
    Maker file;
    file.section().interface().block(FL_PCAPNG_IDB);
    make(file);
    auto result = read(file.bytes);
    INFO(result.error);
    REQUIRE(result.error.find("not pcapng at byte 48") == 0);
  };
  after_head(
      [](Maker& f) { f.u32(0).u32(0).u32(0).u32(9).u32(9).raw(kData).block(FL_PCAPNG_EPB); });
  after_head([](Maker& f) { f.u32(0).u32(0).u32(0).u32(UINT32_MAX).u32(9).block(FL_PCAPNG_EPB); });
  after_head([](Maker& f) { f.u32(0).u32(0).block(FL_PCAPNG_EPB); });
  after_head([](Maker& f) { f.packet(1, 0, kData).block(FL_PCAPNG_EPB); });
  after_head([](Maker& f) { f.packet(0, 0, kData).u16(1).u16(100).block(FL_PCAPNG_EPB); });
  after_head([](Maker& f) { f.packet(0, 0, kData).u16(1).u16(65535).block(FL_PCAPNG_EPB); });
  after_head([](Maker& f) { f.u32(7).u32(0).u32(0).block(FL_PCAPNG_ISB); });
  after_head([](Maker& f) { f.u32(0).block(FL_PCAPNG_ISB); });
  after_head([](Maker& f) { f.u32(0x00010001).block(FL_PCAPNG_IDB); });
  after_head([](Maker& f) {
    const std::uint8_t too_fine = 20;
    f.interface().option(9, view_of(too_fine)).block(FL_PCAPNG_IDB);
  });
  after_head([](Maker& f) { f.u32(0x1a2b3c4d).u16(2).u16(0).u64(0).block(FL_PCAPNG_SHB); });
  after_head([](Maker& f) {
    fl_chunk_report head{};
    head.magic = FL_PCAPNG_MAGIC;
    head.length = 100;
    f.u32(FL_PCAPNG_PEN).raw(view_of(head)).block(FL_PCAPNG_REPORT);
  });
  for (std::uint32_t length : {0u, 8u, 11u, 13u, 30u, kMaxBlock + 4, UINT32_MAX}) {
    after_head([&](Maker& f) {
      append_struct(f.bytes, std::uint32_t{6});
      append_struct(f.bytes, length);
      append_struct(f.bytes, std::uint64_t{0});
    });
  }
  after_head([](Maker& f) {
    f.packet(0, 0, kData).block(FL_PCAPNG_EPB);
    f.bytes.back() ^= 1;
  });
}

TEST_CASE("pcapng: what does not begin with a section header is told so") {
  Bytes classic{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0};
  REQUIRE(read(classic).error.find("no section header") != std::string::npos);
  Maker order;
  order.u32(0x11111111).u16(1).u16(0).u64(0).block(FL_PCAPNG_SHB);
  REQUIRE(read(order.bytes).error.find("no section header") != std::string::npos);
}

TEST_CASE("pcapng: texts that no option holds are left out") {
  Bytes bytes;
  write(bytes, Section{"x", std::string(65536, 'c')});
  Reader reader;
  reader.feed(bytes);
  auto block = reader.next();
  REQUIRE(std::get<Section>(**block).comment.empty());
  REQUIRE(std::get<Section>(**block).application == "x");
}

TEST_CASE("pcapng: damage is stepped over, and what lies behind is read") {
  Maker file;
  file.section().interface().block(FL_PCAPNG_IDB);
  std::vector<std::size_t> starts;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    starts.push_back(file.bytes.size());
    file.packet(0, i, kData).block(FL_PCAPNG_EPB);
  }
  Bytes bytes = file.bytes;
  bytes[starts[9] + 4] ^= 0x40;    // a length
  bytes[starts[14] + 20] ^= 0x80;  // a captured length within a whole block
  for (std::size_t step : {std::size_t{0}, std::size_t{7}}) {
    auto result = read(bytes, Reader::OnDamage::resynchronise, step);
    REQUIRE(result.times.size() == 18);
    REQUIRE(result.times[9] == 11'000);
    REQUIRE(result.skipped_bytes == 2 * (starts[1] - starts[0]));
  }
  Bytes torn(bytes.begin(), bytes.end() - 10);
  auto result = read(torn, Reader::OnDamage::resynchronise);
  REQUIRE(result.times.size() == 17);
  REQUIRE(result.skipped_bytes == 3 * (starts[1] - starts[0]) - 10);
}

TEST_CASE("pcapng: interfaces declared behind damage are given up until the next section") {
  Maker file;
  file.section().interface().block(FL_PCAPNG_IDB);
  auto lost = file.bytes.size();
  file.interface().block(FL_PCAPNG_IDB);
  file.interface().block(FL_PCAPNG_IDB);
  for (std::uint32_t i = 0; i < 3; ++i) file.packet(i, i, kData).block(FL_PCAPNG_EPB);
  file.section().interface().block(FL_PCAPNG_IDB);
  file.packet(0, 9, kData).block(FL_PCAPNG_EPB);
  for (std::size_t offset : {0, 1, 4, 6, 16}) {  // its type, its lengths
    Bytes bytes = file.bytes;
    bytes[lost + offset] ^= 0x20;
    auto result = read(bytes, Reader::OnDamage::resynchronise);
    REQUIRE(result.times == std::vector<std::uint64_t>{0, 9000});
  }
}

TEST_CASE("pcapng: a block inside a packet's bytes is never taken for one") {
  Maker inner;
  inner.section().interface().block(FL_PCAPNG_IDB).packet(0, 666, kData).block(FL_PCAPNG_EPB);
  Maker file;
  file.section().interface().block(FL_PCAPNG_IDB);
  file.packet(5, 1, inner.bytes).block(FL_PCAPNG_EPB);  // of no known interface
  file.packet(0, 2, kData).block(FL_PCAPNG_EPB);
  auto result = read(file.bytes, Reader::OnDamage::resynchronise);
  REQUIRE(result.times == std::vector<std::uint64_t>{2000});
}

TEST_CASE("pcapng: random and mutated input ends in blocks, an error or skipped bytes") {
  std::mt19937 random(20261121);
  const Bytes good = whole_file();
  std::uint64_t errors = 0;
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes;
    if (i % 4 == 0) {
      bytes.resize(random() % 300);
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
      const std::uint32_t shb = FL_PCAPNG_SHB;
      if (bytes.size() > 12 && i % 8 == 0) std::memcpy(bytes.data(), &shb, 4);
    } else {
      bytes = good;
      for (unsigned k = 0; k < 1 + random() % 4; ++k) {
        bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1 << random() % 8);
      }
      if (i % 4 == 1) bytes.resize(random() % bytes.size());
    }
    if (bytes.empty()) continue;
    errors += !read(bytes).error.empty();
    auto result = read(bytes, Reader::OnDamage::resynchronise, 1 + random() % 64);
    if (!result.error.empty() || result.skipped_bytes > bytes.size()) FAIL("case " << i);
  }
  REQUIRE(errors > 10'000);
}

TEST_CASE("pcapng: tshark and tcpdump read what is written") {
  char path[] = "/tmp/pcapng-XXXXXX";
  int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  const Bytes bytes = whole_file();
  REQUIRE(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  ::close(fd);
  auto run = [](const std::string& command) {
    std::string out;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    char buffer[512];
    while (std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
    int status = ::pclose(pipe);
    return std::pair{status, out};
  };
  const std::pair<const char*, std::string> tools[] = {
      {"tshark",
       std::string("tshark -r ") + path + " -T fields -e frame.time_epoch -Y frame.len==1514"},
      {"tcpdump", std::string("tcpdump --time-stamp-precision=nano -tt -n -r ") + path}};
  for (const auto& [tool, command] : tools) {
    if (run(std::string("command -v ") + tool).first != 0) {
      WARN("SKIP: " << tool << " is not installed; packaging/debian-packages names it");
      continue;
    }
    auto [status, out] = run(command);
    INFO(out);
    CHECK(status == 0);
    CHECK(out.find("1732230000.123456789") != std::string::npos);
  }
  ::unlink(path);
}
