// SPDX-License-Identifier: Apache-2.0
// Allocation with a fault in it: while armed, the n-th operator new of this thread throws. A
// program includes this in one source file: it replaces the global operators.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace fieldline::test {

class FaultMemory {
 public:
  // Runs `work`, whose n-th allocation fails; false: it failed and the exception came out.
  template <class Work>
  bool run(std::uint64_t n, Work&& work) {
    left() = n;
    struck_ = false;
    bool whole = true;
    try {
      work();
    } catch (const std::bad_alloc&) {
      whole = false;
    }
    struck_ = left() == 0;
    left() = 0;
    return whole;
  }
  bool struck() const { return struck_; }

  static void* allocate(std::size_t size) {
    if (left() > 0 && --left() == 0) throw std::bad_alloc();
    void* memory = std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }

 private:
  static std::uint64_t& left() {
    thread_local std::uint64_t left = 0;
    return left;
  }
  bool struck_ = false;
};

}  // namespace fieldline::test

// Not inlined: the compiler would see new and free() face each other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return fieldline::test::FaultMemory::allocate(size);
}
[[gnu::noinline]] void* operator new[](std::size_t size) {
  return fieldline::test::FaultMemory::allocate(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
