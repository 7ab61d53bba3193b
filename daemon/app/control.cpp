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

Address address_of(const __u8 (&bytes)[16]) {
  Address address;
  std::copy(std::begin(bytes), std::end(bytes), address.bytes.begin());
  return address;
}

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
  const Arrival arrival{.outer = lift.outer, .port = lift.port};
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
  if (standing == nullptr) {
    if (auto begun = begin_stream(accepted, arrival); !begun) {
      return turn_away({sense::Reason::unknown_archive, begun.error().text()}, accepted, arrival);
    }
  }
  auto applied = table_.apply(accepted, clock_.utc_ns(), clock_.monotonic_ns());
  if (auto* refusal = std::get_if<sense::Refusal>(&applied)) {
    // A late pulse of a run that stands takes nothing from it.
    if (table_.find(grant.run) != nullptr) return refuse(*refusal, arrival);
    streams_.end_run(grant.run);
    return turn_away(std::move(*refusal), accepted, arrival);
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

// Host A of the grant is who asks: a trigger that comes back as an echo reply has it as its
// destination.
Result<void> Control::begin_stream(const sense::Accepted& accepted, const Arrival& arrival) {
  if (!accepted.decision.at_requester) return {};
  const sense::Grant& grant = accepted.trigger.grant;
  const bool back = sense::direction_of(grant, arrival.outer) == FL_REVERSE;
  const Address host = address_of(back ? arrival.outer.dst : arrival.outer.src);
  return streams_.begin_at_requester(grant.run, accepted.decision.archive, host.to_string());
}

void Control::turn_away(sense::Refusal refusal, const sense::Accepted& accepted,
                        const Arrival& arrival) {
  refuse(refusal, arrival);
  gate_.forget(accepted.trigger.grant.run);
  refusal.principal = accepted.principal;
  tell_refused(accepted.trigger.grant, refusal);
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
  report_started(activation);
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
  remove_run(grant.run);
  role_.forget(grant.run);
  gate_.forget(grant.run);
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
  spdlog::warn("trigger from {} on {} refused: {}: {}; {}",
               address_of(arrival.outer.src).to_string(), role_.port_name(arrival.port),
               name_of(refusal.reason), refusal.detail, remedy_of(refusal.reason));
}

void Control::count_arrival(const RunId& run, const Arrival& arrival) {
  if (table_.find(run) != nullptr) ++arrivals_[run][arrival.port];
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

void Control::remove_run(const RunId& run) {
  table_.remove(run);
  arrivals_.erase(run);
  streams_.end_run(run);
}

void Control::finish_run(const RunId& run, const std::string& reason) {
  if (arming_.erase(run) == 0) {  // else it never began, and that is told
    const sense::Activation& activation = *table_.find(run);
    report(FL_FRAME_ACTIVATION, run,
           activation_report("ended", name_, activation, clock_.utc_ns(), reason));
    report_counts(activation, true);
  }
  spdlog::info("run {} ended ({})", run.brief(), reason);
  remove_run(run);
  gate_.forget(run);
  role_.forget(run);
  ending_.erase(run);
  told_.erase(run);
  if (auto written = role_.apply_flows(); !written)
    spdlog::error("removing a run: {}", written.error().text());
}

}  // namespace fieldline::app
