// SPDX-License-Identifier: Apache-2.0
#include "cli/event_line.h"

#include <cstddef>
#include <cstring>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cli/magnet/field_text.h"
#include "cli/text.h"
#include "magnet/fields.h"
#include "magnet/names.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

struct SampleField {
  const char* name;
  std::size_t offset, size;
};
#define FIELD(member)                                                   \
  SampleField {                                                         \
#member, offsetof(fl_tcp_info, member), sizeof(fl_tcp_info::member) \
  }
constexpr SampleField kSampleFields[] = {FIELD(state),
                                         FIELD(ca_state),
                                         FIELD(local_port),
                                         FIELD(peer_port),
                                         FIELD(rtt_us),
                                         FIELD(rttvar_us),
                                         FIELD(min_rtt_us),
                                         FIELD(cwnd),
                                         FIELD(ssthresh),
                                         FIELD(snd_wnd),
                                         FIELD(unacked),
                                         FIELD(lost),
                                         FIELD(retrans),
                                         FIELD(total_retrans),
                                         FIELD(notsent),
                                         FIELD(mss),
                                         FIELD(bytes_acked),
                                         FIELD(bytes_sent),
                                         FIELD(bytes_retrans),
                                         FIELD(bytes_received),
                                         FIELD(delivery_rate),
                                         FIELD(pacing_rate),
                                         FIELD(busy_us),
                                         FIELD(rwnd_limited_us),
                                         FIELD(sndbuf_limited_us)};
#undef FIELD

std::uint64_t value_of(const fl_tcp_info& sample, const SampleField& field) {
  std::uint64_t value = 0;  // little-endian, as the record is
  std::memcpy(&value, reinterpret_cast<const char*>(&sample) + field.offset, field.size);
  return value;
}

json document_of(const std::string& host, std::uint64_t sockid, std::uint64_t time, unsigned cpu,
                 const char* event) {
  return {{"host", host}, {"sockid", sockid}, {"utc_ns", time}, {"cpu", cpu}, {"event", event}};
}

}  // namespace

std::string text_of(const EventLine& line, const std::string& host) {
  std::string text;
  const auto out = std::back_inserter(text);
  const auto& head = line.record.head;
  fmt::format_to(out, "{}\t{}\t{}\t{}\t{}", line.sockid(), format_utc(line.time()), line.cpu,
                 magnet::event_name(head.event), std::int32_t{head.size});
  if (line.has_extension) {
    for (const auto& field : magnet::fields_of(magnet::layout_of(head.event)))
      fmt::format_to(out, "\t{}={}", field.name, field_text(line.record.ext, field));
  }
  fmt::format_to(out, "{}\thost={}\n", line.by_ports ? "\tjoin=ports" : "", host);
  return text;
}

std::string text_of(const SampleLine& line, const std::string& host) {
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "{}\t{}\t0\t{}\t0", line.sockid(), format_utc(line.time()), kSampleName);
  for (const auto& field : kSampleFields) {
    const std::uint64_t value = value_of(line.sample, field);
    const bool is_ca_state = field.offset == offsetof(fl_tcp_info, ca_state);
    fmt::format_to(out, "\t{}={}", field.name,
                   is_ca_state ? ca_state_text(value) : std::to_string(value));
  }
  fmt::format_to(out, "\thost={}\n", host);
  return text;
}

std::string json_of(const EventLine& line, const std::string& host) {
  const auto& head = line.record.head;
  json document = document_of(host, line.sockid(), line.time(), line.cpu, "");
  document["event"] = magnet::event_name(head.event);
  document["size"] = std::int32_t{head.size};
  if (line.by_ports) document["join"] = "ports";
  if (!line.has_extension) return json_text(document, -1) + "\n";
  json fields = json::object();
  for (const auto& field : magnet::fields_of(magnet::layout_of(head.event))) {
    if (field.kind == magnet::Field::Kind::number) {
      fields[field.name] = magnet::number_at(line.record.ext, field);
    } else {
      fields[field.name] = magnet::text_at(line.record.ext, field);
    }
  }
  document["ext"] = std::move(fields);
  return json_text(document, -1) + "\n";
}

std::string json_of(const SampleLine& line, const std::string& host) {
  json document = document_of(host, line.sockid(), line.time(), 0, kSampleName);
  json fields = json::object();
  for (const auto& field : kSampleFields) fields[field.name] = value_of(line.sample, field);
  document["ext"] = std::move(fields);
  return json_text(document, -1) + "\n";
}

}  // namespace fieldline::cli
