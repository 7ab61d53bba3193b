// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cli/magnet/event_sink.h"
#include "cli/magnet/field_text.h"
#include "magnet/fields.h"
#include "magnet/names.h"

namespace fieldline::cli {

namespace {

using Kind = magnet::Field::Kind;

void append_name(std::string& out, std::uint32_t code) {
  const char* name = magnet::find_event_name(code);
  if (name != nullptr) {
    out += name;
  } else {
    out += magnet::event_name(code);
  }
}

bool one_host(const TraceSet& set) {
  return std::all_of(set.traces.begin(), set.traces.end(), [&](const TraceInfo& trace) {
    return trace.header.host == set.traces.front().header.host;
  });
}

}  // namespace

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void append_extension_json(std::string& out, const magnet::Event& event) {
  const char* comma = "";
  for (const auto& field : magnet::fields_of(magnet::layout_of(event.record.head.event))) {
    if (field.kind == Kind::number) {
      fmt::format_to(std::back_inserter(out), "{}\"{}\":{}", comma, field.name,
                     magnet::number_at(event.record.ext, field));
    } else {
      fmt::format_to(std::back_inserter(out), "{}\"{}\":\"{}\"", comma, field.name,
                     magnet::text_at(event.record.ext, field));
    }
    comma = ",";
  }
}

Result<void> TextSink::begin(const TraceSet& set) {
  start_ = set.start_utc_ns;
  std::string head;
  for (const auto& trace : set.traces) {
    head +=
        trace.header.blank()
            ? fmt::format("# {}: blank, magnet-read has not written to it\n", printable(trace.file))
            : fmt::format("# {}: host {}, boot {}, {} kHz\n", printable(trace.file),
                          printable(trace.header.host), magnet::boot_text(trace.header.boot_id),
                          trace.header.cycles_khz);
    if (!one_host(set)) hosts_.push_back(printable(trace.header.host));
  }
  constexpr const char* kColumns[] = {"cycles", "seconds", "utc"};
  head += fmt::format("# time 0 is {}\n#sockid\t{}\tcpu\tevent\tsize\n", format_utc(start_),
                      kColumns[static_cast<int>(time_)]);
  return output_.write(head);
}

void TextSink::append_time(std::string& line, const magnet::Event& event) {
  const auto out = std::back_inserter(line);
  const std::uint64_t utc = event.when.utc_ns;
  if (time_ == TimeColumn::cycles) {
    fmt::format_to(out, "{}", event.record.head.timestamp);
  } else if (time_ == TimeColumn::seconds) {
    const std::uint64_t ns = utc >= start_ ? utc - start_ : start_ - utc;
    fmt::format_to(out, "{}{}.{:09}", utc >= start_ ? "" : "-", ns / kNanosPerSecond,
                   ns % kNanosPerSecond);
  } else {
    if (utc / kNanosPerSecond != second_) {
      second_ = utc / kNanosPerSecond;
      second_text_ = format_utc(second_ * kNanosPerSecond).substr(0, 20);  // up to the point
    }
    fmt::format_to(out, "{}{:09}Z", second_text_, utc % kNanosPerSecond);
  }
}

Result<void> TextSink::event(const magnet::Event& event) {
  std::string line;
  const auto out = std::back_inserter(line);
  fmt::format_to(out, "{}\t", event.record.head.sockid);
  append_time(line, event);
  fmt::format_to(out, "\t{}\t", event.cpu);
  append_name(line, event.record.head.event);
  fmt::format_to(out, "\t{}", event.record.head.size);
  if (event.has_extension) {
    for (const auto& field : magnet::fields_of(magnet::layout_of(event.record.head.event)))
      fmt::format_to(out, "\t{}={}", field.name, field_text(event.record.ext, field));
  }
  if (!hosts_.empty()) fmt::format_to(out, "\thost={}", hosts_[event.trace]);
  line += '\n';
  return output_.write(line);
}

Result<void> TextSink::end() {
  return output_.flush();
}

Result<void> JsonSink::begin(const TraceSet& set) {
  nlohmann::json traces = nlohmann::json::array();
  for (const auto& trace : set.traces) {
    const auto& header = trace.header;
    traces.push_back({{"file", trace.file},
                      {"host", header.host},
                      {"boot", magnet::boot_text(header.boot_id)},
                      {"cycles_khz", header.cycles_khz},
                      {"record_size", header.record_size},
                      {"layers", header.layers},
                      {"started_ns", header.started_ns}});
  }
  const nlohmann::json document = {{"schema", "fieldline.magnet-parse/1"},
                                   {"start_ns", set.start_utc_ns},
                                   {"traces", std::move(traces)}};
  return output_.write(document.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) +
                       "\n");
}

Result<void> JsonSink::event(const magnet::Event& event) {
  const auto& head = event.record.head;
  std::string line;
  fmt::format_to(std::back_inserter(line),
                 "{{\"sockid\":{},\"utc_ns\":{},\"cycles\":{},\"cpu\":{},\"trace\":{},\"event\":\"",
                 head.sockid, event.when.utc_ns, head.timestamp, event.cpu, event.trace);
  append_name(line, head.event);
  fmt::format_to(std::back_inserter(line), "\",\"size\":{}", head.size);
  if (event.has_extension) {
    line += ",\"ext\":{";
    append_extension_json(line, event);
    line += '}';
  }
  line += "}\n";
  return output_.write(line);
}

Result<void> JsonSink::end() {
  return output_.flush();
}

}  // namespace fieldline::cli
