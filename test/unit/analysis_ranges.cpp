// SPDX-License-Identifier: Apache-2.0
#include <iterator>
#include <map>
#include <random>

#include <catch2/catch.hpp>

#include "analysis/ranges.h"

using fieldline::analysis::Ranges;

namespace {

using Marks = Ranges<int>;

// The same by a tree, one step at a time.
class Tree {
 public:
  struct Mark {
    std::uint64_t end;
    int value;
  };

  const std::map<std::uint64_t, Mark>& all() const { return marks_; }

  void put(std::uint64_t begin, std::uint64_t end, int value) { marks_[begin] = {end, value}; }
  std::map<std::uint64_t, Mark>::iterator find(std::uint64_t begin) {
    auto at = marks_.upper_bound(begin);
    if (at != marks_.begin() && std::prev(at)->second.end > begin) --at;
    return at;
  }
  void cut(std::uint64_t begin, std::uint64_t end) {
    for (auto at = find(begin); at != marks_.end() && at->first < end;) {
      const auto [from, mark] = *at;
      at = marks_.erase(at);
      if (from < begin) marks_.emplace(from, Mark{begin, mark.value + 1});
      if (mark.end > end) at = marks_.emplace(end, Mark{mark.end, mark.value + 1}).first;
    }
  }
  void pop_front() { marks_.erase(marks_.begin()); }

 private:
  std::map<std::uint64_t, Mark> marks_;
};

void check_same(const Marks& marks, const Tree& tree) {
  REQUIRE(marks.size() == tree.all().size());
  auto expected = tree.all().begin();
  marks.for_each([&](const Marks::Range& range) {
    REQUIRE(expected != tree.all().end());
    REQUIRE(range.begin == expected->first);
    REQUIRE(range.end == expected->second.end);
    REQUIRE(range.value == expected->second.value);
    ++expected;
  });
  REQUIRE(expected == tree.all().end());
}

// A step of one kind in so many takes from the middle; the others add behind and take in front.
void walk(unsigned seed, unsigned wild, std::uint64_t far, unsigned keep) {
  std::mt19937 random(seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  Marks marks;
  Tree tree;
  std::uint64_t next = far;
  for (int step = 0; step < 4000; ++step) {
    const std::uint64_t begin = below(wild) == 0 ? next - below(far) : next;
    const std::uint64_t end = begin + 1 + below(20);
    const Marks::Range* found = marks.find(begin, end);
    const auto expected = tree.find(begin);
    const bool any = expected != tree.all().end() && expected->first < end;
    REQUIRE((found != nullptr) == any);
    if (found) REQUIRE(found->begin == expected->first);
    marks.cut(begin, end, [](Marks::Range& range) { ++range.value; });
    tree.cut(begin, end);
    if (below(8) != 0) {
      // As of a sender whose first byte is acknowledged already: it may reach into what is held.
      const std::uint64_t from = begin - below(3);
      marks.put({from, end, step});
      tree.put(from, end, step);
    }
    next = std::max(next, end);
    while (marks.size() > keep) {
      REQUIRE(marks.front().begin == tree.all().begin()->first);
      marks.pop_front();
      tree.pop_front();
    }
    if (step % 16 == 0) check_same(marks, tree);
  }
  check_same(marks, tree);
  const Marks copy = marks;
  while (!marks.empty()) marks.pop_front();
  marks.put({1, 2, 3});
  REQUIRE(marks.front().value == 3);
  check_same(copy, tree);
}

}  // namespace

TEST_CASE("stretches are held as a tree would hold them") {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    walk(seed, 1'000'000, 1000, 3);    // a queue of one page
    walk(seed, 1'000'000, 1000, 500);  // of many
    walk(seed, 4, 300, 3);
    walk(seed, 2, 3000, 200);
    walk(seed, 1, 30'000, 100'000);  // no order at all
  }
}

TEST_CASE("what is left of a stretch at either side keeps its value") {
  Marks marks;
  marks.put({10, 20, 7});
  int touched = 0;
  marks.cut(13, 15, [&](const Marks::Range& range) {
    ++touched;
    CHECK(range.begin == 10);
    CHECK(range.end == 20);
  });
  CHECK(touched == 1);
  REQUIRE(marks.size() == 2);
  CHECK(marks.find(13, 15) == nullptr);
  CHECK(marks.find(12, 15)->end == 13);
  CHECK(marks.find(15, 16)->begin == 15);
  CHECK(marks.find(15, 16)->value == 7);
}
