// SPDX-License-Identifier: Apache-2.0
#include "cli/event_list.h"

#include <algorithm>
#include <cctype>
#include <queue>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "proto/frame.h"
#include "sense/trust.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr const char* kLosses[] = {"lost", "missed", "dropped_spool", "samples_dropped"};

bool is_samples(const std::string& name) {
  std::string upper = name;
  for (char& c : upper)
    c = c == '-' ? '_' : static_cast<char>(::toupper(static_cast<unsigned char>(c)));
  return upper == kSampleName;
}

template <class Lines>
void make_order(Lines& lines) {
  auto earlier = [](const auto& a, const auto& b) { return a.time() < b.time(); };
  if (!std::is_sorted(lines.begin(), lines.end(), earlier))
    std::stable_sort(lines.begin(), lines.end(), earlier);
}

}  // namespace

Result<EventList> EventList::create(const EventsOptions& options) {
  EventList list;
  list.options_ = options;
  if (!options.since.empty()) {
    if (auto since = list.filter_.since(options.since); !since) return since.error();
  }
  if (!options.until.empty()) {
    if (auto until = list.filter_.until(options.until); !until) return until.error();
  }
  const bool all = options.events.empty();
  list.want_samples_ = all && !options.bp;
  if (all) list.names_.push_back("*");
  for (const auto& name : options.events) {
    if (auto wanted = list.want(name); !wanted) return wanted.error();
  }
  list.want_events_ = !options.bp && (all || list.filter_.names_events());
  return list;
}

// An application names its events as it likes: what has a dot or a star is taken for one of them.
Result<void> EventList::want(const std::string& name) {
  if (is_samples(name)) {
    want_samples_ = !options_.bp;
  } else if (name == kApplicationLayer) {
    names_.push_back("*");
  } else if (name.find_first_of(".*") != std::string::npos) {
    names_.push_back(name);
  } else if (auto added = filter_.add_event(name); !added) {
    return fail(added.error().code, added.error().context + ", " + kSampleName + ", " +
                                        kApplicationLayer + ", or an application's, as gridftp.*");
  }
  return {};
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
  if (report.type == FL_FRAME_APPLICATION_EVENT) return take_application(report.payload);
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

bool EventList::has_room() {
  if (held_ < kMost) {
    ++held_;
    return true;
  }
  ++left_out_;
  return false;
}

// Of a socket that is asked for, records without a cookie may be its packets: settle() tells.
bool EventList::is_asked(const EventLine& line) const {
  if (options_.sockid && line.sockid() != *options_.sockid && line.sockid() != 0) return false;
  if (!filter_.is_relative() && !filter_.passes_time(line.time())) return false;
  return filter_.passes_event(line.record.head.event);
}

void EventList::take_events(const EventBody& body) {
  EventLine line;
  line.host = host_of(body.session);
  line.cpu = body.cpu;
  line.has_extension = body.has_extension();
  auto& stream = events_[{line.host, line.cpu}];
  for (std::uint32_t i = 0; i < body.count; ++i) {
    line.record = body.record(i);
    first_ns_ = std::min(first_ns_, line.time());
    if (!want_events_) continue;
    if (options_.sockid && line.has_extension) join_.learn(line.host, line.record);
    if (is_asked(line) && has_room()) stream.push_back(line);
  }
}

void EventList::take_samples(const EventBody& body) {
  SampleLine line;
  line.host = host_of(body.session);
  auto& stream = samples_[line.host];
  for (std::uint32_t i = 0; i < body.count; ++i) {
    line.sample = body.sample(i);
    first_ns_ = std::min(first_ns_, line.time());
    if (options_.sockid) join_.learn(line.host, line.sample);
    if (!want_samples_ || (options_.sockid && line.sockid() != *options_.sockid)) continue;
    if (!filter_.is_relative() && !filter_.passes_time(line.time())) continue;
    if (has_room()) stream.push_back(line);
  }
}

void EventList::take_application(ByteView body) {
  constexpr std::size_t kMostLosses = 64;
  auto event = parse_application_event(body);
  if (!event) {
    ++unreadable_;
    return;
  }
  first_ns_ = std::min(first_ns_, event->timestamp_ns);
  if (auto loss = loss_of(*event); !loss.empty() && application_losses_.size() < kMostLosses)
    application_losses_.push_back(std::move(loss));
  const bool is_named = std::any_of(names_.begin(), names_.end(), [&](const auto& pattern) {
    return sense::matches_pattern(pattern, event->name);
  });
  if (!is_named || (options_.sockid && event->sockid != *options_.sockid)) return;
  if (!options_.host.empty() && event->host != options_.host) return;
  if (!filter_.is_relative() && !filter_.passes_time(event->timestamp_ns)) return;
  if (has_room()) applications_.push_back({event->timestamp_ns, Bytes(body.begin(), body.end())});
}

bool EventList::is_host(std::uint16_t host) const {
  return options_.host.empty() || hosts_[host].name == options_.host;
}

// Of the asked socket, as far as its cookie, its ports and its sequence tell.
bool EventList::is_his(EventLine& line) const {
  if (!options_.sockid || line.sockid() != 0) return true;
  if (!line.has_extension) return false;
  const auto answer = join_.is_of(*options_.sockid, line.host, line.record);
  line.by_ports = answer == EventJoin::Answer::by_ports;
  return answer != EventJoin::Answer::no;
}

void EventList::settle() {
  filter_.start_at(first_ns_);
  join_.sort();
  for (auto& [stream, lines] : events_) {
    if (!is_host(stream.first)) lines.clear();
    std::erase_if(
        lines, [&](EventLine& line) { return !filter_.passes_time(line.time()) || !is_his(line); });
    make_order(lines);
  }
  for (auto& [host, lines] : samples_) {
    if (!is_host(host)) lines.clear();
    std::erase_if(lines, [&](const SampleLine& line) { return !filter_.passes_time(line.time()); });
    make_order(lines);
  }
  std::erase_if(applications_,
                [&](const ApplicationLine& line) { return !filter_.passes_time(line.time()); });
  make_order(applications_);
}

std::size_t EventList::size() const {
  std::size_t size = applications_.size();
  for (const auto& [stream, lines] : events_) size += lines.size();
  for (const auto& [host, lines] : samples_) size += lines.size();
  return size;
}

std::string EventList::head() const {
  if (options_.bp) return {};
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

std::string EventList::text(const EventLine& line) const {
  const std::string& host = hosts_[line.host].name;
  return options_.json ? json_of(line, host) : text_of(line, host);
}

std::string EventList::text(const SampleLine& line) const {
  const std::string& host = hosts_[line.host].name;
  return options_.json ? json_of(line, host) : text_of(line, host);
}

std::string EventList::text(const ApplicationLine& line) const {
  const ApplicationEvent event = line.event();
  return options_.bp ? bp_of(event) : options_.json ? json_of(event) : text_of(event);
}

// The oldest of what each stream has next; where times are equal, events before samples, and
// applications' last: what they tell of was done by then.
void EventList::print(const std::function<bool(const std::string&)>& to) const {
  struct Next {
    std::uint64_t time;
    std::size_t stream;
    bool operator>(const Next& other) const {
      return std::tie(time, stream) > std::tie(other.time, other.stream);
    }
  };
  struct Stream {
    std::function<std::uint64_t(std::size_t)> time;
    std::function<std::string(std::size_t)> text;
    std::size_t size, at = 0;
  };
  std::vector<Stream> streams;
  auto add = [&](const auto& lines) {
    streams.push_back({[&lines](std::size_t i) { return lines[i].time(); },
                       [this, &lines](std::size_t i) { return text(lines[i]); }, lines.size()});
  };
  for (const auto& [stream, lines] : events_) add(lines);
  for (const auto& [host, lines] : samples_) add(lines);
  add(applications_);
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
  auto push = [&](std::size_t i) {
    if (streams[i].at < streams[i].size) next.push({streams[i].time(streams[i].at), i});
  };
  for (std::size_t i = 0; i < streams.size(); ++i) push(i);
  while (!next.empty()) {
    const std::size_t i = next.top().stream;
    next.pop();
    if (!to(streams[i].text(streams[i].at++))) return;
    push(i);
  }
}

std::vector<std::string> EventList::missing() const {
  std::vector<std::string> lines = application_losses_;
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
