// SPDX-License-Identifier: Apache-2.0
// Stretches of a stream, and something of each, by their first byte.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fieldline::analysis {

// What is put in stands mostly behind all that is held, and what goes mostly in front of it. So it
// is kept in pages in order, not in nodes of a tree: such a step neither allocates nor follows a
// pointer for each stretch, and one in the middle moves a page.
template <class T>
class Ranges {
 public:
  struct Range {
    std::uint64_t begin = 0, end = 0;
    T value{};
  };

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  const Range& front() const { return pages_[first_][head_]; }  // not of none
  void pop_front() { erase({first_, head_}); }
  void clear() { *this = Ranges(); }

  // The first that has bytes of [begin, end); nullptr: none has.
  const Range* find(std::uint64_t begin, std::uint64_t end) const {
    const Place place = overlapping(begin);
    return is_end(place) || range(place).begin >= end ? nullptr : &range(place);
  }

  // Instead of what has the same first byte.
  void put(const Range& range) {
    if (is_behind(range.begin)) return push_back(range);
    const Place place = lower(range.begin);
    if (this->range(place).begin == range.begin) {
      this->range(place) = range;
    } else {
      insert(place, range);
    }
  }

  // Takes [begin, end) out. touch(Range&) sees each that has bytes of it, still whole; what is left
  // of it at either side keeps the value.
  template <class Touch>
  void cut(std::uint64_t begin, std::uint64_t end, Touch touch) {
    Place place = overlapping(begin);
    while (!is_end(place) && range(place).begin < end) {
      touch(range(place));
      const Range whole = range(place);
      if (whole.begin < begin) {
        range(place).end = begin;
        place = next(place);
      } else {
        place = erase(place);
      }
      if (whole.end > end) return add({end, whole.end, whole.value});
    }
  }

  // In order.
  template <class Visit>
  void for_each(Visit visit) const {
    for (Place place{first_, head_}; !is_end(place); place = next(place)) visit(range(place));
  }

 private:
  static constexpr std::size_t kPage = 16;
  using Page = std::vector<Range>;  // not empty, but for one that is the only one
  struct Place {
    std::size_t page, at;
  };

  bool is_end(Place place) const { return size_ == 0 || place.page == pages_.size(); }
  Range& range(Place place) { return pages_[place.page][place.at]; }
  const Range& range(Place place) const { return pages_[place.page][place.at]; }
  bool is_behind(std::uint64_t begin) const {
    return size_ == 0 || pages_.back().back().begin < begin;
  }
  Place next(Place place) const {
    return place.at + 1 < pages_[place.page].size() ? Place{place.page, place.at + 1}
                                                    : Place{place.page + 1, 0};
  }

  // The first whose first byte is not in front of this one.
  Place lower(std::uint64_t begin) const {
    if (is_behind(begin)) return {pages_.size(), 0};
    const auto page =
        std::partition_point(pages_.begin() + static_cast<std::ptrdiff_t>(first_), pages_.end(),
                             [begin](const Page& one) { return one.back().begin < begin; });
    const auto number = static_cast<std::size_t>(page - pages_.begin());
    const auto from =
        page->begin() + static_cast<std::ptrdiff_t>(number == first_ ? head_ : std::size_t{0});
    const auto at = std::partition_point(from, page->end(),
                                         [begin](const Range& one) { return one.begin < begin; });
    return {number, static_cast<std::size_t>(at - page->begin())};
  }

  // The first that ends behind this byte, of the one that begins at it or next in front of it and
  // those behind.
  Place overlapping(std::uint64_t begin) const {
    if (size_ == 0) return {pages_.size(), 0};
    if (const Range& last = pages_.back().back(); last.begin <= begin) {
      return last.end > begin ? Place{pages_.size() - 1, pages_.back().size() - 1}
                              : Place{pages_.size(), 0};
    }
    const Place place = lower(begin + 1);
    if (place.page == first_ && place.at == head_) return place;
    const Place before = place.at > 0 ? Place{place.page, place.at - 1}
                                      : Place{place.page - 1, pages_[place.page - 1].size() - 1};
    return range(before).end > begin ? before : place;
  }

  // Unless one has the same first byte.
  void add(const Range& range) {
    if (is_behind(range.begin)) return push_back(range);
    if (const Place place = lower(range.begin); this->range(place).begin != range.begin)
      insert(place, range);
  }

  void push_back(const Range& range) {
    if (pages_.empty()) pages_.emplace_back();
    if (pages_.back().size() == kPage) make_room();
    pages_.back().push_back(range);
    ++size_;
  }

  // A short queue stays in its page for ever.
  void make_room() {
    if (first_ + 1 == pages_.size() && head_ >= kPage / 2) {
      pages_.back().erase(pages_.back().begin(),
                          pages_.back().begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    } else {
      pages_.emplace_back().reserve(kPage);
    }
  }

  void insert(Place place, const Range& range) {
    ++size_;
    if (place.page == first_ && place.at == head_ && head_ > 0) {
      pages_[first_][--head_] = range;
      return;
    }
    Page& page = pages_[place.page];
    page.insert(page.begin() + static_cast<std::ptrdiff_t>(place.at), range);
    if (page.size() <= kPage) return;
    const auto middle = page.begin() + static_cast<std::ptrdiff_t>(
                                           page.size() - (page.size() - head_of(place.page)) / 2);
    Page behind;
    behind.reserve(kPage);
    behind.assign(middle, page.end());
    page.erase(middle, page.end());
    pages_.insert(pages_.begin() + static_cast<std::ptrdiff_t>(place.page + 1), std::move(behind));
  }

  // Returns where what stood behind it is.
  Place erase(Place place) {
    --size_;
    Page& page = pages_[place.page];
    if (place.page == first_ && place.at == head_) {
      if (++head_ < page.size()) return {first_, head_};
      head_ = 0;
      if (first_ + 1 == pages_.size()) {
        page.clear();
        return {pages_.size(), 0};
      }
      Page().swap(page);
      if (++first_ * 2 > pages_.size()) {
        pages_.erase(pages_.begin(), pages_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
      }
      return {first_, 0};
    }
    page.erase(page.begin() + static_cast<std::ptrdiff_t>(place.at));
    if (page.empty()) {
      pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(place.page));
      return {place.page, 0};
    }
    return place.at < page.size() ? place : Place{place.page + 1, 0};
  }

  std::size_t head_of(std::size_t page) const { return page == first_ ? head_ : 0; }

  std::vector<Page> pages_;
  std::size_t first_ = 0;  // of pages_: those in front of it are gone
  std::size_t head_ = 0;   // of pages_[first_]: those in front of it are gone
  std::size_t size_ = 0;
};

}  // namespace fieldline::analysis
