// SPDX-License-Identifier: Apache-2.0
// One run from its owner's side: the grant, signed once, and the run's own key that signs its
// pulses.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "cli/plan.h"
#include "cli/signer.h"
#include "sense/trigger.h"

namespace fieldline::cli {

constexpr std::uint64_t kPulseLife = 10ull * 1'000'000'000;

// When pulses are due, counted from the run's start: 0, 200 and 500 ms, then every `renew_ns`. The
// first due time after `after_ns`; what was missed is not made up for.
std::uint64_t next_pulse_ns(std::uint64_t after_ns, std::uint64_t renew_ns);
// Between the two ending pulses.
constexpr std::uint64_t kEndingGap = 100'000'000;

struct GrantLimits {
  std::uint64_t issued_at_ns = 0, not_after_ns = 0;
  std::uint16_t snaplen = FL_SNAPLEN_HEADERS;
  sense::Fingerprint archive{};         // zero: the sensor's own
  std::uint8_t verb = FL_VERB_CAPTURE;  // enum fl_verb
  std::uint32_t sample_n = 1;           // one of so many packets; a power of two
};

class RunGrant {
 public:
  // Asks the signer once.
  static Result<RunGrant> make(const Plan& plan, const GrantLimits& limits, const Signer& signer);

  const sense::Grant& grant() const { return grant_; }
  const RunId& run() const { return grant_.run; }
  std::uint32_t pulses() const { return sequence_; }
  // What shows elsewhere than in a trigger whose run this is.
  const Bytes& grant_bytes() const { return grant_bytes_; }
  const Bytes& signature() const { return signature_; }
  const sense::RunKey& key() const { return key_; }

  // The next trigger: good for kPulseLife, never beyond the grant, so that one lost pulse leaves no
  // gap.
  Bytes pulse(std::uint64_t now_ns);
  // A trigger that ends the run at once.
  Bytes ending(std::uint64_t now_ns);

 private:
  RunGrant() = default;
  Bytes trigger(std::uint64_t issued_at_ns, std::uint64_t expiry_ns);

  sense::Grant grant_;
  sense::RunKey key_;
  Bytes grant_bytes_, signature_;
  std::uint32_t sequence_ = 0;
};

}  // namespace fieldline::cli
