// SPDX-License-Identifier: Apache-2.0
#include "sense/flows.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace fieldline::sense {

namespace {

using KeyBytes = std::array<std::uint8_t, sizeof(fl_flow_key)>;

KeyBytes bytes_of(const fl_flow_key& key) {
  KeyBytes bytes;
  std::memcpy(bytes.data(), &key, bytes.size());
  return bytes;
}

void set_address(__u8 (&key)[16], __u8 (&mask)[16], const Prefix& host) {
  for (unsigned bit = 0; bit < host.length; ++bit) {
    mask[bit / 8] = static_cast<__u8>(mask[bit / 8] | (0x80 >> bit % 8));
  }
  for (unsigned i = 0; i < 16; ++i) key[i] = host.address.bytes[i] & mask[i];
}

FlowShape shape_of(const Grant& grant, const PortPair& pair, std::uint8_t direction, bool inner) {
  const bool forward = direction == FL_FORWARD;
  // The halves of ESP's SPI stand as they are in either direction: each has an SPI of its own.
  const bool as_it_is = forward || grant.protocol == IPPROTO_ESP;
  const std::uint16_t sport = as_it_is ? pair.a : pair.b, dport = as_it_is ? pair.b : pair.a;
  FlowShape shape;
  shape.direction = direction;
  set_address(shape.key.src, shape.mask.src, forward ? grant.host_a : grant.host_b);
  set_address(shape.key.dst, shape.mask.dst, forward ? grant.host_b : grant.host_a);
  shape.key.sport = big_endian(sport);
  shape.key.dport = big_endian(dport);
  shape.mask.sport = sport == 0 ? 0 : 0xffff;
  shape.mask.dport = dport == 0 ? 0 : 0xffff;
  shape.key.protocol = grant.protocol;
  shape.mask.protocol = 0xff;
  shape.mask.where = inner ? 0 : FL_KEY_INSIDE;
  return shape;
}

// Does every packet of `inner` match `outer`?
bool contains(const FlowShape& outer, const FlowShape& inner) {
  auto key = bytes_of(outer.key), wide = bytes_of(outer.mask);
  auto inner_key = bytes_of(inner.key), narrow = bytes_of(inner.mask);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if ((wide[i] & ~narrow[i]) != 0 || (inner_key[i] & wide[i]) != key[i]) return false;
  }
  return true;
}

// Is there a packet that matches both? One from an address to itself does not count: no wire
// carries it, and "anybody in 10.0.0.0/8 with 10.0.3.2" is a grant that people want.
bool overlap(const FlowShape& one, const FlowShape& other) {
  auto k1 = bytes_of(one.key), m1 = bytes_of(one.mask), k2 = bytes_of(other.key),
       m2 = bytes_of(other.mask);
  bool to_itself = true;
  for (std::size_t i = 0; i < k1.size(); ++i) {
    if (((k1[i] ^ k2[i]) & m1[i] & m2[i]) != 0) return false;
  }
  for (std::size_t i = 0; i < 16; ++i) {
    const std::size_t k = i + 16;  // dst
    to_itself = to_itself && (m1[i] | m2[i]) == 0xff && (m1[k] | m2[k]) == 0xff &&
                (k1[i] | k2[i]) == (k1[k] | k2[k]);
  }
  return !to_itself;
}

// The first `forward` entries are of one direction, the rest of the other.
void merge_directions(std::vector<FlowShape>& entries, std::size_t forward) {
  const auto reverse = entries.begin() + static_cast<std::ptrdiff_t>(forward);
  auto merged = [&](const FlowShape& back) {
    auto same = std::find_if(entries.begin(), reverse, [&](const FlowShape& there) {
      return contains(there, back) && contains(back, there);
    });
    if (same == reverse) return false;
    same->direction = FL_EITHER;
    return true;
  };
  entries.erase(std::remove_if(reverse, entries.end(), merged), entries.end());
}

}  // namespace

GrantFlows flows_of(const Grant& grant, bool inner) {
  GrantFlows flows;
  auto& entries = flows.entries;
  std::size_t forward = 0;  // entries of the other direction, when the reverse ones are made
  for (std::uint8_t direction : {FL_FORWARD, FL_REVERSE}) {
    for (const PortPair& pair : grant.pairs) {
      const FlowShape next = shape_of(grant, pair, direction, inner);
      const auto own = entries.begin() + static_cast<std::ptrdiff_t>(forward);
      auto absorbs = [&](const FlowShape& had) { return contains(had, next); };
      if (std::any_of(own, entries.end(), absorbs)) continue;
      auto absorbed = [&](const FlowShape& had) { return contains(next, had); };
      entries.erase(std::remove_if(own, entries.end(), absorbed), entries.end());
      entries.push_back(next);
    }
    if (direction == FL_FORWARD) forward = entries.size();
  }
  merge_directions(entries, forward);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    flows.overlap |= entries[i].direction == FL_EITHER;
    for (std::size_t k = 0; k < i; ++k) flows.overlap |= overlap(entries[i], entries[k]);
  }
  return flows;
}

}  // namespace fieldline::sense
