// SPDX-License-Identifier: Apache-2.0
#include "source/tc_hook.h"

#include <catch2/catch.hpp>
#include <cerrno>

namespace fieldline::source {

TEST_CASE("A kernel without clsact is told from other troubles, and which modules it lacks") {
  for (int missing : {ENOENT, EOPNOTSUPP}) {
    CHECK(clsact_remedy(missing).find("modprobe -a sch_ingress cls_bpf") != std::string::npos);
    CHECK(clsact_remedy(missing).find("linux-image-") != std::string::npos);
  }
  for (int other : {EPERM, EINVAL, EBUSY}) CHECK(clsact_remedy(other).empty());
}

}  // namespace fieldline::source
