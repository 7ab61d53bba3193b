// SPDX-License-Identifier: Apache-2.0
#include "base/port_totals.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <limits>

#include "proto/flow.h"

namespace fieldline {

namespace {

constexpr std::size_t kAlign = 8;

std::size_t size_of_numbers(std::size_t ports) {
  return (ports * sizeof(__be16) + kAlign - 1) / kAlign * kAlign;
}

std::size_t size_of_period(std::size_t ports) {
  return sizeof(fl_totals_period) + ports * sizeof(fl_port_total);
}

template <class T>
T struct_at(ByteView data, std::size_t offset) {
  T value;
  std::memcpy(&value, data.data() + offset, sizeof value);
  return value;
}

Result<std::vector<std::uint16_t>> take_ports(ByteReader& reader, std::size_t count) {
  auto numbers = reader.take(size_of_numbers(count));
  if (!numbers) return Error(numbers.error()).in("ports of totals");
  std::vector<std::uint16_t> ports;
  for (std::size_t i = 0; i < count; ++i) {
    const auto port = big_endian(struct_at<std::uint16_t>(*numbers, i * sizeof(__be16)));
    if (std::find(ports.begin(), ports.end(), port) != ports.end()) {
      return fail(Code::invalid, "totals name port " + std::to_string(port) + " twice");
    }
    ports.push_back(port);
  }
  return ports;
}

Result<void> check_periods(const TotalsBody& body) {
  for (std::uint32_t i = 0; i < body.periods; ++i) {
    const TotalsPeriod period = body.period(i);
    const std::uint64_t left = std::numeric_limits<std::uint64_t>::max() - period.begin_ns;
    if (period.length_ns == 0 || period.length_ns > left) {
      return fail(Code::invalid, "period " + std::to_string(i + 1) + " of totals has a length of " +
                                     std::to_string(period.length_ns) + " ns");
    }
  }
  return {};
}

}  // namespace

TotalsPeriod TotalsBody::period(std::uint32_t i) const {
  assert(i < periods);
  const auto wire = struct_at<fl_totals_period>(data, i * size_of_period(ports.size()));
  return {big_endian(std::uint64_t{wire.begin_ns}), big_endian(std::uint64_t{wire.length_ns})};
}

PortTotal TotalsBody::total(std::uint32_t i, std::size_t at) const {
  assert(i < periods && at < ports.size());
  const auto wire =
      struct_at<fl_port_total>(data, i * size_of_period(ports.size()) + sizeof(fl_totals_period) +
                                         at * sizeof(fl_port_total));
  return {big_endian(std::uint64_t{wire.packets}), big_endian(std::uint64_t{wire.bytes})};
}

TotalsWriter::TotalsWriter(const RunId& session, const std::vector<std::uint16_t>& ports)
    : ports_(ports.size()) {
  assert(!ports.empty() && ports.size() <= FL_PORTS_MAX);
  fl_totals_head head{};
  head.version = big_endian(std::uint16_t{FL_TOTALS_VERSION});
  head.ports = big_endian(static_cast<std::uint16_t>(ports.size()));
  std::copy(session.bytes.begin(), session.bytes.end(), head.session);
  append_struct(body_, head);
  for (const std::uint16_t port : ports) append_struct(body_, big_endian(port));
  body_.resize(sizeof head + size_of_numbers(ports.size()));
}

void TotalsWriter::add(const TotalsPeriod& period, std::span<const PortTotal> totals) {
  assert(totals.size() == ports_ && period.length_ns != 0);
  append_struct(body_, fl_totals_period{big_endian(period.begin_ns), big_endian(period.length_ns)});
  for (const PortTotal& total : totals)
    append_struct(body_, fl_port_total{big_endian(total.packets), big_endian(total.bytes)});
  ++periods_;
}

ByteView TotalsWriter::end() {
  const __be32 periods = big_endian(periods_);
  std::memcpy(body_.data() + offsetof(fl_totals_head, periods), &periods, sizeof periods);
  return body_;
}

Result<TotalsBody> parse_totals(ByteView bytes) {
  ByteReader reader(bytes);
  auto head = reader.take_struct<fl_totals_head>();
  if (!head) return Error(head.error()).in("head of totals");
  const auto version = big_endian(std::uint16_t{head->version});
  if (version != FL_TOTALS_VERSION) {
    return fail(Code::unsupported, "port totals of version " + std::to_string(version));
  }
  const std::size_t ports = big_endian(std::uint16_t{head->ports});
  if (ports == 0 || ports > FL_PORTS_MAX) {
    return fail(Code::invalid, "totals of " + std::to_string(ports) + " ports");
  }
  TotalsBody body;
  std::copy(std::begin(head->session), std::end(head->session), body.session.bytes.begin());
  auto numbers = take_ports(reader, ports);
  if (!numbers) return numbers.error();
  body.ports = std::move(*numbers);
  body.periods = big_endian(std::uint32_t{head->periods});
  body.data = reader.rest();
  if (body.periods == 0 ||
      std::uint64_t{body.periods} * size_of_period(ports) != std::uint64_t{body.data.size()}) {
    return fail(Code::invalid, std::to_string(body.periods) + " periods of totals in " +
                                   std::to_string(body.data.size()) + " bytes");
  }
  if (auto checked = check_periods(body); !checked) return checked.error();
  return body;
}

}  // namespace fieldline
