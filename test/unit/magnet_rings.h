// SPDX-License-Identifier: Apache-2.0
// Rings in memory that the module's own source writes, in place of /dev/magnetN.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "magnet/device.h"
#include "test/support/kernel_ring.h"

namespace fieldline::test {

// One CPU's ring, as module/device.c keeps it. `cycles` is this machine's counter, and the clock
// pair is made of a nominal frequency: what is tested is what becomes of pairs.
class MemoryRing {
 public:
  MemoryRing(unsigned cpu, std::uint32_t bytes, std::uint32_t record_size)
      : cpu_(cpu),
        bytes_(bytes),
        mapped_((bytes + 4095) / 4096 * 4096),
        memory_(std::aligned_alloc(4096, mapped_), std::free),
        ready_(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {
    std::memset(memory_.get(), 0, mapped_);
    magnet_ring_init(&ring, memory_.get(), bytes, record_size);
  }

  // As an instrumentation point does; false: lost.
  bool add(std::uint64_t sockid, std::uint32_t event, std::int32_t size,
           const magnet_ext* ext = nullptr) {
    return (ring.record_size == sizeof(magnet_record) && put(sockid, event, size)) ||
           add_slowly(sockid, event, size, ext);
  }

  // The way of records without an extension; false: the other way has to be taken.
  bool put(std::uint64_t sockid, std::uint32_t event, std::int32_t size) {
    const magnet_put done = magnet_ring_put(&ring, sockid, event, size);
    if (done == MAGNET_PUT_CHECK) (void)magnet_ring_put_check(&ring);
    return done != MAGNET_PUT_NOT;
  }

  bool add_slowly(std::uint64_t sockid, std::uint32_t event, std::int32_t size,
                  const magnet_ext* ext) {
    u64 timestamp = 0;
    magnet_record* record = magnet_ring_reserve(&ring, &timestamp);
    if (record == nullptr) return false;
    record->sockid = sockid;
    record->event = event;
    record->size = size;
    if (ring.record_size == sizeof(magnet_record_ext)) {
      auto& at = reinterpret_cast<magnet_record_ext*>(record)->ext;
      at = ext != nullptr ? *ext : magnet_ext{};
    }
    magnet_ring_commit(&ring, record, timestamp);
    return true;
  }

  // As the module's open() does.
  void write_sysinfo() {
    magnet_record_ext record{};
    record.head.event = MAGNET_SYSINFO;
    record.head.size = static_cast<std::int32_t>(kKhz);
    record.head.timestamp = magnet_cycles();
    record.ext.sysinfo.abi = MAGNET_ABI;
    record.ext.sysinfo.slots = ring.slots;
    std::memcpy(memory_.get(), &record, ring.record_size);
  }

  magnet_info info() {
    magnet_info info{};
    info.abi = MAGNET_ABI;
    info.record_size = ring.record_size;
    info.slots = ring.slots;
    info.cpu = cpu_;
    info.bytes = mapped_;
    info.next_slot = magnet_ring_next_slot(&ring);
    info.cycles_khz = kKhz;
    info.layers = 31;
    info.cycles = magnet_cycles();
    info.tai_ns = kTai + info.cycles * 1'000'000 / kKhz;
    info.realtime_ns = info.tai_ns - 37 * kNanosPerSecond;
    info.error_ns = 100;
    info.recorded = magnet_ring_recorded(&ring);
    info.lost = magnet_ring_lost(&ring);
    return info;
  }

  magnet_record_ext at(std::uint32_t slot) const {
    magnet_record_ext record{};
    std::memcpy(&record, bytes() + std::size_t{slot} * ring.record_size, ring.record_size);
    return record;
  }
  std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(memory_.get()); }
  std::size_t mapped() const { return mapped_; }
  unsigned cpu() const { return cpu_; }
  int descriptor() const { return ready_.get(); }  // always readable

  static constexpr std::uint32_t kKhz = 2'000'000;
  static constexpr std::uint64_t kTai = 1'763'766'697 * kNanosPerSecond;

  magnet_ring ring{};

 private:
  unsigned cpu_;
  std::uint32_t bytes_;
  std::size_t mapped_;
  std::unique_ptr<void, void (*)(void*)> memory_;
  Fd ready_;
};

// What a test wants the device to say in place of the truth.
using Lie = std::function<void(magnet_info&)>;

class MemoryDevice final : public magnet::Device {
 public:
  MemoryDevice(MemoryRing& ring, bool& open, const Lie& lie) : ring_(ring), open_(open), lie_(lie) {
    open_ = true;
    ring_.write_sysinfo();
  }
  ~MemoryDevice() override { open_ = false; }
  Result<magnet_info> info() override {
    magnet_info info = ring_.info();
    if (lie_) lie_(info);
    return info;
  }
  Result<std::span<std::uint8_t>> map(std::size_t bytes) override {
    if (bytes > ring_.mapped()) return fail(Code::io, "mapping more than there is");
    return std::span(ring_.bytes(), bytes);
  }
  int descriptor() const override { return ring_.descriptor(); }

 private:
  MemoryRing& ring_;
  bool& open_;
  const Lie& lie_;
};

class MemoryDevices final : public magnet::Devices {
 public:
  MemoryDevices(unsigned cpus, std::uint32_t bytes, std::uint32_t record_size) {
    for (unsigned cpu = 0; cpu < cpus; ++cpu)
      rings_.push_back(std::make_unique<MemoryRing>(cpu, bytes, record_size));
    open_ = std::make_unique<bool[]>(cpus);
  }

  Result<std::vector<unsigned>> cpus() override {
    std::vector<unsigned> all;
    for (const auto& ring : rings_) all.push_back(ring->cpu());
    return all;
  }
  Result<std::unique_ptr<magnet::Device>> open(unsigned cpu) override {
    if (open_[cpu]) return fail(Code::exhausted, "busy");
    return std::unique_ptr<magnet::Device>(
        std::make_unique<MemoryDevice>(*rings_.at(cpu), open_[cpu], lie));
  }

  MemoryRing& ring(unsigned cpu) { return *rings_.at(cpu); }
  Lie lie;

 private:
  std::vector<std::unique_ptr<MemoryRing>> rings_;
  std::unique_ptr<bool[]> open_;
};

}  // namespace fieldline::test
