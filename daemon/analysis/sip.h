// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 over words, under the key of proto/digest.h: a state that has taken what all packets
// of a flow have alike goes on from there for each of them.
#pragma once

#include <cstdint>

#include "proto/digest.h"

namespace fieldline::analysis {

class Sip {
 public:
  void take(std::uint64_t word) {
    v3_ ^= word;
    round();
    v0_ ^= word;
    ++words_;
  }
  std::uint64_t digest() const {
    Sip last = *this;
    last.take(words_ << 56);
    last.v2_ ^= 0xff;
    for (int i = 0; i < 3; ++i) last.round();
    return last.v0_ ^ last.v1_ ^ last.v2_ ^ last.v3_;
  }

 private:
  void round() { FL_SIP_ROUND(v0_, v1_, v2_, v3_); }

  std::uint64_t v0_ = 0x66696c646c696e65 ^ 0x736f6d6570736575;
  std::uint64_t v1_ = 0x6469676573740001 ^ 0x646f72616e646f6d;
  std::uint64_t v2_ = 0x66696c646c696e65 ^ 0x6c7967656e657261;
  std::uint64_t v3_ = 0x6469676573740001 ^ 0x7465646279746573;
  std::uint64_t words_ = 0;
};

}  // namespace fieldline::analysis
