// SPDX-License-Identifier: Apache-2.0
#include "magnet/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>

namespace fieldline::magnet {

namespace {

// Asked once, before the handler can run; 4, 16 or 64 KiB on arm64.
std::atomic<std::uintptr_t> page_bytes{0};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

// Read by the handler: lock-free atomics alone. `end` is stored last and cleared first.
struct Guarded {
  std::atomic<std::uintptr_t> begin{0}, end{0};
  std::atomic<bool> struck{false};
};
std::array<Guarded, BusGuard::kMost> places;
std::mutex places_lock;
struct sigaction before;

bool replace_page(std::uintptr_t at) {
  const std::uintptr_t bytes = page_bytes.load(std::memory_order_relaxed);
  return ::mmap(reinterpret_cast<void*>(at & ~(bytes - 1)), bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

// errno is the interrupted code's.
void on_bus_error(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (auto& place : places) {
    const std::uintptr_t end = place.end.load(std::memory_order_acquire);
    if (at >= end || at < place.begin.load(std::memory_order_relaxed)) continue;
    if (!replace_page(at)) break;
    place.struck.store(true, std::memory_order_release);
    errno = error;
    return;  // the access is made again, and finds the page
  }
  ::sigaction(signal, &before, nullptr);  // not ours: the access is made again, and ends as it did
  errno = error;
}

void install() {
  static const bool installed = [] {
    page_bytes.store(static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE)),
                     std::memory_order_relaxed);
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, &before) == 0;
  }();
  (void)installed;
}

}  // namespace

BusGuard::BusGuard(const std::uint8_t* begin, std::size_t bytes) {
  std::lock_guard lock(places_lock);
  install();
  for (std::size_t i = 0; i < kMost; ++i) {
    if (places[i].end.load(std::memory_order_relaxed) != 0) continue;
    const auto first = reinterpret_cast<std::uintptr_t>(begin);
    places[i].struck.store(false, std::memory_order_relaxed);
    places[i].begin.store(first, std::memory_order_relaxed);
    places[i].end.store(first + bytes, std::memory_order_release);
    place_ = i;
    return;
  }
}

BusGuard::~BusGuard() {
  if (place_ < kMost) places[place_].end.store(0, std::memory_order_release);
}

bool BusGuard::struck() const {
  return place_ < kMost && places[place_].struck.load(std::memory_order_acquire);
}

}  // namespace fieldline::magnet
