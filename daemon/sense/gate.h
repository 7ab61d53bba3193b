// SPDX-License-Identifier: Apache-2.0
// The gate: every check that a trigger passes before it changes anything, in the order of
// docs/architecture.md. Two halves, so that signatures are verified in a thread of their own:
//   admit()  cheap checks, in the daemon's thread; gives a Ticket or a Refusal
//   verify() pure cryptography, anywhere; touches nothing of the gate
//   settle() back in the daemon's thread: caches, policy, Decision or Refusal
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "proto/flow.h"
#include "sense/bucket.h"
#include "sense/policy.h"
#include "sense/refusal.h"
#include "sense/trigger.h"
#include "sense/trust.h"

namespace fieldline::sense {

constexpr std::uint64_t kClockTolerance =
    5ull * 1'000'000'000;  // how far issued_at may lie ahead of us

// What one sensor spends on triggers. Verification costs about 60 us of one core.
struct GateLimits {
  Rate by_source{20, 64};      // (key id, source /24 or /64): new runs
  Rate by_key{50, 256};        // key id, from wherever
  Rate by_run{50, 100};        // pulses of one active run
  std::size_t sources = 4096;  // buckets
  std::size_t runs = 16384;    // remembered grants
  std::size_t candidates = 8;  // keys tried for one key id
};

// A trigger that passed the cheap checks, with all that verify() needs.
struct Ticket {
  Trigger trigger;
  std::vector<PublicKey> candidate_keys;    // those with the key id
  bool grant_cached = false;                // only the pulse is left to verify
  bool inside = false;                      // it stood inside a tunnel
  bool grant_ok = false, pulse_ok = false;  // verify()'s answer
  PublicKey signer{};
};

struct Accepted {
  Trigger trigger;
  Decision decision;
  std::string principal;
  bool renewal = false;  // a run that is active already
};

void verify(Ticket& ticket);

// FL_FORWARD if the packet went from the grant's host A to host B, FL_REVERSE for the other way,
// none if it is not the grant's.
std::optional<fl_direction> direction_of(const Grant& grant, const fl_flow_key& outer);

class Gate {
 public:
  Gate(Trust trust, Policy policy, const GateLimits& limits = {});

  // SIGHUP: new trust and policy; cached grants are forgotten, so that each is judged again.
  // Sequences stay.
  void reload(Trust trust, Policy policy);

  // outer: addresses of the packet that carried it. now_utc_ns: of this host.
  std::variant<Ticket, Refusal> admit(ByteView trigger, const fl_flow_key& outer,
                                      std::uint64_t now_utc_ns);
  std::variant<Accepted, Refusal> settle(Ticket ticket, std::uint64_t now_utc_ns);

  // When it ended, or when the activation table refused it; its sequences stay refused until
  // nothing signed up to now could be replayed, and at least until the end that the policy gave the
  // grant.
  void forget(const RunId& run);
  void expire(std::uint64_t now_utc_ns);  // drops caches whose grants are over, and buckets that
                                          // are full again
  std::size_t cached_grants() const { return runs_.size(); }
  std::size_t buckets() const { return by_source_.size() + by_key_.size(); }

 private:
  struct KnownRun {
    Fingerprint grant_hash{};  // SHA-256 over grant and signature
    PublicKey signer{};
    std::uint32_t last_sequence = 0;
    std::uint64_t replayable_ns = 0;  // no pulse issued up to the last one lives longer
    std::uint64_t forget_ns =
        0;                  // the end that grant and policy gave it, and nothing left to replay
    bool verified = false;  // false after reload(): both signatures are looked at again
    bool active = false;
    Bucket lane;
  };
  std::optional<Refusal> find_candidates(Ticket& ticket, std::uint64_t now_utc_ns) const;
  bool within_rates(const Ticket& ticket, const fl_flow_key& outer, KnownRun* known,
                    std::uint64_t now_ns);
  std::optional<Refusal> make_room(const Grant& grant, std::uint64_t now_utc_ns);
  void remember(const Ticket& ticket, const Fingerprint& hash, const Decision& decision,
                std::uint64_t now_utc_ns);

  Trust trust_;
  Policy policy_;
  GateLimits limits_;
  std::unordered_map<RunId, KnownRun> runs_;
  std::uint64_t swept_ns_ = 0;
  BucketTable by_source_, by_key_;
};

}  // namespace fieldline::sense
