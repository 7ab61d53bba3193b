// SPDX-License-Identifier: Apache-2.0
// A second reading of docs/format/flow.md and lift.md: what the classifier must make of a frame,
// written from the pages and without its code.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "proto/flow.h"

namespace fieldline::oracle {

struct Verdict {
  fl_unparsed reason = FL_PARSED;
  // Of what was read, and of a later fragment, whose ports are 0:
  fl_flow_key key{};
  std::size_t header_end = 0;  // of the transport header, from the start of the frame
  std::size_t ip_end = 0;
  bool fragmented = false;  // a first fragment of several
  Bytes digest_input;       // the 144 bytes of fl_digest_input
};

Verdict read(ByteView frame);
// Of the packet that `outer` (of this frame, and parsed) carries; nothing if it carries none.
std::optional<Verdict> read_inside(ByteView frame, const Verdict& outer);

// SipHash-c-d of `data` under 16 key bytes, straight from the paper.
std::uint64_t siphash(unsigned c, unsigned d, ByteView key, ByteView data);
std::uint64_t digest(ByteView digest_input);  // SipHash-1-3 under the fixed key

}  // namespace fieldline::oracle
