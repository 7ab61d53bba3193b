// SPDX-License-Identifier: Apache-2.0
#include "magnet/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <mutex>

namespace fieldline::magnet {

namespace {

constexpr std::uintptr_t kPage = 4096;

// Read by the handler: lock-free atomics alone. `end` is stored last and cleared first.
struct Guarded {
  std::atomic<std::uintptr_t> begin{0}, end{0};
  std::atomic<bool> struck{false};
};
std::array<Guarded, BusGuard::kMost> places;
std::mutex places_lock;
struct sigaction before;

void on_bus_error(int signal, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (auto& place : places) {
    const std::uintptr_t end = place.end.load(std::memory_order_acquire);
    if (at >= end || at < place.begin.load(std::memory_order_relaxed)) continue;
    void* page = reinterpret_cast<void*>(at & ~(kPage - 1));
    if (::mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) == MAP_FAILED) {
      break;
    }
    place.struck.store(true, std::memory_order_release);
    return;  // the access is made again, and finds the page
  }
  ::sigaction(signal, &before, nullptr);  // not ours: the access is made again, and ends as it did
}

void install() {
  static const bool installed = [] {
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
