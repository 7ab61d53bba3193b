// SPDX-License-Identifier: Apache-2.0
#include "sense/grant_holder.h"

#include "sense/gate.h"

namespace fieldline::sense {

Result<GrantHolder> check_grant(ByteView bytes, ByteView signature, const Trust& trust,
                                std::uint64_t now, std::uint64_t grace_ns) {
  auto grant = decode_grant(bytes);
  if (!grant) return grant.error();
  if (grant->issued_at_ns > now && grant->issued_at_ns - now > kClockTolerance) {
    return fail(Code::denied, "the grant is from the future; set the clocks of both hosts");
  }
  if (now > grant->not_after_ns && now - grant->not_after_ns > grace_ns) {
    return fail(Code::denied, "the grant is over; ask for a longer one next time");
  }
  if (!is_sound(grant->run_key)) return fail(Code::denied, "the run's key is a weak one");
  const Bytes preimage = sshsig_preimage(FL_GRANT_NAMESPACE, bytes);
  for (const Signer* signer : trust.with_key_id(grant->key_id)) {
    if (!signer->allows_namespace(FL_GRANT_NAMESPACE) || !signer->valid_at(now)) continue;
    if (verify(signer->key, preimage, signature))
      return GrantHolder{std::move(*grant), signer->principals.front()};
  }
  return fail(Code::denied, "nobody who may sign grants here has signed this one (key id " +
                                to_hex(grant->key_id) + ")");
}

}  // namespace fieldline::sense
