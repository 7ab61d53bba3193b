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

FlowShape shape_of(const Grant& grant, const PortPair& pair, std::uint8_t direction) {
  const bool forward = direction == FL_FORWARD;
  const std::uint16_t sport = forward ? pair.a : pair.b, dport = forward ? pair.b : pair.a;
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
  shape.mask.where = FL_KEY_INSIDE;
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

}  // namespace

std::variant<std::vector<FlowShape>, Refusal> flows_of(const Grant& grant) {
  std::vector<FlowShape> flows;
  for (std::uint8_t direction : {FL_FORWARD, FL_REVERSE}) {
    for (const PortPair& pair : grant.pairs) {
      const FlowShape next = shape_of(grant, pair, direction);
      auto absorbs = [&](const FlowShape& had) { return contains(had, next); };
      if (std::any_of(flows.begin(), flows.end(), absorbs)) continue;
      std::erase_if(flows, [&](const FlowShape& had) { return contains(next, had); });
      flows.push_back(next);
    }
  }
  for (std::size_t i = 0; i < flows.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (overlap(flows[i], flows[k])) {
        return Refusal{Reason::unsupported,
                       "flows of the grant overlap in part; ask for them in grants of their own",
                       {},
                       to_hex(grant.key_id),
                       grant.run.hex()};
      }
    }
  }
  return flows;
}

}  // namespace fieldline::sense
