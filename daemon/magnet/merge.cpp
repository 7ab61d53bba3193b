// SPDX-License-Identifier: Apache-2.0
#include "magnet/merge.h"

#include <algorithm>
#include <utility>

namespace fieldline::magnet {

Result<TraceEvents> TraceEvents::open(std::unique_ptr<File> file) {
  auto reader = TraceReader::open(std::move(file));
  if (!reader) return reader.error();
  return TraceEvents(std::move(*reader));
}

TraceEvents::Stream& TraceEvents::stream_of(unsigned cpu) {
  for (auto& stream : streams_) {
    if (stream.cpu == cpu) return stream;
  }
  streams_.push_back({cpu, {}, {}});
  return streams_.back();
}

// The records before round r began are in rounds up to r: a ring that was looked at early in
// round r-1 may still get one from before its clock pair.
void TraceEvents::begin_round(const Batch& batch) {
  if (begun_ && batch.round == round_) return;
  settled_ = std::max(settled_, round_before_began_);
  round_before_began_ = round_began_;
  round_began_ = {life_, batch.pair.cycles};
  round_ = batch.round;
  begun_ = true;
}

void TraceEvents::begin_life() {
  ++life_;
  former_ = std::exchange(timeline_, Timeline(reader_.header().cycles_khz));
  for (auto& stream : streams_) stream.last = {};
}

// A ring may still have records of the counters' life before: they stand far behind its clock pair.
TraceEvents::Held TraceEvents::hold(const Batch& batch, std::size_t index) const {
  Event event;
  event.record = batch.record(index);
  event.cpu = batch.cpu;
  event.has_extension = batch.record_size == sizeof(magnet_record_ext);
  const std::uint64_t cycles = event.record.head.timestamp;
  const std::uint64_t second = reader_.header().cycles_khz * std::uint64_t{1000};
  const bool former =
      life_ != 0 && cycles > batch.pair.cycles && cycles - batch.pair.cycles > second;
  event.when = (former ? former_ : timeline_).at(batch.cpu, cycles);
  return {{former ? life_ - 1 : life_, cycles}, event};
}

void TraceEvents::take(const Batch& batch) {
  auto& stream = stream_of(batch.cpu);
  if (batch.pair.cycles < stream.last.cycles && batch.pair.tai_ns > stream.last.tai_ns)
    begin_life();
  stream.last = batch.pair;
  begin_round(batch);
  timeline_.add(batch.cpu, batch.pair);
  auto& events = stream.events;
  for (std::size_t i = 0; i < batch.count(); ++i) {
    const Held held = hold(batch, i);
    // SYSINFO stands first for each reader; what its forerunner left unread is older.
    const bool behind = !events.empty() &&
                        events.back().event.record.head.event == MAGNET_SYSINFO &&
                        held.at < events.back().at;
    events.insert(behind ? std::prev(events.end()) : events.end(), held);
  }
  held_ += batch.count();
}

TraceEvents::Stream* TraceEvents::earliest() {
  Stream* first = nullptr;
  for (auto& stream : streams_) {
    if (stream.events.empty()) continue;
    if (first == nullptr || stream.events.front().at < first->events.front().at) first = &stream;
  }
  return first;
}

Result<std::optional<Event>> TraceEvents::next() {
  for (;;) {
    Stream* first = earliest();
    const bool ready =
        first != nullptr && (ended_ || held_ > kMostHeld || first->events.front().at <= settled_);
    if (ready) {
      const auto [at, event] = first->events.front();
      first->events.pop_front();
      --held_;
      if (at < last_given_) ++late_;
      last_given_ = std::max(last_given_, at);
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
