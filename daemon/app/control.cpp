// SPDX-License-Identifier: Apache-2.0
#include "app/control.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/use_awaitable.hpp>

#include "app/reports.h"
#include "base/file.h"

namespace fieldline::app {

namespace asio = boost::asio;

namespace {

constexpr unsigned kVerifyQueue = 64;  // triggers waiting for the verifier; past that: busy
constexpr std::uint64_t kRenewDelay = 200 * kNanosPerMilli;
constexpr std::size_t kInterimCounts = 64;   // runs whose counts are told each second
constexpr unsigned kLogLinesPerSecond = 20;  // a flood of refusals is counted, not written out

}  // namespace

Result<sense::Trust> load_trust(const std::string& path) {
  auto text = read_file(path);
  if (!text) {
    return std::move(text.error())
        .in("allowed_signers (lines such as `ops@site ssh-ed25519 AAAA...`)");
  }
  sense::Trust trust = sense::Trust::parse(*text);
  for (const auto& line : trust.refused) {
    spdlog::warn("{}:{}: line refused: {}", path, line.line, line.reason);
  }
  if (trust.signers.empty()) spdlog::warn("{} trusts nobody: every trigger will be refused", path);
  return trust;
}

Control::Control(asio::io_context& io, const RoleConfig& config, sense::Trust trust,
                 Streams& streams, Role& role, int trigger_fd)
    : io_(io),
      name_(config.name),
      interfaces_(config.interfaces),
      streams_(streams),
      role_(role),
      gate_(std::move(trust), config.policy),
      table_(config.max_flows),
      triggers_(io, ::dup(trigger_fd)),
      expiry_timer_(io),
      renew_timer_(io),
      second_timer_(io),
      verifier_(io) {}

void Control::start() {
  wait_for_triggers();
  streams_.start();
  keep_reporting();
}

void Control::reload(sense::Trust trust, const RoleConfig& config) {
  gate_.reload(std::move(trust), config.policy);
  streams_.pin(config.archives);
  streams_.own();
}

asio::awaitable<void> Control::stop() {
  stopping_ = true;
  boost::system::error_code ignored;
  triggers_.cancel(ignored);
  expiry_timer_.cancel();
  renew_timer_.cancel();
  for (const RunId& run : table_.expire(UINT64_MAX)) end_run(run, "shutdown");
  asio::steady_timer wait(io_);
  while (!ending_.empty()) {
    wait.expires_after(std::chrono::milliseconds(1));
    co_await wait.async_wait(asio::use_awaitable);
  }
  second_timer_.cancel();
}

stream::Fingerprint Control::archive_of(const RunId& run) const {
  const sense::Activation* activation = table_.find(run);
  return activation != nullptr ? activation->decision.archive : stream::Fingerprint{};
}

std::set<stream::Fingerprint> Control::archives_in_use() const {
  std::set<stream::Fingerprint> archives;
  for (const sense::Activation* activation : table_.all())
    archives.insert(streams_.key_of(activation->decision.archive));
  return archives;
}

void Control::report(std::uint8_t type, const RunId& run, nlohmann::json document) {
  document["role"] = role_.kind();
  streams_.report(type, archive_of(run), run, std::move(document));
}

void Control::keep_reporting() {
  second_timer_.expires_after(std::chrono::seconds(1));
  second_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    each_second();
    keep_reporting();
  });
}

void Control::each_second() {
  gate_.expire(clock_.utc_ns());
  report_interim_counts();
  report_clock();
  streams_.own().send_status(role_.status().dump());
  if (suppressed_lines_ > 0)
    spdlog::warn("{} further refusals in the last second, counted only", suppressed_lines_);
  suppressed_lines_ = 0;
  log_tokens_ = kLogLinesPerSecond;
}

// Counts of runs that go on: of so many runs a second, in turn, and only while the spool has room
// for what must not be lost.
void Control::report_interim_counts() {
  auto runs = table_.all();
  for (std::size_t i = 0; i < std::min(runs.size(), kInterimCounts); ++i) {
    const sense::Activation& activation = *runs[next_counted_++ % runs.size()];
    if (activation.ending || arming_.contains(activation.run)) continue;
    if (!streams_.has_room(activation.decision.archive)) continue;
    report_counts(activation, false);
  }
}

void Control::report_counts(const sense::Activation& activation, bool final) {
  nlohmann::json counts = role_.counts_of(activation, final);
  nlohmann::json& triggers = counts["triggers"] = nlohmann::json::array();
  if (auto found = arrivals_.find(activation.run); found != arrivals_.end()) {
    for (const auto& [port, count] : found->second)
      triggers.push_back({{"port", port}, {"count", count}});
  }
  report(FL_FRAME_FINAL_COUNTS, activation.run, std::move(counts));
}

// Of no run: one serves every run that is on.
void Control::report_clock() {
  clock_watch_.look();
  const auto steps = clock_watch_.take();
  for (const ClockStep& step : steps) {
    spdlog::warn("this host's clock was set: {} by {} ns between {} and {}", name_of(step.what),
                 step.by_ns, format_utc(step.from_ns), format_utc(step.to_ns));
  }
  const auto chrony = chrony_.tracking();
  const auto archives = archives_in_use();
  if (archives.empty()) return;
  auto document = clock_report({.sensor = name_,
                                .at_ns = clock_.utc_ns(),
                                .tai_offset_s = tai_offset_ns(clock_) / kNanosPerSecond,
                                .kernel = source::read_clock_facts(),
                                .chrony = chrony,
                                .steps_so_far = clock_watch_.steps(),
                                .steps = steps});
  document["role"] = role_.kind();
  for (const stream::Fingerprint& archive : archives) {
    if (streams_.has_room(archive)) streams_.report(FL_FRAME_CLOCK_QUALITY, archive, {}, document);
  }
}

// -- control: trigger -> gate -> activation -> flow table

void Control::wait_for_triggers() {
  if (stopping_) return;
  triggers_.async_wait(
      asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
        if (error) return;
        auto drained = role_.drain_triggers(
            [this](const fl_trigger_lift& lift, ByteView bytes) { on_trigger(lift, bytes); });
        if (!drained) spdlog::error("trigger ring: {}", drained.error().text());
        wait_for_triggers();
      });
}

void Control::on_trigger(const fl_trigger_lift& lift, ByteView bytes) {
  Arrival arrival{.from = {}, .port = lift.port};
  std::copy(std::begin(lift.outer.src), std::end(lift.outer.src), arrival.from.bytes.begin());
  auto admitted = gate_.admit(bytes, lift.outer, clock_.utc_ns());
  if (const auto* refusal = std::get_if<sense::Refusal>(&admitted))
    return refuse(*refusal, arrival);
  if (verifying_ >= kVerifyQueue)
    return refuse({sense::Reason::busy, "verification queue full"}, arrival);

  ++verifying_;
  auto verify = [ticket = std::move(std::get<sense::Ticket>(admitted))]() mutable {
    sense::verify(ticket);
    return std::move(ticket);
  };
  verifier_.run(std::move(verify), [this, arrival](sense::Ticket ticket) {
    --verifying_;
    settle(std::move(ticket), arrival);
  });
}

void Control::settle(sense::Ticket ticket, const Arrival& arrival) {
  if (stopping_) return;  // nobody would end what started now
  end_expired();          // a pulse that came too late starts the run again, it does not revive it
  const sense::Grant grant = ticket.trigger.grant;
  auto settled = gate_.settle(std::move(ticket), clock_.utc_ns());
  if (const auto* refusal = std::get_if<sense::Refusal>(&settled)) {
    refuse(*refusal, arrival);
    if (!refusal->principal.empty()) tell_refused(grant, *refusal);
    return;
  }
  const auto& accepted = std::get<sense::Accepted>(settled);
  const sense::Activation* standing = table_.find(grant.run);
  std::uint64_t replaced_mono_ns = standing != nullptr ? standing->deadline_mono_ns : 0;
  auto applied = table_.apply(accepted, clock_.utc_ns(), clock_.monotonic_ns());
  if (auto* refusal = std::get_if<sense::Refusal>(&applied)) {
    refuse(*refusal, arrival);
    if (table_.find(grant.run) != nullptr) return;  // a late pulse of a run that stands
    gate_.forget(grant.run);
    refusal->principal = accepted.principal;
    return tell_refused(grant, *refusal);
  }
  ++accepted_;
  count_arrival(grant.run, arrival);
  switch (std::get<sense::ActivationTable::Change>(applied)) {
    case sense::ActivationTable::Change::started:
      begin_run(grant, accepted.principal, arrival);
      break;
    case sense::ActivationTable::Change::renewed:
      renew(replaced_mono_ns);
      break;
    case sense::ActivationTable::Change::ended:
      return end_run(grant.run, "pulse");
  }
  arm_expiry();
}

void Control::begin_run(const sense::Grant& grant, const std::string& principal,
                        const Arrival& arrival) {
  role_.drain();  // what was recorded for others before this run is not its own
  if (auto written = role_.apply_flows(); !written)
    return give_up_run(grant, principal, arrival, written.error().text());
  arming_.insert(grant.run);
  role_.arm([this, grant, principal, arrival](Result<void> armed) {
    if (!armed) return give_up_run(grant, principal, arrival, armed.error().text());
    on_armed(grant, principal);
  });
}

// A run that was ended while the hooks were being armed is told of as any other: its end comes next
// (wind_up()).
void Control::on_armed(const sense::Grant& grant, const std::string& principal) {
  arming_.erase(grant.run);
  const sense::Activation& activation = *table_.find(grant.run);
  spdlog::info("run {} on for {} ({}): {} flows until {}", grant.run.brief(), principal,
               activation.decision.rule, (activation.slots.size() + 1) / 2,
               format_utc(activation.deadline_utc_ns));
  auto started = activation_report("started", name_, activation, clock_.utc_ns(), "");
  started["system"] = system_json(source::read_system_facts(interfaces_));
  report(FL_FRAME_ACTIVATION, grant.run, std::move(started));
  role_.begun(activation);
}

void Control::give_up_run(const sense::Grant& grant, const std::string& principal,
                          const Arrival& arrival, const std::string& why) {
  const sense::Refusal refusal{sense::Reason::source_failed, why, principal};
  refuse(refusal, arrival);
  tell_refused(grant, refusal);
  if (is_ending(grant.run)) return;  // finish_run() takes it away
  role_.drain();
  arming_.erase(grant.run);
  table_.remove(grant.run);
  role_.forget(grant.run);
  gate_.forget(grant.run);
  arrivals_.erase(grant.run);
  if (auto undone = role_.apply_flows(); !undone) spdlog::error("{}", undone.error().text());
}

// Renewals of many runs are written together. One that came close to the deadline that it replaces
// is written at once: packets behind that deadline would be missed, and nobody would count them.
void Control::renew(std::uint64_t replaced_mono_ns) {
  if (replaced_mono_ns < clock_.monotonic_ns() + 8 * kRenewDelay) return write_renewals();
  if (renewing_) return;
  renewing_ = true;
  renew_timer_.expires_after(std::chrono::nanoseconds(kRenewDelay));
  renew_timer_.async_wait([this](boost::system::error_code error) {
    renewing_ = false;
    if (!error) write_renewals();
  });
}

void Control::write_renewals() {
  auto written = role_.apply_flows();
  if (written) return;
  spdlog::error("renewing runs: {}; they end at their last deadline", written.error().text());
}

void Control::refuse(const sense::Refusal& refusal, const Arrival& arrival) {
  ++refused_[static_cast<std::size_t>(refusal.reason)];
  if (refusal.reason == sense::Reason::duplicate) {  // every echo reply is one
    if (auto run = RunId::parse(refusal.run)) count_arrival(*run, arrival);
    return;
  }
  if (log_tokens_ == 0) {
    ++suppressed_lines_;
    return;
  }
  --log_tokens_;
  spdlog::warn("trigger from {} on {} refused: {}: {}; {}", arrival.from.to_string(),
               role_.port_name(arrival.port), name_of(refusal.reason), refusal.detail,
               remedy_of(refusal.reason));
}

void Control::count_arrival(const RunId& run, const Arrival& arrival) {
  if (table_.find(run) != nullptr) ++arrivals_[run][arrival.port];
}

void Control::tell_refused(const sense::Grant& grant, const sense::Refusal& refusal) {
  if (refusal.reason == sense::Reason::duplicate || refusal.reason == sense::Reason::busy) return;
  if (!told_.insert(grant.run).second) return;
  if (told_.size() > 4096) told_.clear();
  report(FL_FRAME_ACTIVATION, grant.run, refusal_report(name_, grant, refusal, clock_.utc_ns()));
}

// -- the end of a run: deadline zero, programs in flight over, ring drained, counted, deleted

void Control::arm_expiry() {
  auto next = table_.next_deadline_mono_ns();
  if (!next) return;
  std::uint64_t now = clock_.monotonic_ns();
  expiry_timer_.expires_after(std::chrono::nanoseconds(*next > now ? *next - now : 0));
  expiry_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    end_expired();
    arm_expiry();
  });
}

void Control::end_expired() {
  for (const RunId& run : table_.expire(clock_.monotonic_ns())) end_run(run, "expired");
}

void Control::end_run(const RunId& run, const std::string& reason) {
  if (!ending_.insert(run).second) return;
  role_.drain();  // with its claims as they were
  if (auto written = role_.apply_flows(); !written)
    spdlog::error("ending a run: {}", written.error().text());
  role_.wind_up([this, run, reason](Result<void> quiet) {
    if (!quiet)
      spdlog::warn("run {}: its last packets may be uncounted: {}", run.brief(),
                   quiet.error().text());
    finish_run(run, reason);
  });
}

void Control::finish_run(const RunId& run, const std::string& reason) {
  if (arming_.erase(run) == 0) {  // else it never began, and that is told
    const sense::Activation& activation = *table_.find(run);
    report(FL_FRAME_ACTIVATION, run,
           activation_report("ended", name_, activation, clock_.utc_ns(), reason));
    report_counts(activation, true);
  }
  spdlog::info("run {} ended ({})", run.brief(), reason);
  table_.remove(run);
  gate_.forget(run);
  role_.forget(run);
  ending_.erase(run);
  told_.erase(run);
  arrivals_.erase(run);
  if (auto written = role_.apply_flows(); !written)
    spdlog::error("removing a run: {}", written.error().text());
}

}  // namespace fieldline::app
