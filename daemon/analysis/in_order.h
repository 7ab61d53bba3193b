// SPDX-License-Identifier: Apache-2.0
// Puts in order of time what comes nearly in order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

namespace fieldline::analysis {

// T says its time(). Runs of what came in order, as patience sorting deals them, cost an append
// each; what fits behind none of them (more streams that stand apart than there are runs, or no
// order at all) goes through a heap.
template <class T>
class InOrder {
 public:
  using Time = decltype(std::declval<const T&>().time());

  void push(T value) {
    const Time time = value.time();
    Run* best = nullptr;
    for (Run& run : runs_) {
      const bool fits = run.empty() || !(time < run.back().value.time());
      if (fits && (!best || is_nearer(run, *best))) best = &run;
    }
    ++size_;
    Item item{std::move(value), pushed_++};
    if (!best && runs_.size() == kRuns) {
      strays_.push_back(std::move(item));
      std::push_heap(strays_.begin(), strays_.end(), is_later);
      return;
    }
    if (!best) best = &runs_.emplace_back();
    best->push_back(std::move(item));
  }

  // Calls visit(T&) for what is older than `until`; of one instant, in order of arrival. It must
  // not push. At most so many; returns whether there may be more.
  template <class Visit>
  bool drain(Time until, Visit visit, std::size_t most = SIZE_MAX) {
    for (; most > 0; --most) {
      Run* first = nullptr;
      for (Run& run : runs_) {
        if (!run.empty() && (!first || is_later(first->front(), run.front()))) first = &run;
      }
      const bool stray = !strays_.empty() && (!first || is_later(first->front(), strays_.front()));
      if (!first && !stray) return false;
      if (!((stray ? strays_.front() : first->front()).value.time() < until)) return false;
      --size_;
      if (stray) {
        std::pop_heap(strays_.begin(), strays_.end(), is_later);
        Item item = std::move(strays_.back());
        strays_.pop_back();
        visit(item.value);
      } else {
        visit(first->front().value);
        first->pop_front();
      }
    }
    return true;
  }

  // In no order, until visit(const T&) says false.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const Run& run : runs_) {
      for (const Item& item : run) {
        if (!visit(item.value)) return;
      }
    }
    for (const Item& item : strays_) {
      if (!visit(item.value)) return;
    }
  }

  // visit(T&) must leave its time alone.
  template <class Visit>
  void for_each(Visit visit) {
    for (Run& run : runs_) {
      for (Item& item : run) visit(item.value);
    }
    for (Item& item : strays_) visit(item.value);
  }

  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kRuns = 8;
  struct Item {
    T value;
    std::uint64_t number;
  };
  // By pages: what a burst needed is given back, and nothing is copied when it grows.
  using Run = boost::container::deque<
      Item, void,
      typename boost::container::deque_options<boost::container::block_bytes<4096>>::type>;

  static bool is_later(const Item& a, const Item& b) {
    const Time first = a.value.time(), second = b.value.time();
    return first != second ? second < first : a.number > b.number;
  }
  // A run that holds something before an empty one, then the one with the younger end.
  static bool is_nearer(const Run& run, const Run& other) {
    if (run.empty() || other.empty()) return !run.empty();
    return other.back().value.time() < run.back().value.time();
  }

  std::vector<Run> runs_;
  std::vector<Item> strays_;
  std::uint64_t pushed_ = 0;
  std::size_t size_ = 0;
};

}  // namespace fieldline::analysis
