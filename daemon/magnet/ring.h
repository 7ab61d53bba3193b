// SPDX-License-Identifier: Apache-2.0
// The reader's side of one ring (proto/magnet.h). Records are first copied, then given back: what
// stands between them (a batch that is made whole in a file) is never lost with the reader.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "magnet/device.h"
#include "proto/magnet.h"

namespace fieldline::magnet {

// Cycles and clocks taken together; `error_ns`: plus or minus.
struct ClockPair {
  std::uint64_t cycles = 0;
  std::uint64_t tai_ns = 0;
  std::uint64_t utc_ns = 0;
  std::uint32_t error_ns = 0;
};

class Ring {
 public:
  // Believes nothing of what the device says: geometry that does not fit itself is unsupported.
  static Result<Ring> open(std::unique_ptr<Device> device, unsigned cpu);

  unsigned cpu() const { return first_.cpu; }
  std::size_t record_size() const { return first_.record_size; }
  std::size_t slots() const { return first_.slots - 1; }  // of the ring itself, without slot 0
  std::uint32_t cycles_khz() const { return first_.cycles_khz; }
  std::uint32_t layers() const { return first_.layers; }
  const magnet_info& at_open() const { return first_; }
  int descriptor() const { return device_->descriptor(); }

  // MAGNET_SYSINFO as it stood in slot 0 at open; with 24-byte records the extension is zero.
  const magnet_record_ext& sysinfo() const { return sysinfo_; }

  // Copies unread records from the oldest on, as many as fit and at most a ring's; their number.
  // Their slots stay taken until release().
  std::size_t copy(std::span<std::uint8_t> into);
  // Gives back the slots of the oldest `count` records.
  void release(std::size_t count);
  // Passes over records that an earlier reader had stored but not yet given back.
  void skip(std::size_t count) { release(count); }

  // A fresh clock pair and the ring's counters.
  Result<magnet_info> info();
  static ClockPair pair_of(const magnet_info& info);

  // To be called when a round found nothing: a reader before this one may have left the ring so
  // that the oldest unread record is not where this reader waits. True if it has moved.
  Result<bool> recover();

 private:
  explicit Ring(std::unique_ptr<Device> device) : device_(std::move(device)) {}
  Result<void> check(unsigned cpu) const;
  Result<void> read_sysinfo();
  std::uint32_t find_oldest(std::uint32_t next_slot) const;
  std::uint8_t* slot(std::size_t index) const { return memory_ + index * first_.record_size; }
  std::size_t copy_run(std::uint8_t* from, std::uint8_t* into, std::size_t most) const;
  void release_run(std::uint8_t* from, std::size_t count) const;

  std::unique_ptr<Device> device_;
  std::uint8_t* memory_ = nullptr;
  magnet_info first_{};
  magnet_record_ext sysinfo_{};
  std::uint32_t next_ = 1;             // oldest unread record, or the slot that is filled next
  std::uint32_t found_elsewhere_ = 0;  // by the last recover()
};

}  // namespace fieldline::magnet
