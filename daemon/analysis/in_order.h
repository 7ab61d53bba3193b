// SPDX-License-Identifier: Apache-2.0
// Puts in order of time what comes nearly in order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fieldline::analysis {

template <class T>
class InOrder {
 public:
  void push(std::uint64_t time, T value) {
    heap_.push_back({time, pushed_++, std::move(value)});
    std::push_heap(heap_.begin(), heap_.end());
  }

  // Calls visit(time, value) for what is older than `until`; of one instant, in order of arrival.
  template <class Visit>
  void drain(std::uint64_t until, Visit visit) {
    while (!heap_.empty() && heap_.front().time < until) {
      std::pop_heap(heap_.begin(), heap_.end());
      Item item = std::move(heap_.back());
      heap_.pop_back();
      visit(item.time, item.value);
    }
  }

  std::size_t size() const { return heap_.size(); }

 private:
  struct Item {
    std::uint64_t time, number;
    T value;

    bool operator<(const Item& other) const {
      return time != other.time ? time > other.time : number > other.number;
    }
  };
  std::vector<Item> heap_;
  std::uint64_t pushed_ = 0;
};

}  // namespace fieldline::analysis
