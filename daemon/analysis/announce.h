// SPDX-License-Identifier: Apache-2.0
// What will be looked at soon, and is not in the cache: misses that are announced together are
// waited for together.
#pragma once

#include <cstddef>
#include <vector>

namespace fieldline::analysis {

template <class T>
void announce(const T& object) {
  constexpr std::size_t kLine = 64;
  const char* const at = reinterpret_cast<const char*>(&object);
  for (std::size_t line = 0; line < sizeof(T); line += kLine) __builtin_prefetch(at + line);
}

template <class T>
void announce(const std::vector<T>& objects, std::size_t number) {
  if (number < objects.size()) announce(objects[number]);
}

}  // namespace fieldline::analysis
