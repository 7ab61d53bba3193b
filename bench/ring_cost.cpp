// SPDX-License-Identifier: Apache-2.0
// Section III.C of the MAGNeT paper: cycles to add a record and to read one. Builds the module's
// own ring source, and reads with magnet-read's own code, so that the figures are of what runs,
// without the hook that calls it.
//
// Batches of one ring's length are timed with the cycle counter; the median of many batches is
// taken, since the machine is shared. "Beside the counter" leaves out what reading the counter
// costs by itself, measured in the same way: the paper's machine read its counter in a few cycles,
// today's take 20 to 40, virtual ones more.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "magnet/device.h"
#include "magnet/ring.h"
#include "magnet/trace_file.h"
#include "test/support/kernel_ring.h"

namespace {

using namespace fieldline;

constexpr u32 kRingBytes = 256 << 10;  // the module's default, and the paper's
constexpr int kBatches = 2000;

// A ring in this process's memory, in place of /dev/magnet0.
class MemoryDevice final : public magnet::Device {
 public:
  explicit MemoryDevice(u32 record_size)
      : memory_(std::aligned_alloc(4096, kRingBytes), std::free) {
    std::memset(memory_.get(), 0, kRingBytes);
    magnet_ring_init(&ring, memory_.get(), kRingBytes, record_size);
    auto* sysinfo = static_cast<magnet_record*>(memory_.get());
    sysinfo->event = MAGNET_SYSINFO;
    sysinfo->timestamp = magnet_cycles();
  }

  Result<magnet_info> info() override {
    magnet_info info{};
    info.abi = MAGNET_ABI;
    info.record_size = ring.record_size;
    info.slots = ring.slots;
    info.bytes = kRingBytes;
    info.next_slot = magnet_ring_next_slot(&ring);
    info.cycles_khz = 1;
    return info;
  }
  Result<std::span<std::uint8_t>> map(std::size_t bytes) override {
    return std::span(static_cast<std::uint8_t*>(memory_.get()), bytes);
  }
  int descriptor() const override { return -1; }

  magnet_ring ring;

 private:
  std::unique_ptr<void, void (*)(void*)> memory_;
};

double median(std::vector<double>& of) {
  std::nth_element(of.begin(), of.begin() + of.size() / 2, of.end());
  return of[of.size() / 2];
}

double counter_cycles() {
  constexpr u32 kReads = 10000;
  std::vector<double> each;
  u64 sum = 0;
  for (int i = 0; i < kBatches; ++i) {
    const u64 begin = magnet_cycles();
    for (u32 n = 0; n < kReads; ++n) sum += magnet_cycles();
    each.push_back(static_cast<double>(magnet_cycles() - begin) / kReads);
  }
  if (sum == 0) std::abort();
  return median(each);
}

// As the module's hooks do it: the members one by one, straight into the slot.
void add(magnet_ring& ring, u64 sockid, s32 size) {
  u64 timestamp;
  magnet_record* record = magnet_ring_reserve(&ring, &timestamp);
  if (record == nullptr) return;
  record->sockid = sockid;
  record->event = MAGNET_TCP_SEND;
  record->size = size;
  if (ring.record_size == sizeof(magnet_record_ext)) {
    auto& ext = reinterpret_cast<magnet_record_ext*>(record)->ext.tcp;
    ext.local_port = static_cast<__u16>(sockid);
    ext.peer_port = 443;
    ext.seq = static_cast<__u32>(size);
    ext.ack = ext.cwnd = ext.ssthresh = ext.srtt_us = ext.snd_wnd = ext.in_flight = ext.wqueue = 10;
    ext.flags = 16;
    ext.ca_state = 0;
    ext.gso_segs = 1;
  }
  magnet_ring_commit(&ring, record, timestamp);
}

void measure(u32 record_size, double counter) {
  auto device = std::make_unique<MemoryDevice>(record_size);
  magnet_ring& ring = device->ring;
  auto reader = magnet::Ring::open(std::move(device), 0);
  if (!reader) {
    std::fprintf(stderr, "ring_cost: %s\n", reader.error().context.c_str());
    std::exit(1);
  }
  std::vector<std::uint8_t> file(kRingBytes);
  const u32 batch = ring.slots - 1;
  std::vector<double> adds, reads, sums;
  fl_trace_batch head{};
  for (int i = 0; i < kBatches; ++i) {
    const u64 begin = magnet_cycles();
    for (u32 n = 0; n < batch; ++n) add(ring, 0x1234, static_cast<s32>(n));
    const u64 added = magnet_cycles();
    const std::size_t count = reader->copy(file);
    reader->release(count);
    const u64 read = magnet_cycles();
    head.crc = magnet::batch_crc(head, {file.data(), count * record_size});
    const u64 summed = magnet_cycles();
    if (count != batch) {
      std::fprintf(stderr, "ring_cost: a record was lost in a ring that had room\n");
      std::exit(1);
    }
    adds.push_back(static_cast<double>(added - begin) / batch);
    reads.push_back(static_cast<double>(read - added) / batch);
    sums.push_back(static_cast<double>(summed - read) / batch);
  }
  const double whole = median(adds);
  std::printf(
      "record_bytes %u add %.1f counter %.1f add_beside_counter %.1f read %.1f check_sum %.1f\n",
      record_size, whole, counter, whole - counter, median(reads), median(sums));
}

}  // namespace

int main() {
  const double counter = counter_cycles();
  measure(sizeof(magnet_record), counter);
  measure(sizeof(magnet_record_ext), counter);
  return 0;
}
