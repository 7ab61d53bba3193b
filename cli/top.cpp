// SPDX-License-Identifier: Apache-2.0
#include "cli/top.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/live_table.h"
#include "cli/run_life.h"
#include "cli/run_watch.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "cli/top_view.h"
#include "proto/frame.h"

namespace fieldline::cli {
namespace {

// Where views go: drawn over each other on a terminal, else one below the other.
class TopOutput {
 public:
  explicit TopOutput(bool json) : json_(json), drawn_(!json && is_terminal(STDOUT_FILENO)) {}

  Result<void> put(const TopView& view) {
    if (json_) return write_all(STDOUT_FILENO, json_text(to_json(view), -1) + "\n");
    std::string text = to_table(view);
    if (view.ended) {
      for (const auto& line : view.report.incomplete)
        text += "incomplete: " + printable(line) + "\n";
    } else if (drawn_) {
      return screen_.draw(text);
    }
    return write_all(STDOUT_FILENO, drawn_ ? screen_.erased() + text : text);
  }

 private:
  bool json_, drawn_;
  LiveScreen screen_{STDOUT_FILENO};
};

// An output that nobody reads any more is no failure.
int outcome(const Result<void>& written) {
  return written || written.error().code == Code::closed ? kOk : complain(written.error());
}

bool is_over(const analysis::PathReport& report) {
  for (const auto* direction : {&report.forward, &report.reverse}) {
    for (const auto& point : direction->points) {
      if (!point.final_counts) return false;
    }
  }
  return true;
}

int show_once(const TopOptions& options, const Result<UserSettings>& settings) {
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  auto report = (*analyzer)->report();
  const bool over = of_files(options.input) || is_over(report);
  return outcome(TopOutput(options.json).put(TopPacer().view(std::move(report), 0, over)));
}

// A run that is on, until it is over, nothing comes of it any more, or a signal.
class Follow {
 public:
  Follow(const TopOptions& options, RunWatch& watch, WatchQueue& queue, const Fd& signals)
      : options_(options),
        watch_(watch),
        queue_(queue),
        signals_(signals),
        output_(options.json),
        begun_ns_(clock_.monotonic_ns()) {}

  int run();

 private:
  enum class Wake { time, end, silence, signal };
  // time: it has come, or others are silent than the last view says.
  // end: nothing more will come, and error_ says why if not in order.
  Wake wait_until(std::uint64_t until_ns);
  bool take_events();
  TopView view(TopPacer& pacer, std::uint64_t interval_ns, bool over);

  const TopOptions& options_;
  RunWatch& watch_;
  WatchQueue& queue_;
  const Fd& signals_;
  const SystemClock clock_;
  TopOutput output_;
  const std::uint64_t begun_ns_;
  RunLife life_;
  std::vector<std::string> shown_silent_;
  std::optional<Error> error_;
};

// false: the answer has ended.
bool Follow::take_events() {
  for (WatchEvent& event : queue_.drain()) {
    if (event.kind == WatchEvent::Kind::finished) {
      error_ = std::move(event.error);
      return false;
    }
    if (event.kind == WatchEvent::Kind::activation)
      life_.take(FL_FRAME_ACTIVATION, event.document, clock_.monotonic_ns());
    if (event.kind == WatchEvent::Kind::counts)
      life_.take(FL_FRAME_FINAL_COUNTS, event.document, clock_.monotonic_ns());
  }
  life_.hear(watch_.heard_ns());
  return true;
}

Follow::Wake Follow::wait_until(std::uint64_t until_ns) {
  for (;;) {
    const std::uint64_t now = clock_.monotonic_ns();
    // Silence wakes nobody: it is looked for each second, however long the interval.
    const std::uint64_t left = now < until_ns ? std::min(until_ns - now, kNanosPerSecond) : 0;
    pollfd ready[] = {{queue_.fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    ::poll(ready, 2, static_cast<int>((left + kNanosPerMilli - 1) / kNanosPerMilli));
    if (ready[1].revents != 0) return Wake::signal;
    if (!take_events()) return Wake::end;
    if (life_.is_over(begun_ns_, now, clock_.utc_ns())) return Wake::silence;
    if (left == 0 || life_.silent(now) != shown_silent_) return Wake::time;
  }
}

TopView Follow::view(TopPacer& pacer, std::uint64_t interval_ns, bool over) {
  TopView view = pacer.view(watch_.report(), interval_ns, over);
  const std::uint64_t now = clock_.monotonic_ns();
  shown_silent_ = life_.silent(now);
  for (const std::string& name : shown_silent_)
    view.silent.push_back({name, life_.silence_text(name, clock_.utc_ns())});
  return view;
}

int Follow::run() {
  TopPacer pacer;
  std::uint64_t shown_ns = begun_ns_, next_ns = shown_ns + options_.interval_ns;
  for (;;) {
    const Wake wake = wait_until(next_ns);
    if (error_) return complain(AskError{*error_, true});
    if (wake != Wake::time) {
      TopPacer totals;
      const int code = outcome(output_.put(view(totals, 0, wake != Wake::signal)));
      return wake == Wake::silence && code == kOk ? kPartial : code;
    }
    const std::uint64_t now_ns = clock_.monotonic_ns();
    if (auto put = output_.put(view(pacer, now_ns - shown_ns, false)); !put) return outcome(put);
    shown_ns = now_ns;
    // A big run's report must not hold up what feeds it.
    next_ns = now_ns + std::max(options_.interval_ns, 5 * (clock_.monotonic_ns() - now_ns));
  }
}

int follow(const TopOptions& options, const UserSettings& settings) {
  auto reader = open_archive(settings);
  if (!reader) return complain(AskError{reader.error(), false});
  auto run = find_run(**reader, options.input.what.front());
  if (!run) return complain(run.error());
  auto queue = WatchQueue::create();
  if (!queue) return complain(queue.error());
  auto signals = block_signals();
  if (!signals) return complain(signals.error());
  RunWatch watch(std::move(*reader), *run, **queue);
  return Follow(options, watch, **queue, *signals).run();
}

}  // namespace

int top(const TopOptions& options, const Result<UserSettings>& settings) {
  if (options.once || of_files(options.input)) return show_once(options, settings);
  if (!settings) return complain(settings.error(), kUsage);
  return follow(options, *settings);
}

}  // namespace fieldline::cli
