// SPDX-License-Identifier: Apache-2.0
#include "cli/event_list.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "magnet/names.h"
#include "proto/frame.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr const char* kLosses[] = {"lost", "missed", "dropped_spool", "samples_dropped"};

template <typename A, typename B>
bool is_earlier(const A& a, const B& b) {
  return a.time() < b.time();
}

}  // namespace

Result<EventList> EventList::create(const EventsOptions& options) {
  EventList list;
  list.options_ = options;
  if (options.event.empty()) return list;
  std::string upper = options.event;
  for (char& c : upper)
    c = c == '-' ? '_' : static_cast<char>(::toupper(static_cast<unsigned char>(c)));
  list.want_events_ = upper != kSampleName;
  list.want_samples_ = !list.want_events_;
  if (!list.want_events_) return list;
  list.code_ = magnet::event_code(options.event);
  if (list.code_) return list;
  std::string names = kSampleName;
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
    body->is_samples() ? take_samples(*body) : take_events(*body);
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
  if (!want_events_) return;
  EventLine line;
  line.host = host_of(body.session);
  line.cpu = body.cpu;
  line.has_extension = body.has_extension();
  for (std::uint32_t i = 0; i < body.count; ++i) {
    line.record = body.record(i);
    if (options_.sockid) {
      if (line.has_extension) join_.learn(line.host, line.record);
      const bool may_be_his = line.sockid() == *options_.sockid || line.sockid() == 0;
      if (!may_be_his) continue;
    }
    if (!code_ || line.record.head.event == *code_) events_.push_back(line);
  }
}

void EventList::take_samples(const EventBody& body) {
  SampleLine line;
  line.host = host_of(body.session);
  for (std::uint32_t i = 0; i < body.count; ++i) {
    line.sample = body.sample(i);
    if (options_.sockid) join_.learn(line.host, line.sample);
    const bool is_his = !options_.sockid || line.sockid() == *options_.sockid;
    if (want_samples_ && is_his) samples_.push_back(line);
  }
}

bool EventList::is_host(std::uint16_t host) const {
  return options_.host.empty() || hosts_[host].name == options_.host;
}

// Of the records without a cookie, those that are not the asked socket's.
void EventList::leave_others() {
  join_.sort();
  std::erase_if(events_, [&](EventLine& line) {
    if (line.sockid() != 0) return false;
    if (!line.has_extension) return true;
    const auto answer = join_.is_of(*options_.sockid, line.host, line.record);
    line.by_ports = answer == EventJoin::Answer::by_ports;
    return answer == EventJoin::Answer::no;
  });
}

void EventList::sort() {
  std::erase_if(events_, [&](const EventLine& line) { return !is_host(line.host); });
  std::erase_if(samples_, [&](const SampleLine& line) { return !is_host(line.host); });
  if (options_.sockid) leave_others();
  std::stable_sort(events_.begin(), events_.end(), is_earlier<EventLine, EventLine>);
  std::stable_sort(samples_.begin(), samples_.end(), is_earlier<SampleLine, SampleLine>);
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

void EventList::print(const std::function<bool(const std::string&)>& to) const {
  auto text = [&](const auto& line) {
    const std::string& host = hosts_[line.host].name;
    return options_.json ? json_of(line, host) : text_of(line, host);
  };
  auto sample = samples_.begin();
  for (const EventLine& event : events_) {
    for (; sample != samples_.end() && is_earlier(*sample, event); ++sample)
      if (!to(text(*sample))) return;
    if (!to(text(event))) return;
  }
  for (; sample != samples_.end(); ++sample)
    if (!to(text(*sample))) return;
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

}  // namespace fieldline::cli
