// SPDX-License-Identifier: Apache-2.0
// The codec. Order of the checks: magic, version, lengths, reserved fields, then what the values
// say.
#include "sense/trigger.h"

#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace fieldline::sense {

namespace {

using Refused = std::optional<Refusal>;

Refusal malformed(std::string detail) {
  return {Reason::malformed, std::move(detail)};
}

template <std::size_t N>
bool all_zero(const std::uint8_t (&bytes)[N]) {
  return std::all_of(bytes, bytes + N, [](std::uint8_t byte) { return byte == 0; });
}

Refused check_header(const fl_trigger_header& head, std::size_t total) {
  if (total > FL_TRIGGER_MAX) {
    return malformed("has " + std::to_string(total) + " bytes, at most " +
                     std::to_string(FL_TRIGGER_MAX) + " are a trigger");
  }
  if (head.flags != 0 || !all_zero(head.reserved)) {
    return malformed("a reserved field of the header is not zero");
  }
  const std::size_t said = sizeof head + big_endian(head.certificate_len) +
                           big_endian(head.grant_len) + big_endian(head.signature_len) +
                           sizeof(fl_pulse) + FL_PULSE_SIGNATURE_LEN;
  if (said != total) {
    return malformed("its lengths add up to " + std::to_string(said) + " bytes, it has " +
                     std::to_string(total));
  }
  const std::size_t signature_len = big_endian(head.signature_len);
  switch (head.signature_type) {
    case FL_SIGNATURE_ED25519:
      if (signature_len != 64) return malformed("an Ed25519 signature has 64 bytes");
      break;
    case FL_SIGNATURE_SK_ED25519:
      if (signature_len != 69) return malformed("an sk-ed25519 signature has 69 bytes");
      return Refusal{Reason::unsupported, "signed by a hardware key"};
    default:
      return malformed("unknown signature type " + std::to_string(head.signature_type));
  }
  if (head.certificate_len != 0) return Refusal{Reason::unsupported, "carries a certificate"};
  return {};
}

Refused check_protocol(const Grant& grant) {
  switch (grant.protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_SCTP:
    case IPPROTO_ESP:
      return {};
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      for (const PortPair& pair : grant.pairs) {
        if (pair != PortPair{}) return malformed("ICMP has no ports; its pairs are 0/0");
      }
      return {};
    default:
      return Refusal{Reason::unsupported, "IP protocol " + std::to_string(grant.protocol)};
  }
}

Refused read_host(const std::uint8_t (&bytes)[16], std::uint8_t length, Prefix& host) {
  if (length > 128) return malformed("prefix length " + std::to_string(length));
  std::copy(std::begin(bytes), std::end(bytes), host.address.bytes.begin());
  host.length = length;
  for (unsigned bit = length; bit < 128; ++bit) {
    if ((host.address.bytes[bit / 8] & (0x80 >> bit % 8)) != 0) {
      return malformed("a host has bits behind its prefix");
    }
  }
  return {};
}

Refused read_grant_head(const fl_grant& wire, Grant& grant) {
  if (!all_zero(wire.reserved)) return malformed("a reserved field of the grant is not zero");
  grant.verb = wire.verb;
  grant.protocol = wire.protocol;
  std::copy(std::begin(wire.run), std::end(wire.run), grant.run.bytes.begin());
  std::copy(std::begin(wire.key_id), std::end(wire.key_id), grant.key_id.begin());
  std::copy(std::begin(wire.run_key), std::end(wire.run_key), grant.run_key.begin());
  std::copy(std::begin(wire.archive), std::end(wire.archive), grant.archive.begin());
  grant.issued_at_ns = big_endian<std::uint64_t>(wire.issued_at);
  grant.not_after_ns = big_endian<std::uint64_t>(wire.not_after);
  grant.snaplen = big_endian<std::uint16_t>(wire.snaplen);
  grant.sample_n = big_endian<std::uint32_t>(wire.sample_n);
  if (auto refused = read_host(wire.host_a, wire.prefix_a, grant.host_a)) return refused;
  if (auto refused = read_host(wire.host_b, wire.prefix_b, grant.host_b)) return refused;

  if (grant.run.is_zero()) return malformed("the run id is zero");
  if (grant.not_after_ns <= grant.issued_at_ns) return malformed("the grant ends before it begins");
  if (grant.sample_n == 0) return malformed("samples one of 0 packets");
  switch (grant.verb) {
    case FL_VERB_CAPTURE:
    case FL_VERB_COUNT:
      break;
    case FL_VERB_TEST:
      return Refusal{Reason::unsupported, "verb " + std::to_string(grant.verb) + " is reserved"};
    default:
      return malformed("unknown verb " + std::to_string(grant.verb));
  }
  if (grant.verb == FL_VERB_COUNT && grant.sample_n != 1) return malformed("counts a sample");
  if (!std::has_single_bit(grant.sample_n)) {
    return Refusal{Reason::unsupported, "samples one of " + std::to_string(grant.sample_n) +
                                            " packets, which is no power of two"};
  }
  return {};
}

Refused read_grant(ByteView bytes, Grant& grant) {
  if (bytes.empty()) return malformed("the grant is empty");
  if (bytes[0] != FL_GRANT_VERSION) {
    return Refusal{Reason::unknown_version, "grant version " + std::to_string(bytes[0])};
  }
  ByteReader reader(bytes);
  auto wire = reader.take_struct<fl_grant>();
  if (!wire) return malformed("the grant " + wire.error().text());
  if (wire->pair_count < 1 || wire->pair_count > FL_GRANT_PAIRS_MAX) {
    return malformed("has " + std::to_string(wire->pair_count) + " port pairs, 1 to " +
                     std::to_string(FL_GRANT_PAIRS_MAX) + " may be");
  }
  if (reader.left() != wire->pair_count * sizeof(fl_port_pair)) {
    return malformed("the grant's length and its port pairs disagree");
  }
  for (unsigned i = 0; i < wire->pair_count; ++i) {
    auto pair = *reader.take_struct<fl_port_pair>();
    grant.pairs.push_back({big_endian(pair.a), big_endian(pair.b)});
  }
  if (auto refused = read_grant_head(*wire, grant)) return refused;
  return check_protocol(grant);
}

Refused read_pulse(const fl_pulse& wire, const Grant& grant, Pulse& pulse) {
  if (!all_zero(wire.reserved)) return malformed("a reserved field of the pulse is not zero");
  pulse.sequence = big_endian<std::uint32_t>(wire.sequence);
  pulse.issued_at_ns = big_endian<std::uint64_t>(wire.issued_at);
  pulse.expiry_ns = big_endian<std::uint64_t>(wire.expiry);
  if (pulse.expiry_ns < pulse.issued_at_ns) return malformed("the pulse ends before it begins");
  if (pulse.expiry_ns - pulse.issued_at_ns > kPulseWindowMax) {
    return malformed("the pulse lasts longer than 60 s");
  }
  if (pulse.issued_at_ns < grant.issued_at_ns)
    return malformed("the pulse is older than its grant");
  return {};
}

Error error_of(const char* what, const Refusal& refusal) {
  Code code = refusal.reason == Reason::malformed ? Code::invalid : Code::unsupported;
  return fail(code, what + std::string(name_of(refusal.reason)) + ": " + refusal.detail + "; " +
                        remedy_of(refusal.reason));
}

}  // namespace

Bytes encode(const Grant& grant) {
  fl_grant wire{};
  wire.version = FL_GRANT_VERSION;
  wire.verb = grant.verb;
  wire.protocol = grant.protocol;
  wire.pair_count = static_cast<std::uint8_t>(grant.pairs.size());
  std::copy(grant.run.bytes.begin(), grant.run.bytes.end(), wire.run);
  std::copy(grant.key_id.begin(), grant.key_id.end(), wire.key_id);
  std::copy(grant.run_key.begin(), grant.run_key.end(), wire.run_key);
  wire.issued_at = big_endian(grant.issued_at_ns);
  wire.not_after = big_endian(grant.not_after_ns);
  std::copy(grant.host_a.address.bytes.begin(), grant.host_a.address.bytes.end(), wire.host_a);
  std::copy(grant.host_b.address.bytes.begin(), grant.host_b.address.bytes.end(), wire.host_b);
  wire.prefix_a = grant.host_a.length;
  wire.prefix_b = grant.host_b.length;
  wire.snaplen = big_endian(grant.snaplen);
  wire.sample_n = big_endian(grant.sample_n);
  std::copy(grant.archive.begin(), grant.archive.end(), wire.archive);

  Bytes bytes;
  append_struct(bytes, wire);
  for (const PortPair& pair : grant.pairs) {
    append_struct(bytes, fl_port_pair{big_endian(pair.a), big_endian(pair.b)});
  }
  return bytes;
}

Bytes encode(const Pulse& pulse) {
  fl_pulse wire{};
  wire.sequence = big_endian(pulse.sequence);
  wire.issued_at = big_endian(pulse.issued_at_ns);
  wire.expiry = big_endian(pulse.expiry_ns);
  Bytes bytes;
  append_struct(bytes, wire);
  return bytes;
}

Bytes encode_trigger(ByteView grant, ByteView grant_signature, ByteView pulse,
                     const Signature& pulse_signature) {
  fl_trigger_header head{};
  std::memcpy(head.magic, FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  head.version = FL_TRIGGER_VERSION;
  head.grant_len = big_endian(static_cast<std::uint16_t>(grant.size()));
  head.signature_len = big_endian(static_cast<std::uint16_t>(grant_signature.size()));
  head.signature_type = FL_SIGNATURE_ED25519;
  Bytes bytes;
  append_struct(bytes, head);
  append(bytes, grant);
  append(bytes, grant_signature);
  append(bytes, pulse);
  append(bytes, pulse_signature);
  return bytes;
}

std::variant<Trigger, Refusal> read_trigger(ByteView bytes) {
  ByteReader reader(bytes);
  auto head = reader.take_struct<fl_trigger_header>();
  if (!head) return malformed("the header " + head.error().text());
  if (std::memcmp(head->magic, FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN) != 0) {
    return malformed("does not begin with the trigger's magic");
  }
  if (head->version != FL_TRIGGER_VERSION) {
    return Refusal{Reason::unknown_version, "trigger version " + std::to_string(head->version)};
  }
  if (auto refused = check_header(*head, bytes.size())) return *refused;

  // check_header() proved that the parts are exactly the bytes.
  Trigger trigger;
  trigger.signature_type = head->signature_type;
  ByteView grant = *reader.take(big_endian(head->grant_len));
  ByteView signature = *reader.take(big_endian(head->signature_len));
  ByteView pulse = *reader.take(sizeof(fl_pulse));
  ByteView pulse_signature = *reader.take(FL_PULSE_SIGNATURE_LEN);
  trigger.grant_bytes.assign(grant.begin(), grant.end());
  trigger.grant_signature.assign(signature.begin(), signature.end());
  trigger.pulse_bytes.assign(pulse.begin(), pulse.end());
  std::copy(pulse_signature.begin(), pulse_signature.end(), trigger.pulse_signature.begin());

  if (auto refused = read_grant(grant, trigger.grant)) return *refused;
  auto wire = *ByteReader(pulse).take_struct<fl_pulse>();
  if (auto refused = read_pulse(wire, trigger.grant, trigger.pulse)) return *refused;
  return trigger;
}

Result<Trigger> decode_trigger(ByteView bytes) {
  auto read = read_trigger(bytes);
  if (auto* refusal = std::get_if<Refusal>(&read)) return error_of("trigger ", *refusal);
  return std::get<Trigger>(std::move(read));
}

Result<Grant> decode_grant(ByteView bytes) {
  Grant grant;
  if (auto refused = read_grant(bytes, grant)) return error_of("grant ", *refused);
  return grant;
}

}  // namespace fieldline::sense
