// SPDX-License-Identifier: Apache-2.0
// The gate: every check that a trigger passes before it changes anything, in the order of docs/architecture.md.
// Two halves, so that signatures are verified in a thread of their own:
//   admit()  cheap checks, in the daemon's thread; gives a Ticket or a Refusal
//   verify() pure cryptography, anywhere; touches nothing of the gate
//   settle() back in the daemon's thread: caches, policy, Decision or Refusal
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "proto/flow.h"
#include "sense/policy.h"
#include "sense/refusal.h"
#include "sense/trigger.h"
#include "sense/trust.h"

namespace fieldline::sense {

constexpr std::uint64_t kClockTolerance = 5ull * 1'000'000'000;  // how far issued_at may lie ahead of us

// A trigger that passed the cheap checks, with all that verify() needs.
struct Ticket {
  Trigger trigger;
  std::vector<PublicKey> candidate_keys;  // those with the key id
  bool grant_cached = false;              // only the pulse is left to verify
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

class Gate {
 public:
  Gate(Trust trust, Policy policy) : trust_(std::move(trust)), policy_(std::move(policy)) {}

  // SIGHUP: new trust and policy; cached grants are forgotten, so that each is judged again.
  void reload(Trust trust, Policy policy);

  // outer: addresses of the packet that carried it. now_utc_ns: of this host.
  std::variant<Ticket, Refusal> admit(ByteView trigger, const fl_flow_key& outer, std::uint64_t now_utc_ns);
  std::variant<Accepted, Refusal> settle(Ticket ticket, std::uint64_t now_utc_ns);

  void forget(const RunId& run);  // when it ended; its sequences stay refused until the grant's end
  void expire(std::uint64_t now_utc_ns);  // drops caches whose grants are over
  std::size_t cached_grants() const { return runs_.size(); }

 private:
  struct KnownRun {
    std::array<std::uint8_t, 32> grant_hash{};  // SHA-256 over grant and signature
    PublicKey signer{};
    std::uint32_t last_sequence = 0;
    std::uint64_t not_after_ns = 0;
    bool active = false;
  };
  struct Bucket {
    double tokens = 0;
    std::uint64_t at_ns = 0;
  };
  bool take(std::unordered_map<std::string, Bucket>& buckets, const std::string& key, double rate, double burst,
            std::uint64_t now_ns);

  Trust trust_;
  Policy policy_;
  std::unordered_map<RunId, KnownRun> runs_;
  std::unordered_map<std::string, Bucket> by_source_, by_key_, by_run_;
};

}  // namespace fieldline::sense
