// SPDX-License-Identifier: Apache-2.0
#include "cli/run_grant.h"

#include <sodium.h>

#include <algorithm>

#include "base/clock.h"

namespace fieldline::cli {

std::uint64_t next_pulse_ns(std::uint64_t after_ns, std::uint64_t renew_ns) {
  std::uint64_t next = (after_ns / renew_ns + 1) * renew_ns;
  for (std::uint64_t early : {200 * kNanosPerMilli, 500 * kNanosPerMilli}) {
    if (early > after_ns) next = std::min(next, early);
  }
  return next;
}

Result<RunGrant> RunGrant::make(const Plan& plan, const GrantLimits& limits, const Signer& signer) {
  if (sodium_init() < 0) return fail(Code::unsupported, "libsodium does not start on this machine");
  RunGrant made;
  made.key_ = sense::RunKey::generate();
  auto& grant = made.grant_;
  randombytes_buf(grant.run.bytes.data(), grant.run.bytes.size());
  grant.protocol = plan.protocol;
  grant.pairs = plan.pairs;
  grant.key_id = sense::key_id_of(signer.key());
  grant.run_key = made.key_.public_key;
  grant.issued_at_ns = limits.issued_at_ns;
  grant.not_after_ns = limits.not_after_ns;
  grant.verb = limits.verb;
  grant.host_a = plan.host_a();
  grant.host_b = plan.host_b();
  grant.snaplen = limits.snaplen;
  grant.sample_n = limits.sample_n;
  grant.archive = limits.archive;
  made.grant_bytes_ = sense::encode(grant);

  auto signature = signer.sign(FL_GRANT_NAMESPACE, made.grant_bytes_);
  if (!signature) return signature.error();
  const auto& raw = signature->parsed.signature;
  made.signature_.assign(raw.begin(), raw.end());
  return made;
}

Bytes RunGrant::trigger(std::uint64_t issued_at_ns, std::uint64_t expiry_ns) {
  Bytes pulse = sense::encode(sense::Pulse{++sequence_, issued_at_ns, expiry_ns});
  auto signature = sense::sign_pulse(key_, grant_.run, pulse);
  return sense::encode_trigger(grant_bytes_, signature_, pulse, signature);
}

Bytes RunGrant::pulse(std::uint64_t now_ns) {
  return trigger(now_ns, std::min(now_ns + kPulseLife, grant_.not_after_ns));
}

Bytes RunGrant::ending(std::uint64_t now_ns) {
  return trigger(now_ns, now_ns);
}

}  // namespace fieldline::cli
