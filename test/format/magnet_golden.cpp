// SPDX-License-Identifier: Apache-2.0
// The worked examples of docs/format/magnet.md and trace.md, member by member.
#include "proto/magnet.h"

#include <catch2/catch.hpp>

#include "base/address.h"
#include "lift_page.h"
#include "magnet/trace_file.h"
#include "magnet/trace_reader.h"
#include "proto/trace.h"

namespace fieldline {
namespace {

using test::bytes_of_page;

constexpr const char* kMagnet = "docs/format/magnet.md";
constexpr const char* kTrace = "docs/format/trace.md";
constexpr std::uint64_t kCycles = 0x123456789abc;
constexpr std::uint64_t kUtc = 1'763'766'697'123'456'789;
constexpr std::uint64_t kTai = kUtc + 37'000'000'000;
constexpr magnet_record kSent = {4711, kCycles, MAGNET_TCP_SEND, 1448};
constexpr magnet_record kLost = {0, kCycles + 1000, MAGNET_LOST, 12};

template <class T>
std::string hex_of(const T& value) {
  return to_hex(view_of(value));
}

std::string page(const char* path, const char* block) {
  return to_hex(bytes_of_page(path, block));
}

// One file in memory.
class Memory final : public File {
 public:
  explicit Memory(Bytes bytes) : bytes_(std::move(bytes)) {}
  Result<void> append(ByteView) override { return fail(Code::io, "read only"); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    const std::size_t n = std::min<std::size_t>(into.size(), bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, n);
    return n;
  }
  Result<std::uint64_t> size() override { return std::uint64_t{bytes_.size()}; }
  Result<void> truncate(std::uint64_t) override { return fail(Code::io, "read only"); }
  Result<void> sync() override { return {}; }

 private:
  Bytes bytes_;
};

}  // namespace

TEST_CASE("magnet: the page's records") {
  CHECK(page(kMagnet, "record") == hex_of(kSent));
  CHECK(page(kMagnet, "lost-record") == hex_of(kLost));
  // With an extension it stands behind the same 24 bytes.
  static_assert(offsetof(magnet_record_ext, ext) == 24);
}

TEST_CASE("magnet: the page's extensions") {
  magnet_ext ext{};
  ext.tcp = {43122, 5201, 0xfffffff0, 9, 10, 0x7fffffff, 20100, 65536, 1448, 3552, 0x18, 0, 0};
  CHECK(page(kMagnet, "ext-tcp") == hex_of(ext));

  ext = {};
  std::memcpy(ext.open.local, Address::parse("192.0.2.1")->bytes.data(), 16);
  std::memcpy(ext.open.peer, Address::parse("198.51.100.2")->bytes.data(), 16);
  ext.open.local_port = 43122;
  ext.open.peer_port = 5201;
  ext.open.family = 2;
  ext.open.protocol = 6;
  CHECK(page(kMagnet, "ext-open") == hex_of(ext));

  ext = {};
  ext.sock = {77, 1000, 5001, 5000, 0, 87380, 131072, 43122, 5201, 2, 6, {}};
  CHECK(page(kMagnet, "ext-sock") == hex_of(ext));

  ext = {};
  ext.packet = {43122, 5201, 0xfffffff0, 9, 1448, 2, 0x4242, 0x4000, 0, 0, 2, 6, 0x18, {}};
  CHECK(page(kMagnet, "ext-packet") == hex_of(ext));

  ext = {};
  ext.sysinfo = {kCycles, kTai, kUtc, 100, 1, MAGNET_ABI, 4096, 64, 31};
  CHECK(page(kMagnet, "ext-sysinfo") == hex_of(ext));
}

TEST_CASE("magnet: the page's answer of the ioctl") {
  const magnet_info info = {1,       64,   4096, 1,   262144, 17,   2'400'000,
                            kCycles, kTai, kUtc, 100, 31,     1000, 12};
  CHECK(page(kMagnet, "info") == hex_of(info));
  // _IOR('M', 1, struct magnet_info), spelled out where sys/ioctl.h is not to be had.
  STATIC_REQUIRE(MAGNET_IOC_INFO == (2u << 30 | sizeof(magnet_info) << 16 | 'M' << 8 | 1));
}

TEST_CASE("trace: the page's header, both ways") {
  magnet::TraceHeader header;
  header.record_size = 24;
  header.abi = 1;
  header.cycles_khz = 2'400'000;
  header.layers = 31;
  header.rings = 2;
  header.created_ns = kUtc;
  header.started_ns = kUtc + 1'000'000'000;
  header.file_size = 1 << 20;
  header.boot_id = *magnet::parse_boot_id("00112233-4455-6677-8899-aabbccddeeff\n");
  header.host = "host-a";
  CHECK(page(kTrace, "header") == hex_of(magnet::encode_header(header)));
  const auto read = magnet::decode_header(bytes_of_page(kTrace, "header"));
  REQUIRE(read.has_value());
  CHECK(read->host == "host-a");
  CHECK(magnet::boot_text(read->boot_id) == "00112233-4455-6677-8899-aabbccddeeff");
  CHECK(hex_of(magnet::encode_header(*read)) == page(kTrace, "header"));
}

TEST_CASE("trace: the page's batch, as a struct and through the reader") {
  fl_trace_batch head{};
  head.magic = FL_TRACE_BATCH_MAGIC;
  head.sequence = 3;
  head.cpu = 1;
  head.record_size = 24;
  head.count = 2;
  head.cycles = kCycles + 5000;
  head.tai_ns = kTai;
  head.realtime_ns = kUtc;
  head.error_ns = 100;
  head.round = 7;
  head.lost = 12;
  Bytes records;
  append_struct(records, kSent);
  append_struct(records, kLost);
  head.crc = magnet::batch_crc(head, records);
  Bytes expected;
  append_struct(expected, head);
  append(expected, records);
  CHECK(page(kTrace, "batch") == to_hex(expected));

  Bytes file = bytes_of_page(kTrace, "header");
  file.resize(FL_TRACE_HEADER_SIZE);
  append(file, bytes_of_page(kTrace, "batch"));
  file.resize(1 << 20);  // as its header says
  auto reader = magnet::TraceReader::open(std::make_unique<Memory>(std::move(file)));
  REQUIRE(reader.has_value());
  auto batch = reader->next();
  REQUIRE(batch.has_value());
  REQUIRE(batch->has_value());
  CHECK((*batch)->cpu == 1);
  CHECK((*batch)->round == 7);
  CHECK((*batch)->lost == 12);
  CHECK((*batch)->pair.tai_ns == kTai);
  CHECK(hex_of((*batch)->record(0).head) == page(kMagnet, "record"));
  CHECK(hex_of((*batch)->record(1).head) == page(kMagnet, "lost-record"));
  CHECK_FALSE(reader->next()->has_value());
  CHECK(reader->damages() == 0);
  CHECK(reader->missing_batches() == 2);  // the page's is the third
}

}  // namespace fieldline
