// SPDX-License-Identifier: Apache-2.0
// Damaged traces: what is sound before the damage is read, the damage is reported where it is, and
// nothing else happens.
#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "magnet/merge.h"
#include "magnet/trace_reader.h"
#include "proto/magnet.h"

namespace fieldline::magnet {
namespace {

class Memory final : public File {
 public:
  explicit Memory(ByteView bytes, std::uint64_t* read = nullptr) : bytes_(bytes), read_(read) {}
  Result<void> append(ByteView) override { return fail(Code::io, "read only"); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t n = std::min<std::size_t>(into.size(), bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, n);
    if (read_ != nullptr) *read_ += n;
    return n;
  }
  Result<std::uint64_t> size() override { return std::uint64_t{bytes_.size()}; }
  Result<void> truncate(std::uint64_t) override { return fail(Code::io, "read only"); }
  Result<void> sync() override { return {}; }

 private:
  ByteView bytes_;
  std::uint64_t* read_;  // bytes, all in all
};

struct Trace {
  Bytes bytes;
  std::vector<std::size_t> begins;  // of batches, and the end of the last
};

constexpr std::size_t kTail = 256;  // zeros behind the last batch

Trace make(std::uint16_t record_size, unsigned batches) {
  TraceHeader header;
  header.record_size = record_size;
  header.abi = MAGNET_ABI;
  header.cycles_khz = 1'000'000;
  header.host = "host";
  Trace trace;
  append_struct(trace.bytes, encode_header(header));
  trace.bytes.resize(FL_TRACE_HEADER_SIZE);
  std::uint64_t number = 0;
  for (unsigned i = 0; i < batches; ++i) {
    trace.begins.push_back(trace.bytes.size());
    Bytes records;
    for (unsigned n = 0; n <= i % 3; ++n) {
      magnet_record_ext record{{number, 1000 + number, MAGNET_IP_SEND, 1}, {}};
      ++number;
      append(records, view_of(record).first(record_size));
    }
    fl_trace_batch head{};
    head.magic = FL_TRACE_BATCH_MAGIC;
    head.sequence = i + 1;
    head.cpu = static_cast<std::uint16_t>(i % 2);
    head.record_size = record_size;
    head.count = static_cast<std::uint32_t>(records.size() / record_size);
    head.cycles = 1000 + number;
    head.tai_ns = head.realtime_ns = 1'000'000 + number;
    head.round = i / 2 + 1;
    head.crc = batch_crc(head, records);
    append_struct(trace.bytes, head);
    append(trace.bytes, records);
  }
  trace.begins.push_back(trace.bytes.size());
  trace.bytes.resize(trace.bytes.size() + kTail);
  header.file_size = trace.bytes.size();
  const fl_trace_header whole = encode_header(header);
  std::memcpy(trace.bytes.data(), &whole, sizeof whole);
  return trace;
}

struct Outcome {
  bool opened = false;
  std::vector<std::uint64_t> sequences;
  std::vector<Damage> damage;
  std::uint64_t missing = 0, end = 0, bytes_read = 0;
};

Outcome read(ByteView bytes) {
  Outcome outcome;
  auto reader = TraceReader::open(std::make_unique<Memory>(bytes, &outcome.bytes_read));
  if (!reader) return outcome;
  outcome.opened = true;
  for (;;) {
    auto batch = reader->next();
    REQUIRE(batch.has_value());
    if (!*batch) break;
    outcome.sequences.push_back((*batch)->sequence);
  }
  outcome.damage = reader->damage();
  outcome.missing = reader->missing_batches();
  outcome.end = reader->sound_end();
  return outcome;
}

// The merge over the same bytes ends, whatever they are.
std::size_t merged(ByteView bytes) {
  auto events = TraceEvents::open(std::make_unique<Memory>(bytes));
  std::size_t count = 0;
  while (events) {
    auto event = events->next();
    REQUIRE(event.has_value());
    if (!*event) break;
    ++count;
  }
  return count;
}

std::size_t batch_at(const Trace& trace, std::size_t offset) {
  std::size_t index = 0;
  while (index + 1 < trace.begins.size() && trace.begins[index + 1] <= offset) ++index;
  return index;
}

}  // namespace

TEST_CASE(
    "trace: cut at every byte, the batches before it are read and the torn rest is reported") {
  const std::uint16_t record_size = GENERATE(std::uint16_t{24}, std::uint16_t{64});
  const Trace trace = make(record_size, 12);
  for (std::size_t cut = 0; cut <= trace.bytes.size(); ++cut) {
    const Outcome outcome = read(ByteView(trace.bytes).first(cut));
    INFO("cut at " << cut);
    REQUIRE(outcome.opened == (cut >= sizeof(fl_trace_header)));
    if (!outcome.opened) continue;
    const std::size_t begin = trace.begins.front(), end = trace.begins.back();
    const std::size_t whole = cut >= end ? trace.begins.size() - 1 : batch_at(trace, cut);
    REQUIRE(outcome.sequences.size() == (cut <= begin ? 0 : whole));
    const std::size_t torn = cut >= end || cut <= begin ? 0 : cut - trace.begins[whole];
    const bool missing = cut < trace.bytes.size();
    REQUIRE(outcome.damage.size() == (torn > 0 ? 1u : 0u) + (missing ? 1u : 0u));
    if (torn > 0) {
      CHECK(outcome.damage[0].offset == trace.begins[whole]);
      // Zeros at the end of the cut piece are not told from the zeros of an unused file.
      CHECK(outcome.damage[0].bytes <= torn);
      CHECK(outcome.damage[0].bytes > 0);
    }
    if (missing) {
      CHECK(outcome.damage.back().offset == cut);
      CHECK(outcome.damage.back().bytes == trace.bytes.size() - cut);
    }
  }
}

TEST_CASE("trace: each bit turned, one batch is lost, exactly where it stood") {
  const std::uint16_t record_size = GENERATE(std::uint16_t{24}, std::uint16_t{64});
  Trace trace = make(record_size, 6);
  for (std::size_t bit = FL_TRACE_HEADER_SIZE * 8; bit < trace.begins.back() * 8; ++bit) {
    const std::size_t offset = bit / 8;
    trace.bytes[offset] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    const Outcome outcome = read(trace.bytes);
    trace.bytes[offset] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    INFO("bit " << bit % 8 << " of byte " << offset);
    const std::size_t hit = batch_at(trace, offset);
    std::vector<std::uint64_t> expected;
    for (std::size_t i = 0; i + 1 < trace.begins.size(); ++i)
      if (i != hit) expected.push_back(i + 1);
    REQUIRE(outcome.sequences == expected);
    REQUIRE(outcome.damage.size() == 1);
    REQUIRE(outcome.damage[0].offset == trace.begins[hit]);
    const bool last = hit + 2 == trace.begins.size();
    if (!last) REQUIRE(outcome.damage[0].bytes == trace.begins[hit + 1] - trace.begins[hit]);
    REQUIRE(outcome.missing == (last ? 0 : 1));
  }
}

TEST_CASE("trace: a bit turned in the header leaves the batches") {
  Trace trace = make(24, 3);
  for (std::size_t bit = 0; bit < sizeof(fl_trace_header) * 8; ++bit) {
    trace.bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    const Outcome outcome = read(trace.bytes);
    trace.bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    REQUIRE(outcome.opened);
    REQUIRE(outcome.sequences.size() == 3);
    REQUIRE(outcome.damage.size() == 1);
    CHECK(outcome.damage[0].offset == 0);
  }
}

TEST_CASE("trace: garbage of every kind over a whole one: it ends, and says what it passed over") {
  std::mt19937_64 random(0x4d41474e4554);
  for (int round = 0; round < 3000; ++round) {
    Trace trace = make(round % 2 == 0 ? 24 : 64, 8);
    const std::size_t size = trace.bytes.size();
    for (std::uint64_t hits = random() % 4 + 1; hits > 0; --hits) {
      const std::size_t at = FL_TRACE_HEADER_SIZE + random() % (trace.bytes.size() - 4096);
      const std::size_t length = std::min<std::size_t>(random() % 300, trace.bytes.size() - at);
      const std::uint64_t kind = random() % 4;
      for (std::size_t i = at; i < at + length; ++i)
        trace.bytes[i] = kind == 0   ? 0
                         : kind == 1 ? 0xff
                         : kind == 2 ? static_cast<std::uint8_t>(random())
                                     : trace.bytes[FL_TRACE_HEADER_SIZE + i % 64];
      if (kind == 3 && random() % 2 == 0) trace.bytes.resize(at);
      if (trace.bytes.size() <= FL_TRACE_HEADER_SIZE + 1) break;
    }
    const Outcome outcome = read(trace.bytes);
    REQUIRE(outcome.opened);
    REQUIRE(std::is_sorted(outcome.sequences.begin(), outcome.sequences.end()));
    std::uint64_t last = 0;
    for (const auto& damage : outcome.damage) {
      REQUIRE(damage.bytes > 0);
      REQUIRE(damage.offset >= last);
      last = damage.offset + damage.bytes;
      REQUIRE(last <= size);
    }
    (void)merged(trace.bytes);
  }
}

TEST_CASE("trace: a file made of heads that do not check is given up, not read for ever") {
  Trace trace = make(64, 1);
  fl_trace_batch head{};
  std::memcpy(&head, trace.bytes.data() + FL_TRACE_HEADER_SIZE, sizeof head);
  head.sequence = 9;
  head.count = FL_TRACE_BATCH_RECORDS;
  trace.bytes.resize(trace.begins.back());
  for (int i = 0; i < 200'000; ++i) append_struct(trace.bytes, head);
  const Outcome outcome = read(trace.bytes);
  CHECK(outcome.sequences.size() == 1);
  REQUIRE(outcome.damage.size() == 1);
  CHECK(outcome.damage[0].offset == trace.begins.back());
  CHECK(outcome.damage[0].bytes > 12'000'000);
}

TEST_CASE("SoundBatchesBehindManyDamagedOnes: all are read, and the file about once") {
  Trace trace = make(24, 60'000);
  for (std::size_t i = 0; i < 60'000; i += 2) trace.bytes[trace.begins[i] + 70] ^= 0x5a;
  const Outcome outcome = read(trace.bytes);
  CHECK(outcome.sequences.size() == 30'000);
  CHECK(outcome.missing == 30'000);
  CHECK(outcome.bytes_read < 2 * trace.bytes.size());
}

}  // namespace fieldline::magnet
