// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "cli/fields.h"
#include "cli/ping_session.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr std::uint64_t kDrawEvery = kNanosPerSecond;
constexpr std::uint64_t kFinalWait = 10 * kNanosPerSecond;
constexpr std::uint64_t kFirstAnswerWait = 3 * kNanosPerSecond;

}  // namespace

// The ending pulse must arrive before the grant is over, or it is refused as expired.
void PingSession::pulse_until_end() {
  std::uint64_t margin = std::min(250 * kNanosPerMilli, options_.terms.for_ns / 20);
  std::uint64_t last = end_mono_ns_ - margin;
  std::uint64_t now = clock_.monotonic_ns();
  next_scan_ns_ = now;  // again: the first grants may have taken their time
  next_draw_ns_ = now;
  following_ = options_.flows.empty();
  while (now < last) {
    send_due_pulses(now);
    follow_sockets();
    draw(false);
    if (output_.closed()) {
      reason_ = "output closed";
      return;
    }
    if (host_lost_) {
      reason_ = "connection lost";
      return;
    }
    std::uint64_t wake = std::min(last, next_draw_ns_);
    if (following_ && !maker_->busy()) wake = std::min(wake, next_scan_ns_);
    for (const auto& run : runs_) wake = std::min(wake, run.due_mono_ns);
    if (!poll_until(wake)) {
      reason_ = "interrupted";
      return;
    }
    now = clock_.monotonic_ns();
  }
}

void PingSession::send_due_pulses(std::uint64_t now) {
  for (auto& run : runs_) {
    if (run.due_mono_ns > now) continue;
    send(run, false);
    run.due_mono_ns =
        run.start_mono_ns + next_pulse_ns(now - run.start_mono_ns, options_.terms.renew_ns);
  }
}

void PingSession::send(Run& run, bool ending) {
  std::uint64_t now = clock_.utc_ns();
  // A wall clock that was set back would make pulses older than their grant.
  now = std::max(now, run.grant.grant().issued_at_ns);
  if (now >= run.grant.grant().not_after_ns) return;
  Bytes trigger = ending ? run.grant.ending(now) : run.grant.pulse(now);
  auto sent = run.sender->send(trigger);
  if (sent) {
    output_.pulse(run.grant, now, ending);
  } else if (!run.send_failed) {
    output_.remark("fieldline: " + sent.error().text() + "; going on");
    run.send_failed = true;
  }
  host_lost_ = host_lost_ || (!sent && sent.error().code == Code::closed);
}

void PingSession::end_runs() {
  for (auto& run : runs_) send(run, true);
  poll_until(clock_.monotonic_ns() + kEndingGap);
  for (auto& run : runs_) {
    send(run, true);
    output_.ended(run.grant, reason_);
  }
}

// Until each sensor that started has said its last word; a further signal ends the wait.
void PingSession::await_final_counts() {
  bool watched =
      std::any_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.watch != nullptr; });
  if (!watched) return;
  std::uint64_t start = clock_.monotonic_ns();
  for (std::uint64_t now = start;; now = clock_.monotonic_ns()) {
    take_events();
    bool anybody = !board_.activated().empty();
    std::uint64_t deadline = start + (anybody ? kFinalWait : kFirstAnswerWait);
    bool watching = std::any_of(runs_.begin(), runs_.end(), [&](const Run& run) {
      const RunBoard& board = board_.run(run.grant.run());
      return board.watched && !board.finished;
    });
    if (!watching || (anybody && board_.all_final()) || now >= deadline) return;
    draw(false);
    std::uint64_t wake =
        output_.form() == PingOutput::Form::terminal ? std::min(deadline, next_draw_ns_) : deadline;
    if (!poll_until(wake)) return;
  }
}

bool PingSession::poll_until(std::uint64_t mono_ns) {
  for (;;) {
    std::uint64_t now = clock_.monotonic_ns();
    std::uint64_t left = mono_ns > now ? mono_ns - now : 0;
    timespec timeout{static_cast<time_t>(left / kNanosPerSecond),
                     static_cast<long>(left % kNanosPerSecond)};
    pollfd fds[3] = {
        {signals_.get(), POLLIN, 0}, {queue_->fd(), POLLIN, 0}, {maker_->fd(), POLLIN, 0}};
    int ready = ::ppoll(fds, 3, &timeout, nullptr);
    if (ready > 0 && fds[0].revents != 0) {
      signalfd_siginfo info;
      if (::read(signals_.get(), &info, sizeof info) == sizeof info) return false;
    }
    if (ready > 0 && fds[1].revents != 0) take_events();
    // The caller looks at its condition.
    if (ready == 0 || fds[1].revents != 0 || fds[2].revents != 0) return true;
  }
}

void PingSession::take_events() {
  for (auto& event : queue_->drain()) {
    std::string started = board_.take(event);
    spray_.take(event);
    switch (event.kind) {
      case WatchEvent::Kind::activation:
        output_.activation(event);
        break;
      case WatchEvent::Kind::counts:
        output_.counts(event);
        break;
      case WatchEvent::Kind::finished:
        if (event.error)
          lose_archive(std::move(*event.error).in("watching run " + event.run.brief()));
        break;
      case WatchEvent::Kind::configuration:
        break;
    }
    if (started.empty()) continue;
    auto confirmed = board_.confirmed(first_runs_);
    if (confirmed.contains(started) && confirmed.size() > announced_) {
      announced_ = confirmed.size();
      output_.activated(started, announced_, options_.wait);
    }
  }
}

void PingSession::draw(bool last) {
  if (!last && output_.form() != PingOutput::Form::terminal) {
    next_draw_ns_ = UINT64_MAX;
    return;
  }
  std::uint64_t before = clock_.monotonic_ns();
  if (!last && before < next_draw_ns_) return;
  if (!last && maker_->busy()) {  // ssh-keygen may be asking on this terminal
    next_draw_ns_ = before + kDrawEvery;
    return;
  }
  std::string text = table(last);
  if (last) {
    output_.final_table(text);
  } else {
    output_.live(text);
  }
  // A big run's report must not starve the pulses.
  std::uint64_t after = clock_.monotonic_ns();
  next_draw_ns_ = after + std::max(kDrawEvery, 5 * (after - before));
}

std::string PingSession::table(bool last) {
  std::string principal = runs_.front().principal;
  std::string text =
      "key " + signer_->fingerprint() + (principal.empty() ? "" : ", " + principal) + "\n";
  for (auto& run : runs_) {
    std::string owners;
    for (const auto& owner : run.plan.owners) {
      owners += (owners.empty() ? " of " : ", ") + printable(owner);
    }
    text += "run " + run.grant.run().brief() + ": " + run.plan.to_string() + owners + "\n";
    RunView view{
        run.grant.run(), run.plan.protocol, run.plan.pairs.size(), {}, board_.run(run.grant.run())};
    if (run.watch) view.report = run.watch->report();
    text += render_run(view, board_);
  }
  if (last) return options_.terms.spray > 1 ? text + render_spray(spray_.rows()) : text;
  std::uint64_t now = clock_.monotonic_ns(), start = end_mono_ns_ - options_.terms.for_ns;
  return text + short_duration((now - start) / kNanosPerSecond * kNanosPerSecond) + " of " +
         short_duration(options_.terms.for_ns) + "; Ctrl-C ends the run\n";
}

int PingSession::finish() {
  int code = exit_code();
  draw(true);
  json summary = options_.json ? summary_json(code) : json();
  output_.summary(summary, summary_text());
  if (code == kNoAnswer) {
    output_.remark("nothing answered: is there a sensor on the path that trusts key " +
                   signer_->fingerprint() + ", and does it send to archive " +
                   settings_.archive->to_string() + "? `fieldline status` tells");
  }
  return code;
}

int PingSession::exit_code() const {
  if (options_.no_archive) {
    bool sent =
        std::any_of(runs_.begin(), runs_.end(), [](const Run& run) { return !run.send_failed; });
    return sent ? kOk : kFailure;
  }
  auto activated = board_.activated(), refused = board_.refused();
  if (archive_lost_ || host_lost_) return kPartial;
  if (activated.empty()) return refused.empty() ? kNoAnswer : kDenied;
  bool enough = announced_ >= options_.wait;
  return refused.empty() && enough && board_.without_final_counts().empty() ? kOk : kPartial;
}

json PingSession::summary_json(int code) {
  json runs = json::array();
  for (auto& run : runs_) {
    json one = {{"run", run.grant.run().hex()},
                {"flow", run.plan.to_string()},
                {"pulses", run.grant.pulses()}};
    if (run.watch) one["path"] = analysis::to_json(run.watch->report());
    runs.push_back(std::move(one));
  }
  return {{"exit", code},
          {"reason", reason_},
          {"archive", options_.no_archive ? "not asked"
                      : archive_lost_     ? "lost"
                                          : "ok"},
          {"activated", board_.activated()},
          {"refused", board_.refused()},
          {"without_final_counts", board_.without_final_counts()},
          {"spray", options_.terms.spray > 1 ? to_json(spray_.rows()) : json()},
          {"runs", runs}};
}

std::string PingSession::summary_text() {
  std::string text;
  auto activated = board_.activated(), refused = board_.refused();
  if (!options_.no_archive) {
    text += std::to_string(activated.size()) + " sensors activated, " +
            std::to_string(refused.size()) + " refused";
    if (options_.wait > announced_)
      text += ", " + std::to_string(options_.wait) + " were waited for";
    text += "\n";
  }
  for (const auto& name : board_.without_final_counts()) {
    text += "incomplete: no final counts from " + name + " within 10 s\n";
  }
  for (auto& run : runs_) {
    const std::string id = run.grant.run().brief();
    bool packets = false, events = false;
    for (const auto& [name, state] : board_.run(run.grant.run()).sensors) {
      if (state.started) (state.is_host ? events : packets) = true;
    }
    if (packets) text += "NEXT fieldline path " + id + "\n";
    if (events) text += "NEXT fieldline events " + id + "\n";
  }
  return text;
}

}  // namespace fieldline::cli
