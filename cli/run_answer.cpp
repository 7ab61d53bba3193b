// SPDX-License-Identifier: Apache-2.0
#include "cli/run_answer.h"

#include <poll.h>

#include <algorithm>
#include <list>

#include "base/clock.h"
#include "cli/analyze.h"
#include "cli/archive_link.h"
#include "cli/board.h"

namespace fieldline::cli {
namespace {

// As ping waits.
constexpr std::uint64_t kFinalWait = 10 * kNanosPerSecond, kFirstAnswerWait = 3 * kNanosPerSecond;
// One sensor's reports may all be here before the first of another's: only when nothing has come
// for so long are those that are known all there are.
constexpr std::uint64_t kSettled = kNanosPerSecond / 2;

// false: `stop` asks for the end, or nothing more is to be had.
bool wait_for(int events, int stop, std::uint64_t left_ns) {
  pollfd fds[2] = {{events, POLLIN, 0}, {stop, POLLIN, 0}};
  const timespec timeout{static_cast<time_t>(left_ns / kNanosPerSecond),
                         static_cast<long>(left_ns % kNanosPerSecond)};
  const int ready = ::ppoll(fds, 2, &timeout, nullptr);
  return ready > 0 && fds[1].revents == 0;
}

void await_final_counts(WatchQueue& queue, Board& board, SprayBoard& spray, std::size_t watched,
                        int stop) {
  const SystemClock clock;
  const std::uint64_t start = clock.monotonic_ns();
  std::uint64_t heard = start;
  std::size_t finished = 0;
  for (std::uint64_t now = start;; now = clock.monotonic_ns()) {
    for (const auto& event : queue.drain()) {
      heard = now;
      finished += event.kind == WatchEvent::Kind::finished;
      board.take(event);
      spray.take(event);
    }
    const bool anybody = !board.activated().empty();
    std::uint64_t deadline = start + (anybody ? kFinalWait : kFirstAnswerWait);
    if (anybody && board.all_final()) deadline = std::min(deadline, heard + kSettled);
    if (finished == watched || now >= deadline) return;
    if (!wait_for(queue.fd(), stop, deadline - now)) return;
  }
}

Result<void> await_sensors(RunRecord& record, const UserSettings& settings, const Signer& signer,
                           int stop) {
  auto queue = WatchQueue::create();
  if (!queue) return queue.error();
  Board board;
  SprayBoard spray;
  std::list<RunWatch> watches;
  for (const auto& run : record.runs) {
    auto reader = open_archive(settings, signer);
    if (!reader) return reader.error();
    board.add_run(run.run, true);
    watches.emplace_back(std::move(*reader), run.run, **queue, false);
  }
  await_final_counts(**queue, board, spray, watches.size(), stop);
  if (record.terms.spray > 1) record.spray = spray.rows();
  for (auto& run : record.runs) {
    for (const auto& [name, state] : board.run(run.run).sensors) {
      if (state.started && !state.final_counts) run.unfinished.push_back(name);
    }
  }
  return {};
}

}  // namespace

void ask_for_answers(RunRecord& record, const UserSettings& settings, const Signer& signer,
                     std::uint64_t interval_ns, int stop) {
  if (auto awaited = await_sensors(record, settings, signer, stop); !awaited) {
    for (auto& run : record.runs) run.error = awaited.error().text();
    return;
  }
  for (auto& run : record.runs) {
    AnalyzeOptions options;
    options.what = {run.run.hex()};
    options.events = true;
    options.limits.interval_ns = interval_ns;
    auto analyzer = analyze(options, settings);
    if (analyzer) {
      run.report = analysis::judge_waiting((*analyzer)->report());
    } else {
      run.error = "the archive holds nothing of it: no sensor that trusts this key was on its path";
    }
  }
}

}  // namespace fieldline::cli
