// SPDX-License-Identifier: Apache-2.0
#include "capture/host_recorder.h"

#include <netinet/in.h>

#include <algorithm>
#include <set>

#include "base/tcp_sample.h"
#include "capture/host_record.h"

namespace fieldline::capture {

namespace {

// A batch is one item: large enough to amortise its head, far below FL_FRAME_MAX.
constexpr std::size_t kBatchBytes = 64 << 10;

DiagSocket opened(const magnet_record_ext& record) {
  const magnet_ext_open& open = record.ext.open;
  DiagSocket socket;
  socket.cookie = record.head.sockid;
  socket.protocol = open.protocol;
  std::copy(std::begin(open.local), std::end(open.local), socket.local.bytes.begin());
  std::copy(std::begin(open.peer), std::end(open.peer), socket.remote.bytes.begin());
  socket.local_port = open.local_port;
  socket.remote_port = open.peer_port;
  socket.is_v6 = open.family == AF_INET6;
  return socket;
}

}  // namespace

void HostRecorder::set_source(fl_event_source source) {
  if (source == source_) return;
  give_up();
  flush();
  source_ = source;
  sockets_.set_by_flow(source == FL_EVENT_EBPF);
}

// What waits goes on waiting: each run's time says what of it may be its own.
void HostRecorder::set_flows(std::vector<HostFlow> flows, std::vector<HostRun> runs) {
  times_.clear();
  for (const HostRun& run : runs) times_[run.run] = run;
  std::set<RunId> active;
  for (const HostFlow& flow : flows) active.insert(flow.runs.begin(), flow.runs.end());
  active_.assign(active.begin(), active.end());
  sockets_.set_flows(std::move(flows));
}

void HostRecorder::on_batch(const magnet::EventSource::Batch& batch) {
  for (const magnet_record_ext& record : batch.records) {
    Waiting one{batch.cpu, batch.has_extension, record};
    if (batch.has_extension) one.tag = take_tag(one.record);
    if (is_elsewhere(one)) {
      ++totals_.others;
      continue;
    }
    if (waiting_.empty() && questions_ == 0 && take(one, false)) continue;
    waiting_.push_back(one);
    ++waited_;
    if (waiting_.size() >= kWaiting) give_up();
  }
}

// Nobody could be asked in time. Whose cookie is known gets its records all the same; each run that
// is on is told how many others there were.
void HostRecorder::give_up() {
  std::map<unsigned, Waiting> marks;  // by CPU, each behind the records of it
  for (const Waiting& one : waiting_) {
    auto at = marks.find(one.cpu);
    if (at != marks.end()) at->second.record.head.timestamp = one.record.head.timestamp;
    if (take(one, false)) continue;
    ++totals_.unjoined;
    if (at == marks.end()) {
      Waiting mark{one.cpu, one.has_extension, {}};
      mark.record.head = {0, one.record.head.timestamp, MAGNET_LOST, 0};
      mark.record.ext.lost.first = one.record.head.timestamp;
      at = marks.emplace(one.cpu, mark).first;
    }
    ++at->second.record.head.size;
  }
  waiting_.clear();
  for (const auto& [cpu, mark] : marks) {
    for (const RunId& run : active_) {
      add(run, mark);
      run_of(run).common.unasked += static_cast<std::uint64_t>(mark.record.head.size);
    }
  }
}

bool HostRecorder::is_on(const RunId& run, std::uint64_t at_ns) const {
  auto at = times_.find(run);
  return at == times_.end() || (at_ns >= at->second.begin_ns && at_ns <= at->second.end_ns);
}

bool HostRecorder::is_counted_alone(const RunId& run) const {
  auto at = times_.find(run);
  return at != times_.end() && at->second.counted_alone;
}

std::uint64_t HostRecorder::ask() {
  ++questions_;
  return waited_;
}

void HostRecorder::settle(std::uint64_t question) {
  --questions_;
  while (!waiting_.empty()) {
    const bool is_answered = waited_ - waiting_.size() < question;
    if (!is_answered && (questions_ > 0 || !take(waiting_.front(), false))) return;
    if (is_answered) take(waiting_.front(), true);
    waiting_.pop_front();
  }
}

bool HostRecorder::is_elsewhere(const Waiting& one) const {
  if (ifindexes_.empty() || !one.has_extension) return false;
  if (one.record.head.event >> 8 != MAGNET_LAYER_DEV) return false;
  const auto ifindex = static_cast<int>(one.record.ext.packet.ifindex);
  return std::find(ifindexes_.begin(), ifindexes_.end(), ifindex) == ifindexes_.end();
}

// False: its cookie must be asked for first.
bool HostRecorder::take(const Waiting& one, bool asked) {
  const std::uint32_t event = one.record.head.event;
  if (event == MAGNET_LOST) {
    // Whose they were nobody knows any more: each run that is on is told.
    for (const RunId& run : active_) {
      if (is_on(run, one.record.head.timestamp)) add(run, one);
    }
    return true;
  }
  if (event == MAGNET_SOCK_OPEN) open(one, asked);
  const auto joined = sockets_.join(one.record, one.has_extension, asked, one.tag);
  switch (joined.verdict) {
    case HostSockets::Verdict::ask:
      return false;
    case HostSockets::Verdict::theirs:
      give(*joined.runs, one);
      break;
    case HostSockets::Verdict::others:
      ++totals_.others;
      break;
    case HostSockets::Verdict::unknown:
      ++totals_.unjoined;
      break;
  }
  if (event == MAGNET_SOCK_CLOSE) sockets_.close(one.record.head.sockid, one.record.head.timestamp);
  return true;
}

void HostRecorder::open(const Waiting& one, bool asked) {
  const std::uint64_t cookie = one.record.head.sockid, at_ns = one.record.head.timestamp;
  if (!one.has_extension) {
    // To whom it does not say. What sock_diag told since then is newer than what stood before.
    if (!asked) sockets_.forget(cookie);
    return;
  }
  const DiagSocket socket = opened(one.record);
  if (source_ == FL_EVENT_EBPF) return sockets_.learn(socket, at_ns);
  if (asked && sockets_.has(socket)) return;
  if (!sockets_.is_of_run(socket)) return sockets_.pass_over(cookie, at_ns);
  auto confirmed = confirm_ ? confirm_(socket) : std::nullopt;
  if (confirmed && confirmed->cookie == cookie) return sockets_.learn(*confirmed, at_ns);
  sockets_.forget(cookie);
}

void HostRecorder::give(const Runs& runs, const Waiting& one) {
  bool taken = false;
  for (const RunId& run : runs) {
    if (!is_on(run, one.record.head.timestamp)) continue;
    taken = true;
    add(run, one);
    if (one.record.head.event == MAGNET_SOCK_OPEN) ++run_of(run).common.sockets;
  }
  ++(taken ? totals_.taken : totals_.others);
}

void HostRecorder::Batch::note(std::uint64_t at_ns) {
  events.from_ns = events.count == 0 ? at_ns : std::min(events.from_ns, at_ns);
  events.until_ns = std::max(events.until_ns, at_ns);
  ++events.count;
}

HostRecorder::Run& HostRecorder::run_of(const RunId& id) {
  return runs_.try_emplace(id, sinks_.size()).first->second;
}

void HostRecorder::add(const RunId& id, const Waiting& one) {
  Run& run = run_of(id);
  if (is_counted_alone(id)) {
    if (one.record.head.event == MAGNET_LOST) return;
    ++run.common.events;
    ++run.common.counted;
    return;
  }
  const auto size =
      static_cast<std::uint16_t>(one.has_extension ? sizeof one.record : sizeof one.record.head);
  auto at = run.batches.find({one.cpu, one.has_extension});
  if (at == run.batches.end()) {
    Batch fresh{EventBodyWriter(source_, size, static_cast<std::uint16_t>(one.cpu), session_), {}};
    at = run.batches.emplace(std::pair{one.cpu, one.has_extension}, std::move(fresh)).first;
  }
  at->second.body.add(view_of(one.record).first(size));
  if (one.record.head.event != MAGNET_LOST) at->second.note(one.record.head.timestamp);
  if (at->second.body.size() < kBatchBytes) return;
  hand_over(id, run, at->second);
  run.batches.erase(at);
}

// MAGNET_LOST records alone are no gap: what they tell was lost before.
void HostRecorder::hand_over(const RunId& id, Run& run, Batch& batch) {
  const ByteView body = batch.body.end();
  run.common.events += batch.events.count;
  for (std::size_t i = 0; i < sinks_.size(); ++i) {
    Copy& copy = run.copies[i];
    const bool taken = sinks_[i](id, body);
    (taken ? copy.recorded : copy.dropped_spool) += batch.events.count;
    if (!taken && batch.events.count > 0) copy.gaps.note(batch.events);
  }
}

void HostRecorder::on_sample(const HostSocket& socket, ByteView info, std::uint64_t utc_ns) {
  const fl_tcp_info sample = tcp_sample(info, socket.socket, utc_ns);
  for (const RunId& id : socket.runs) {
    if (is_counted_alone(id)) continue;
    Run& run = run_of(id);
    if (!run.samples) run.samples = EventBodyWriter(FL_EVENT_TCP_INFO, sizeof sample, 0, session_);
    run.samples->add(view_of(sample));
  }
}

void HostRecorder::flush() {
  for (auto& [id, run] : runs_) flush(id, run);
}

void HostRecorder::flush(const RunId& id, Run& run) {
  for (auto& [where, batch] : run.batches) hand_over(id, run, batch);
  run.batches.clear();
  if (!run.samples) return;
  const std::uint32_t samples = run.samples->count();
  const ByteView body = run.samples->end();
  for (std::size_t i = 0; i < sinks_.size(); ++i) {
    const bool taken = sinks_[i](id, body);
    (taken ? run.copies[i].samples : run.copies[i].samples_dropped) += samples;
  }
  run.samples.reset();
}

void HostRecorder::begin_session(const RunId& session) {
  session_ = session;
  for (auto& [id, run] : runs_) run = Run(sinks_.size());
}

HostCounts HostRecorder::counts(const RunId& run, std::size_t copy) const {
  auto found = runs_.find(run);
  if (found == runs_.end()) return {};
  const Copy& own = found->second.copies.at(copy);
  HostCounts counts = found->second.common;
  counts.recorded = own.recorded;
  counts.dropped_spool = own.dropped_spool;
  counts.samples = own.samples;
  counts.samples_dropped = own.samples_dropped;
  return counts;
}

const std::vector<Gap>& HostRecorder::gaps(const RunId& run, std::size_t copy) const {
  static const Gaps none;
  auto found = runs_.find(run);
  return (found == runs_.end() ? none : found->second.copies.at(copy).gaps).list();
}

void HostRecorder::forget(const RunId& run) {
  runs_.erase(run);
}

}  // namespace fieldline::capture
