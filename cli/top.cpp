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
#include "cli/run_watch.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "cli/top_view.h"

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

enum class Wake { time, end, signal };

// end: nothing more will come, and `error` says why if not in order.
Wake wait_until(WatchQueue& queue, const Fd& signals, std::uint64_t until_ns,
                std::optional<Error>& error) {
  const SystemClock clock;
  for (;;) {
    const std::uint64_t now = clock.monotonic_ns();
    const std::uint64_t left = now < until_ns ? until_ns - now : 0;
    pollfd ready[] = {{queue.fd(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    ::poll(ready, 2, static_cast<int>((left + kNanosPerMilli - 1) / kNanosPerMilli));
    if (ready[1].revents != 0) return Wake::signal;
    for (WatchEvent& event : queue.drain()) {
      if (event.kind != WatchEvent::Kind::finished) continue;
      error = std::move(event.error);
      return Wake::end;
    }
    if (left == 0) return Wake::time;
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
  TopPacer pacer;
  TopOutput output(options.json);
  const SystemClock clock;
  std::uint64_t shown_ns = clock.monotonic_ns(), next_ns = shown_ns + options.interval_ns;
  std::optional<Error> error;
  for (;;) {
    const Wake wake = wait_until(**queue, *signals, next_ns, error);
    if (error) return complain(AskError{*error, true});
    if (wake != Wake::time)
      return outcome(output.put(TopPacer().view(watch.report(), 0, wake == Wake::end)));
    const std::uint64_t now_ns = clock.monotonic_ns();
    if (auto put = output.put(pacer.view(watch.report(), now_ns - shown_ns, false)); !put)
      return outcome(put);
    shown_ns = now_ns;
    // A big run's report must not hold up what feeds it.
    next_ns = now_ns + std::max(options.interval_ns, 5 * (clock.monotonic_ns() - now_ns));
  }
}

}  // namespace

int top(const TopOptions& options, const Result<UserSettings>& settings) {
  if (options.once || of_files(options.input)) return show_once(options, settings);
  if (!settings) return complain(settings.error(), kUsage);
  return follow(options, *settings);
}

}  // namespace fieldline::cli
