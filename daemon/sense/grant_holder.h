// SPDX-License-Identifier: Apache-2.0
// Whose a grant is that somebody shows elsewhere than in a trigger. That he holds the run's key is
// for the caller to know.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "sense/trigger.h"
#include "sense/trust.h"

namespace fieldline::sense {

struct GrantHolder {
  Grant grant;
  std::string principal;
};

// denied: nobody who is trusted to sign grants now has signed it, or it is not of this time.
// grace_ns: for so long after its end it is still good.
Result<GrantHolder> check_grant(ByteView grant, ByteView signature, const Trust& trust,
                                std::uint64_t now_utc_ns, std::uint64_t grace_ns);

}  // namespace fieldline::sense
