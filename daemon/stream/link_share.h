// SPDX-License-Identifier: Apache-2.0
// The link to one archive, shared by a producer's streams: the live one, and those that send the
// rest of earlier sessions.
//
// While the live stream has something to send, the rests together send a byte for each byte of its,
// and the live one goes first; else they have the link alone. What was not used is not saved up:
// the rests may be one batch ahead, and never more than kCredit behind.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>

namespace fieldline::stream {

class LinkShare {
 public:
  static constexpr std::int64_t kCredit = 1 << 20;

  // The live stream: it has something to send, or is not connected or through with it.
  void live_wants(bool wants) {
    live_wants_ = wants;
    if (!wants) wake();
  }
  void live_sent(std::size_t bytes) {
    credit_ = std::min(credit_ + static_cast<std::int64_t>(bytes), kCredit);
    wake();
  }

  bool rest_may_send() const { return !live_wants_ || credit_ > 0; }
  void rest_sent(std::size_t bytes) {
    if (live_wants_) credit_ -= static_cast<std::int64_t>(bytes);
  }
  // A rest is woken when it may send again; by whom it is known.
  void add_rest(const void* who, std::function<void()> wake) { rests_[who] = std::move(wake); }
  void remove_rest(const void* who) { rests_.erase(who); }

 private:
  void wake() {
    for (auto& [who, wake_one] : rests_) wake_one();
  }

  bool live_wants_ = false;
  std::int64_t credit_ = 0;
  std::map<const void*, std::function<void()>> rests_;
};

}  // namespace fieldline::stream
