// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace fieldline::magnet {

// Who has a file open: "magnet-read (pid 4711)", several joined by "and"; empty if nobody whom the
// caller may look into has. Looks through the descriptors of /proc: other users' need root.
std::string holder_of(const std::string& path, const std::string& proc = "/proc");

}  // namespace fieldline::magnet
