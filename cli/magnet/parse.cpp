// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/parse.h"

#include <memory>

#include <fmt/format.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/magnet/chrome.h"
#include "cli/magnet/ctf.h"

namespace fieldline::cli {

namespace {

constexpr const char* kTool = "magnet-parse";

using Sinks = std::vector<std::unique_ptr<EventSink>>;

Result<Sinks> make_sinks(const ParseOptions& options, Output& output) {
  Sinks sinks;
  if (!options.ctf.empty()) sinks.push_back(std::make_unique<CtfSink>(options.ctf));
  if (!options.chrome.empty()) {
    auto chrome = ChromeSink::create(options.chrome);
    if (!chrome) return chrome.error();
    sinks.push_back(std::make_unique<ChromeSink>(std::move(*chrome)));
  }
  if (options.json) sinks.push_back(std::make_unique<JsonSink>(output));
  if (sinks.empty()) sinks.push_back(std::make_unique<TextSink>(output, options.time));
  return sinks;
}

Result<std::vector<magnet::TraceEvents>> open_traces(const ParseOptions& options) {
  std::vector<magnet::TraceEvents> traces;
  for (const auto& path : options.files) {
    auto file = system_files().open(path, FileSystem::Mode::read);
    if (!file) return file.error();
    auto trace = magnet::TraceEvents::open(std::move(*file));
    if (!trace) return std::move(trace.error()).in(path);
    traces.push_back(std::move(*trace));
  }
  return traces;
}

TraceSet describe(const ParseOptions& options, const magnet::MergedEvents& events,
                  std::uint64_t start) {
  TraceSet set;
  set.start_utc_ns = start;
  for (std::size_t i = 0; i < options.files.size(); ++i)
    set.traces.push_back({options.files[i], events.traces()[i].reader().header()});
  return set;
}

Result<void> pump(ParseOptions& options, magnet::MergedEvents& events, Sinks& sinks) {
  auto event = events.next();
  if (!event) return event.error();
  const std::uint64_t start = *event ? (*event)->when.utc_ns : 0;
  options.filter.start_at(start);
  const TraceSet set = describe(options, events, start);
  for (auto& sink : sinks) {
    if (auto begun = sink->begin(set); !begun) return begun.error();
  }
  while (event && *event && !options.filter.over(**event)) {
    for (auto& sink : sinks) {
      if (!options.filter.passes(**event)) break;
      if (auto put = sink->event(**event); !put) return put.error();
    }
    event = events.next();
  }
  // What came before a read that failed is whole.
  for (auto& sink : sinks) {
    if (auto ended = sink->end(); !ended) return ended.error();
    if (const std::string remark = sink->remark(); !remark.empty()) say(kTool, remark);
  }
  if (!event) return event.error();
  return {};
}

// True if something was not sound.
bool report(const ParseOptions& options, const magnet::MergedEvents& events) {
  bool damaged = false;
  for (std::size_t i = 0; i < options.files.size(); ++i) {
    const auto& trace = events.traces()[i];
    const auto& reader = trace.reader();
    for (const auto& damage : reader.damage()) {
      say(kTool, fmt::format("{}: offset {}: {} bytes: {}", options.files[i], damage.offset,
                             damage.bytes, damage.what));
    }
    if (reader.damages() > reader.damage().size()) {
      say(kTool, fmt::format("{}: {} damaged places in all, {} bytes", options.files[i],
                             grouped(reader.damages()), grouped(reader.damaged_bytes())));
    }
    if (reader.missing_batches() != 0)
      say(kTool, fmt::format("{}: {} batches are missing", options.files[i],
                             grouped(reader.missing_batches())));
    if (trace.out_of_order() != 0)
      say(kTool, fmt::format("{}: {} events stand after later ones: the clock went back",
                             options.files[i], grouped(trace.out_of_order())));
    damaged = damaged || reader.damages() != 0 || reader.missing_batches() != 0;
  }
  return damaged;
}

}  // namespace

int parse(ParseOptions& options, int output) {
  Output out(output);
  auto traces = open_traces(options);
  if (!traces) return fail_tool(kTool, traces.error());
  auto sinks = make_sinks(options, out);
  if (!sinks) return fail_tool(kTool, sinks.error());
  magnet::MergedEvents events(std::move(*traces));
  auto done = pump(options, events, *sinks);
  if (!done && done.error().code == Code::closed) return kOk;
  const bool damaged = report(options, events);
  if (!done) return fail_tool(kTool, done.error());
  return damaged ? kPartial : kOk;
}

}  // namespace fieldline::cli
