// SPDX-License-Identifier: Apache-2.0
#include "magnet/merge.h"

#include <algorithm>
#include <limits>

namespace fieldline::magnet {

namespace {

std::uint64_t cycles_of(const Event& event) {
  return event.record.head.timestamp;
}

}  // namespace

Result<TraceEvents> TraceEvents::open(std::unique_ptr<File> file) {
  auto reader = TraceReader::open(std::move(file));
  if (!reader) return reader.error();
  return TraceEvents(std::move(*reader));
}

TraceEvents::Stream& TraceEvents::stream_of(unsigned cpu) {
  for (auto& stream : streams_) {
    if (stream.cpu == cpu) return stream;
  }
  streams_.push_back({cpu, {}});
  return streams_.back();
}

// The records before round r began are in rounds up to r: a ring that was looked at early in
// round r-1 may still get one from before its clock pair.
void TraceEvents::begin_round(const Batch& batch) {
  if (begun_ && batch.round == round_) return;
  settled_ = std::max(settled_, round_before_began_);
  round_before_began_ = round_began_;
  round_began_ = batch.pair.cycles;
  round_ = batch.round;
  begun_ = true;
}

void TraceEvents::take(const Batch& batch) {
  begin_round(batch);
  timeline_.add(batch.cpu, batch.pair);
  auto& events = stream_of(batch.cpu).events;
  for (std::size_t i = 0; i < batch.count(); ++i) {
    Event event;
    event.record = batch.record(i);
    event.cpu = batch.cpu;
    event.has_extension = batch.record_size == sizeof(magnet_record_ext);
    event.when = timeline_.at(batch.cpu, cycles_of(event));
    // SYSINFO stands first for each reader; what its forerunner left unread is older.
    const bool behind = !events.empty() && events.back().record.head.event == MAGNET_SYSINFO &&
                        cycles_of(event) < cycles_of(events.back());
    events.insert(behind ? std::prev(events.end()) : events.end(), event);
  }
  held_ += batch.count();
}

TraceEvents::Stream* TraceEvents::earliest() {
  Stream* first = nullptr;
  for (auto& stream : streams_) {
    if (stream.events.empty()) continue;
    if (first == nullptr || cycles_of(stream.events.front()) < cycles_of(first->events.front()))
      first = &stream;
  }
  return first;
}

Result<std::optional<Event>> TraceEvents::next() {
  for (;;) {
    Stream* first = earliest();
    const bool ready = first != nullptr && (ended_ || held_ > kMostHeld ||
                                            cycles_of(first->events.front()) <= settled_);
    if (ready) {
      Event event = first->events.front();
      first->events.pop_front();
      --held_;
      if (cycles_of(event) < last_given_) ++late_;
      last_given_ = std::max(last_given_, cycles_of(event));
      return std::optional<Event>(event);
    }
    if (ended_) return std::optional<Event>();
    auto batch = reader_.next();
    if (!batch) return batch.error();
    if (*batch) {
      take(**batch);
    } else {
      ended_ = true;
    }
  }
}

MergedEvents::MergedEvents(std::vector<TraceEvents> traces)
    : traces_(std::move(traces)), heads_(traces_.size()) {}

Result<std::optional<Event>> MergedEvents::next() {
  for (std::size_t i = 0; !primed_ && i < traces_.size(); ++i) {
    auto head = traces_[i].next();
    if (!head) return head.error();
    heads_[i] = *head;
  }
  primed_ = true;
  std::size_t first = traces_.size();
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    if (heads_[i] &&
        (first == traces_.size() || heads_[i]->when.utc_ns < heads_[first]->when.utc_ns))
      first = i;
  }
  if (first == traces_.size()) return std::optional<Event>();
  std::optional<Event> event = heads_[first];
  event->trace = first;
  auto following = traces_[first].next();
  if (!following) return following.error();
  heads_[first] = *following;
  return event;
}

}  // namespace fieldline::magnet
