// SPDX-License-Identifier: Apache-2.0
#include "cli/ping.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "cli/archive_link.h"
#include "cli/ping_session.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "cli/via.h"

namespace fieldline::cli {

namespace {

constexpr std::size_t kRunsMax = 16;  // of one ping; each has a watching thread and a connection
constexpr std::uint64_t kScanEvery = kNanosPerSecond;

Error too_many_runs() {
  return fail(Code::exhausted, "more than " + std::to_string(kRunsMax) +
                                   " runs are needed; name the sockets that matter with --flow");
}

PingOutput::Form form_of(const PingOptions& options) {
  if (options.json) return PingOutput::Form::json;
  return is_terminal(STDOUT_FILENO) ? PingOutput::Form::terminal : PingOutput::Form::lines;
}

std::string joined(const std::vector<Address>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += (text.empty() ? "" : ", ") + address.to_string();
  return text;
}

}  // namespace

PingSession::PingSession(const PingOptions& options, const UserSettings& settings)
    : options_(options), settings_(settings), output_(form_of(options)) {}

Result<std::vector<Plan>> PingSession::find_plans() {
  if (!options_.flows.empty()) {
    const AskSource ask = [this](const Address& remote) { return host_->source_address(remote); };
    return plan_flows(options_.flows, remotes_, options_.source, ask);
  }
  auto sockets = sockets_to_host({});
  if (!sockets) return sockets.error();
  return plan_sockets(*sockets, {});
}

Result<void> PingSession::prepare() {
  auto signals = block_signals();
  if (!signals) return signals.error();
  signals_ = std::move(*signals);
  auto queue = WatchQueue::create();
  if (!queue) return queue.error();
  queue_ = std::move(*queue);
  auto maker = RunMaker::create();
  if (!maker) return maker.error();
  maker_ = std::move(*maker);
  host_ = local_flow_host();
  if (!options_.via.empty()) {
    auto far = flow_host_via(options_.via, signals_.get());
    if (!far) return far.error();
    host_ = std::move(*far);
  }
  auto remotes = host_->resolve(options_.host, options_.family);
  if (!remotes) return remotes.error();
  remotes_ = std::move(*remotes);
  auto signer = Signer::open(settings_.identity);
  if (!signer) return signer.error();
  signer_ = std::move(*signer);
  return {};
}

RunTerms PingSession::terms() const {
  RunTerms terms = options_.terms;
  terms.host = host_;
  terms.not_after_ns = not_after_ns_;
  if (!options_.no_archive && !archive_lost_) terms.watch_at = settings_;
  return terms;
}

void PingSession::adopt(MadeRun made) {
  std::uint64_t now_utc = clock_.utc_ns(), now_mono = clock_.monotonic_ns();
  if (runs_.empty()) {
    not_after_ns_ = made.grant.grant().not_after_ns;
    end_mono_ns_ = now_mono + std::max(not_after_ns_, now_utc) - now_utc;
  }
  if (made.archive_error) lose_archive(*made.archive_error);
  std::string principal = made.reader ? printable(made.reader->principal()) : "";
  RunId id = made.grant.run();
  runs_.push_back({std::move(made.plan), std::move(made.grant), std::move(made.sender), principal,
                   nullptr, now_mono, now_mono});
  Run& run = runs_.back();
  board_.add_run(id, made.reader != nullptr);
  if (made.reader) run.watch = std::make_unique<RunWatch>(std::move(made.reader), id, *queue_);
  output_.granted(run.grant, run.plan, signer_->fingerprint(), principal);
}

// The first grants: nothing is on yet that waits for pulses. A signal ends ssh-keygen.
Result<void> PingSession::grant_all(const std::vector<Plan>& plans) {
  if (plans.size() > kRunsMax) return too_many_runs();
  Signer signer = *signer_;
  signer.end_by(signals_.get());
  for (const auto& plan : plans) {
    auto made = make_run(plan, terms(), signer);
    if (!made) return made.error();
    adopt(std::move(*made));
  }
  return {};
}

Result<std::vector<Socket>> PingSession::sockets_to_host(const std::vector<Plan>& known) {
  auto sockets = host_->sockets_to(remotes_);
  if (!sockets) return sockets.error();
  std::erase_if(*sockets, [&](const Socket& socket) {
    bool elsewhere = options_.source && socket.local != *options_.source;
    return elsewhere || std::any_of(known.begin(), known.end(),
                                    [&](const Plan& plan) { return plan.covers(socket); });
  });
  return sockets;
}

// One plan at a time: the next scan knows the run that came of it.
Result<void> PingSession::ask_for_new_sockets() {
  std::vector<Plan> known;
  for (const auto& run : runs_) known.push_back(run.plan);
  auto sockets = sockets_to_host(known);
  if (!sockets) return sockets.error();
  auto plans = plan_sockets(*sockets, known);
  if (plans.empty()) return {};
  if (runs_.size() >= kRunsMax) return too_many_runs();
  maker_->start(std::move(plans.front()), terms(), *signer_);
  return {};
}

// New sockets to the host get a further grant; it ends with the first. It is signed beside the
// pulses, which must go on while ssh-keygen waits for somebody. What fails once is not tried each
// second: ssh-keygen may ask for a passphrase each time.
void PingSession::follow_sockets() {
  if (auto made = maker_->take()) {
    if (!*made) return stop_following(made->error());
    adopt(std::move(**made));
    next_scan_ns_ = 0;
  }
  if (!following_ || maker_->busy() || clock_.monotonic_ns() < next_scan_ns_) return;
  auto asked = ask_for_new_sockets();
  if (!asked) return stop_following(asked.error());
  next_scan_ns_ = clock_.monotonic_ns() + kScanEvery;
}

void PingSession::stop_following(const Error& error) {
  following_ = false;
  output_.remark("new sockets are not followed any more: " + error.text());
}

void PingSession::lose_archive(const Error& error) {
  if (!archive_lost_) {
    output_.remark("fieldline: " + error.text() +
                   "\ngoing on without it: sensors keep what they record and send it when they "
                   "reach their archive");
  }
  archive_lost_ = true;
}

int PingSession::run() {
  auto prepared = prepare();
  if (!prepared) {
    bool by_hand =
        prepared.error().code == Code::not_found || prepared.error().code == Code::unsupported;
    return complain(prepared.error(), by_hand ? kUsage : kFailure);
  }
  auto plans = find_plans();
  if (!plans)
    return complain(plans.error(), plans.error().code == Code::invalid ? kUsage : kFailure);
  if (plans->empty()) {
    output_.remark("fieldline: no connected TCP or UDP socket " +
                   std::string(::geteuid() == 0 ? "" : "of yours ") + "to " + options_.host + " (" +
                   joined(remotes_) +
                   "); start the transfer first, or name the flow: --flow tcp, --flow tcp:5201");
    return kNoAnswer;
  }
  auto granted = grant_all(*plans);
  if (!granted) return complain(granted.error());
  for (const auto& run : runs_) first_runs_.push_back(run.grant.run());

  pulse_until_end();
  maker_->stop();
  end_runs();
  await_final_counts();
  return finish();
}

int ping(const PingOptions& options, const UserSettings& settings) {
  if (!options.no_archive && !settings.archive) {
    return complain(
        fail(Code::invalid,
             "no archive is named, and only it can tell which sensors answer; give --archive "
             "HOST:PORT#SHA256:... (`fieldlined --fingerprint` on its host prints the key), or "
             "--no-archive"),
        kUsage);
  }
  return PingSession(options, settings).run();
}

}  // namespace fieldline::cli
