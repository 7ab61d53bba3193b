// SPDX-License-Identifier: Apache-2.0
#include "cli/run_answer.h"

#include <poll.h>

#include <list>

#include "base/clock.h"
#include "cli/analyze.h"
#include "cli/archive_link.h"
#include "cli/board.h"

namespace fieldline::cli {
namespace {

// As ping waits.
constexpr std::uint64_t kFinalWait = 10 * kNanosPerSecond, kFirstAnswerWait = 3 * kNanosPerSecond;

// false: `stop` asks for the end, or nothing more is to be had.
bool wait_for(int events, int stop, std::uint64_t left_ns) {
  pollfd fds[2] = {{events, POLLIN, 0}, {stop, POLLIN, 0}};
  const timespec timeout{static_cast<time_t>(left_ns / kNanosPerSecond),
                         static_cast<long>(left_ns % kNanosPerSecond)};
  const int ready = ::ppoll(fds, 2, &timeout, nullptr);
  return ready > 0 && fds[1].revents == 0;
}

void await_final_counts(WatchQueue& queue, Board& board, std::size_t watched, int stop) {
  const SystemClock clock;
  const std::uint64_t start = clock.monotonic_ns();
  std::size_t finished = 0;
  for (std::uint64_t now = start;; now = clock.monotonic_ns()) {
    for (const auto& event : queue.drain()) {
      finished += event.kind == WatchEvent::Kind::finished;
      board.take(event);
    }
    const bool anybody = !board.activated().empty();
    const std::uint64_t deadline = start + (anybody ? kFinalWait : kFirstAnswerWait);
    if (finished == watched || (anybody && board.all_final()) || now >= deadline) return;
    if (!wait_for(queue.fd(), stop, deadline - now)) return;
  }
}

Result<void> await_sensors(std::vector<RecordedRun>& runs, const UserSettings& settings,
                           const Signer& signer, int stop) {
  auto queue = WatchQueue::create();
  if (!queue) return queue.error();
  Board board;
  std::list<RunWatch> watches;
  for (const auto& run : runs) {
    auto reader = open_archive(settings, signer);
    if (!reader) return reader.error();
    board.add_run(run.run, true);
    watches.emplace_back(std::move(*reader), run.run, **queue, false);
  }
  await_final_counts(**queue, board, watches.size(), stop);
  for (auto& run : runs) {
    for (const auto& [name, state] : board.run(run.run).sensors) {
      if (state.started && !state.final_counts) run.unfinished.push_back(name);
    }
  }
  return {};
}

}  // namespace

void ask_for_answers(std::vector<RecordedRun>& runs, const UserSettings& settings,
                     const Signer& signer, std::uint64_t interval_ns, int stop) {
  if (auto awaited = await_sensors(runs, settings, signer, stop); !awaited) {
    for (auto& run : runs) run.error = awaited.error().text();
    return;
  }
  for (auto& run : runs) {
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
