// SPDX-License-Identifier: Apache-2.0
#include "magnet/ring.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <limits>

namespace fieldline::magnet {

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
const std::uint64_t kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
constexpr std::size_t kTimestamp = offsetof(magnet_record, timestamp);

std::atomic_ref<std::uint64_t> timestamp_of(std::uint8_t* slot) {
  // Slots are 8-aligned: the mapping is of pages, and 24 and 64 are multiples of 8.
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(slot + kTimestamp));
}

// Slots that follow each other, up to one that is free; how many.
template <std::size_t kSize>
std::size_t copy_records(std::uint8_t* from, std::uint8_t* into, std::size_t most) {
  std::size_t copied = 0;
  for (; copied < most; ++copied, from += kSize, into += kSize) {
    // Pairs with the kernel's store-release at commit: the rest of the record is there.
    if (timestamp_of(from).load(std::memory_order_acquire) == 0) break;
    std::memcpy(into, from, kSize);
  }
  return copied;
}

}  // namespace

Result<Ring> Ring::open(std::unique_ptr<Device> device, unsigned cpu) {
  Ring ring(std::move(device));
  auto info = ring.device_->info();
  if (!info) return info.error();
  ring.first_ = *info;
  if (auto checked = ring.check(cpu); !checked) return checked.error();
  auto memory = ring.device_->map(static_cast<std::size_t>(info->bytes));
  if (!memory) return memory.error();
  ring.memory_ = memory->data();
  if (auto read = ring.read_sysinfo(); !read) return read.error();
  ring.next_ = ring.find_oldest(info->next_slot);
  return ring;
}

Result<void> Ring::check(unsigned cpu) const {
  auto wrong = [&](const std::string& what) {
    return fail(Code::unsupported, "/dev/magnet" + std::to_string(cpu) + ": " + what +
                                       "; the module and this program are not of one version");
  };
  if (first_.abi != MAGNET_ABI) return wrong("speaks ABI " + std::to_string(first_.abi));
  if (first_.record_size != sizeof(magnet_record) &&
      first_.record_size != sizeof(magnet_record_ext))
    return wrong("has records of " + std::to_string(first_.record_size) + " bytes");
  if (first_.slots < 3 || first_.bytes > kMostBytes || first_.bytes % kPage != 0 ||
      std::uint64_t{first_.slots} * first_.record_size > first_.bytes)
    return wrong(std::to_string(first_.slots) + " slots do not fit its " +
                 std::to_string(first_.bytes) + " bytes");
  if (first_.cpu != cpu) return wrong("says that it is CPU " + std::to_string(first_.cpu));
  if (first_.next_slot == 0 || first_.next_slot >= first_.slots)
    return wrong("writes next at slot " + std::to_string(first_.next_slot));
  if (first_.cycles_khz == 0) return wrong("does not know its clock's frequency");
  return {};
}

Result<void> Ring::read_sysinfo() {
  const std::uint64_t timestamp = timestamp_of(slot(0)).load(std::memory_order_acquire);
  std::memcpy(&sysinfo_, slot(0), first_.record_size);
  sysinfo_.head.timestamp = timestamp;
  if (timestamp != 0 && sysinfo_.head.event == MAGNET_SYSINFO) return {};
  return fail(Code::unsupported, "/dev/magnet" + std::to_string(first_.cpu) +
                                     ": slot 0 has no MAGNET_SYSINFO; the module and this "
                                     "program are not of one version");
}

// Unread records end just before where the kernel writes next, and their timestamps rise with the
// ring. Behind `next_slot` may already stand some that were written since: of all, the lowest
// timestamp is the oldest. With none unread it is next_slot itself.
std::uint32_t Ring::find_oldest(std::uint32_t next_slot) const {
  std::uint32_t oldest = next_slot, at = next_slot;
  std::uint64_t lowest = std::numeric_limits<std::uint64_t>::max();
  for (std::uint32_t looked = 1; looked < first_.slots; ++looked) {
    const std::uint64_t timestamp = timestamp_of(slot(at)).load(std::memory_order_acquire);
    if (timestamp != 0 && timestamp < lowest) {
      lowest = timestamp;
      oldest = at;
    }
    if (++at == first_.slots) at = 1;
  }
  return oldest;
}

std::size_t Ring::copy(std::span<std::uint8_t> into) {
  const std::size_t most = std::min(into.size() / first_.record_size, slots());
  const std::size_t to_end = std::min<std::size_t>(most, first_.slots - next_);
  std::size_t copied = copy_run(slot(next_), into.data(), to_end);
  if (copied == to_end)
    copied += copy_run(slot(1), into.data() + copied * first_.record_size, most - copied);
  return copied;
}

std::size_t Ring::copy_run(std::uint8_t* from, std::uint8_t* into, std::size_t most) const {
  return first_.record_size == sizeof(magnet_record)
             ? copy_records<sizeof(magnet_record)>(from, into, most)
             : copy_records<sizeof(magnet_record_ext)>(from, into, most);
}

void Ring::release(std::size_t count) {
  const std::size_t to_end = std::min<std::size_t>(count, first_.slots - next_);
  release_run(slot(next_), to_end);
  release_run(slot(1), count - to_end);
  next_ += static_cast<std::uint32_t>(count);
  if (next_ >= first_.slots) next_ -= first_.slots - 1;
}

void Ring::release_run(std::uint8_t* from, std::size_t count) const {
  const std::size_t size = first_.record_size;
  // Pairs with the kernel's load-acquire before it writes here again: the copy comes first.
  for (std::uint8_t* const end = from + count * size; from != end; from += size)
    timestamp_of(from).store(0, std::memory_order_release);
}

Result<magnet_info> Ring::info() {
  return device_->info();
}

ClockPair Ring::pair_of(const magnet_info& info) {
  return {info.cycles, info.tai_ns, info.realtime_ns, info.error_ns};
}

// With nothing where this reader waits, nothing is unread at all. Elsewhere a record may stand for
// the moment in which an earlier one is reserved and not yet committed, so that it takes two looks
// that find the same.
Result<bool> Ring::recover() {
  if (timestamp_of(slot(next_)).load(std::memory_order_acquire) != 0) return false;
  auto info = device_->info();
  if (!info) return info.error();
  const bool sane = info->next_slot != 0 && info->next_slot < first_.slots;
  const std::uint32_t oldest = sane ? find_oldest(info->next_slot) : next_;
  const bool again = oldest == found_elsewhere_;
  found_elsewhere_ = oldest == next_ ? 0 : oldest;
  if (oldest == next_ || !again) return false;
  next_ = oldest;
  found_elsewhere_ = 0;
  return true;
}

}  // namespace fieldline::magnet
