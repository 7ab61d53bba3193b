// SPDX-License-Identifier: Apache-2.0
#include "cli/events.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "magnet/fields.h"
#include "magnet/names.h"
#include "proto/frame.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr const char* kSample = "TCP_INFO";
constexpr std::size_t kPiece = 64 << 10;
constexpr const char* kLosses[] = {"lost", "missed", "dropped_spool", "samples_dropped"};

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

using Ports = std::tuple<std::uint16_t, std::uint16_t, std::uint16_t>;  // host, local, peer

std::pair<std::uint16_t, std::uint16_t> ports_of(const magnet_record_ext& record) {
  switch (magnet::layout_of(record.head.event)) {
    case magnet::Layout::open:
      return {record.ext.open.local_port, record.ext.open.peer_port};
    case magnet::Layout::sock:
      return {record.ext.sock.local_port, record.ext.sock.peer_port};
    case magnet::Layout::tcp:
      return {record.ext.tcp.local_port, record.ext.tcp.peer_port};
    case magnet::Layout::packet:
      return {record.ext.packet.local_port, record.ext.packet.peer_port};
    default:
      return {};
  }
}

}  // namespace

Result<EventList> EventList::create(const EventsOptions& options) {
  EventList list;
  list.options_ = options;
  if (options.event.empty()) return list;
  std::string upper = options.event;
  for (char& c : upper)
    c = c == '-' ? '_' : static_cast<char>(::toupper(static_cast<unsigned char>(c)));
  list.records_ = upper != kSample;
  list.samples_ = !list.records_;
  if (!list.records_) return list;
  list.code_ = magnet::event_code(options.event);
  if (list.code_) return list;
  std::string names = kSample;
  for (const auto& event : magnet::event_names()) names += std::string(", ") + event.name;
  return fail(Code::not_found, "--event " + options.event + ": no such event; there are " + names);
}

std::uint16_t EventList::host_of(const RunId& session) {
  auto known = std::find_if(hosts_.begin(), hosts_.end(),
                            [&](const Host& host) { return host.session == session; });
  if (known == hosts_.end()) {
    hosts_.push_back({session, session.brief(), {}, {}, {}});
    known = hosts_.end() - 1;
  }
  return static_cast<std::uint16_t>(known - hosts_.begin());
}

void EventList::take(const pcapng::Report& report) {
  if (report.type != FL_FRAME_EVENT_RECORDS) return take_document(report);
  auto body = parse_events(report.payload);
  if (body) {
    take_events(*body);
  } else {
    ++unreadable_;
  }
}

// Which host a session is, and what it says of its losses.
void EventList::take_document(const pcapng::Report& report) {
  if (report.encoding != FL_ENCODING_JSON) return;
  const json document = json::parse(report.payload.begin(), report.payload.end(), nullptr, false);
  if (!document.is_object() || string_at(document, "role") != "host") return;
  auto session = RunId::parse(string_at(document, "session"));
  if (!session) return;
  Host& host = hosts_[host_of(*session)];
  host.name = printable(string_at(document, "sensor"));
  const json& events = member(document, "events");
  if (!events.is_object()) return;
  host.source = printable(string_at(events, "source"));
  host.absent.clear();
  for (const auto& name : member(events, "absent")) {
    if (name.is_string()) host.absent.push_back(printable(name.get<std::string>()));
  }
  if (report.type != FL_FRAME_FINAL_COUNTS) return;
  for (const char* name : kLosses) host.lost[name] = number_at(events, name);
}

// Of a socket that is asked for, records without a cookie may be its packets: sort() tells.
void EventList::take_events(const EventBody& body) {
  if (body.is_samples() ? !samples_ : !records_) return;
  Line line;
  line.host = host_of(body.session);
  line.cpu = body.cpu;
  line.is_sample = body.is_samples();
  line.has_extension = body.has_extension();
  for (std::uint32_t i = 0; i < body.count; ++i) {
    if (line.is_sample) {
      line.sample = body.sample(i);
    } else {
      line.record = body.record(i);
      if (code_ && !options_.sockid && line.record.head.event != *code_) continue;
    }
    bool may_be_his = !options_.sockid || line.sockid() == *options_.sockid || line.sockid() == 0;
    if (may_be_his) lines_.push_back(line);
  }
}

bool EventList::wants(const Line& line) const {
  if (!options_.host.empty() && hosts_[line.host].name != options_.host) return false;
  return line.is_sample || !code_ || line.record.head.event == *code_;
}

void EventList::sort() {
  if (options_.sockid) {
    std::set<Ports> his;
    for (const Line& line : lines_) {
      if (line.is_sample || !line.has_extension || line.sockid() == 0) continue;
      auto [local, peer] = ports_of(line.record);
      if (local != 0) his.emplace(line.host, local, peer);
    }
    std::erase_if(lines_, [&](const Line& line) {
      if (line.sockid() != 0) return false;
      auto [local, peer] = ports_of(line.record);
      return line.is_sample || !his.contains({line.host, local, peer});
    });
  }
  std::erase_if(lines_, [&](const Line& line) { return !wants(line); });
  std::stable_sort(lines_.begin(), lines_.end(),
                   [](const Line& a, const Line& b) { return a.time() < b.time(); });
}

std::string EventList::head() const {
  if (!options_.json) {
    std::string text;
    for (const Host& host : hosts_) {
      std::string absent;
      for (const auto& name : host.absent) absent += (absent.empty() ? "" : ", ") + name;
      text += fmt::format("# host {}: session {}, by {}{}\n", host.name, host.session.brief(),
                          host.source.empty() ? "?" : host.source,
                          absent.empty() ? "" : ", without " + absent);
    }
    return text + "#sockid\tutc\tcpu\tevent\tsize\n";
  }
  json hosts = json::array();
  for (const Host& host : hosts_) {
    hosts.push_back({{"host", host.name},
                     {"session", host.session.hex()},
                     {"source", host.source},
                     {"absent", host.absent},
                     {"losses", host.lost}});
  }
  return json_text({{"schema", "fieldline.events/1"}, {"hosts", hosts}}, -1) + "\n";
}

std::string EventList::line(std::size_t i) const {
  return options_.json ? json_line(lines_[i]) : text_line(lines_[i]);
}

std::string EventList::text_line(const Line& line) const {
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "{}\t{}\t{}\t", line.sockid(), format_utc(line.time()), line.cpu);
  if (line.is_sample) {
    fmt::format_to(out, "{}\t0", kSample);
    for (const auto& field : kSampleFields)
      fmt::format_to(out, "\t{}={}", field.name, value_of(line.sample, field));
  } else {
    const auto& head = line.record.head;
    fmt::format_to(out, "{}\t{}", magnet::event_name(head.event), std::int32_t{head.size});
    if (line.has_extension) {
      for (const auto& field : magnet::fields_of(magnet::layout_of(head.event)))
        fmt::format_to(out, "\t{}={}", field.name, magnet::text_at(line.record.ext, field));
    }
  }
  fmt::format_to(out, "\thost={}\n", hosts_[line.host].name);
  return text;
}

std::string EventList::json_line(const Line& line) const {
  json document = {{"host", hosts_[line.host].name},
                   {"sockid", line.sockid()},
                   {"utc_ns", line.time()},
                   {"cpu", line.cpu}};
  json fields = json::object();
  if (line.is_sample) {
    document["event"] = kSample;
    for (const auto& field : kSampleFields) fields[field.name] = value_of(line.sample, field);
  } else {
    const auto& head = line.record.head;
    document["event"] = magnet::event_name(head.event);
    document["size"] = std::int32_t{head.size};
    for (const auto& field : magnet::fields_of(magnet::layout_of(head.event))) {
      if (field.kind == magnet::Field::Kind::number) {
        fields[field.name] = magnet::number_at(line.record.ext, field);
      } else {
        fields[field.name] = magnet::text_at(line.record.ext, field);
      }
    }
  }
  if (line.is_sample || line.has_extension) document["ext"] = std::move(fields);
  return json_text(document, -1) + "\n";
}

std::vector<std::string> EventList::missing() const {
  std::vector<std::string> lines;
  for (const Host& host : hosts_) {
    std::string text;
    for (const auto& [name, count] : host.lost) {
      if (count != 0) text += (text.empty() ? "" : ", ") + name + " " + grouped(count);
    }
    if (!text.empty()) lines.push_back("host " + host.name + " did not record everything: " + text);
    if (host.lost.empty() && !host.source.empty())
      lines.push_back("host " + host.name + " gave no counts of this run yet");
  }
  return lines;
}

int events(const EventsOptions& options, const UserSettings& settings) {
  auto list = EventList::create(options);
  if (!list) return complain(list.error(), kUsage);
  pcapng::Reader reader(pcapng::Reader::OnDamage::resynchronise);
  json request = {{"op", "query"}, {"run", options.run}, {"reports", true}, {"packets", false}};
  auto result = ask_archive(settings, request, [&](ByteView piece) {
    reader.feed(piece);
    for (auto block = reader.next(); block && *block; block = reader.next()) {
      if (const auto* report = std::get_if<pcapng::Report>(&**block)) list->take(*report);
    }
    return true;
  });
  if (!result) return complain(result.error());
  list->sort();

  std::string text = list->head();
  for (std::size_t i = 0; i <= list->size(); ++i) {
    bool is_last = i == list->size();
    if (!is_last) text += list->line(i);
    if (text.size() < kPiece && !is_last) continue;
    auto written = write_all(STDOUT_FILENO, text);
    if (!written) return written.error().code == Code::closed ? kOk : complain(written.error());
    text.clear();
  }
  for (const auto& line : list->missing()) note(line);
  if (list->unreadable() > 0) {
    note(grouped(list->unreadable()) + " batches of event records are of a later version; update");
  }
  const std::uint64_t skipped = number_at(*result, "skipped_bytes") + reader.skipped_bytes();
  if (skipped > 0) note(grouped(skipped) + " damaged bytes were stepped over");
  if (skipped > 0 || list->unreadable() > 0) return kPartial;
  if (list->size() > 0) return kOk;
  note("no event records of this run here; a host with [host] in its fieldlined.toml records them");
  return kNoAnswer;
}

}  // namespace fieldline::cli
