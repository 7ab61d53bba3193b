// SPDX-License-Identifier: Apache-2.0
// The sensor's control way: a trigger becomes an activation and flow entries, and an activation
// ends.
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>

#include "app/reports.h"
#include "app/sensor.h"

namespace fieldline::app {

namespace asio = boost::asio;

namespace {

constexpr unsigned kVerifyQueue = 64;  // triggers waiting for the verifier; past that: busy
constexpr std::uint64_t kRenewDelay = 200 * kNanosPerMilli;

}  // namespace

// -- control: trigger -> gate -> activation -> flow table

void Sensor::wait_for_triggers() {
  if (stopping_) return;
  triggers_.async_wait(
      asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
        if (error) return;
        auto drained = source_->drain_triggers(
            [this](const fl_trigger_lift& lift, ByteView bytes) { on_trigger(lift, bytes); });
        if (!drained) spdlog::error("trigger ring: {}", drained.error().text());
        wait_for_triggers();
      });
}

void Sensor::on_trigger(const fl_trigger_lift& lift, ByteView bytes) {
  Arrival arrival{.from = {}, .port = lift.port};
  std::copy(std::begin(lift.outer.src), std::end(lift.outer.src), arrival.from.bytes.begin());
  auto admitted = gate_.admit(bytes, lift.outer, clock_.utc_ns());
  if (const auto* refusal = std::get_if<sense::Refusal>(&admitted))
    return refuse(*refusal, arrival);
  if (verifying_ >= kVerifyQueue)
    return refuse({sense::Reason::busy, "verification queue full"}, arrival);

  ++verifying_;
  auto ticket = std::make_shared<sense::Ticket>(std::move(std::get<sense::Ticket>(admitted)));
  asio::post(workers_, [this, ticket, arrival] {
    sense::verify(*ticket);
    asio::post(io_, [this, ticket, arrival] {
      --verifying_;
      settle(std::move(*ticket), arrival);
    });
  });
}

void Sensor::settle(sense::Ticket ticket, const Arrival& arrival) {
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

void Sensor::begin_run(const sense::Grant& grant, const std::string& principal,
                       const Arrival& arrival) {
  drain_ring();  // what was lifted for others before this run is not its own
  if (auto written = apply_flows(); !written) {
    drain_ring();
    table_.remove(grant.run);
    recorder_.forget(grant.run);
    gate_.forget(grant.run);
    if (auto undone = apply_flows(); !undone) spdlog::error("{}", undone.error().text());
    sense::Refusal refusal{sense::Reason::table_full, written.error().text(), principal};
    refuse(refusal, arrival);
    return tell_refused(grant, refusal);
  }
  const sense::Activation& activation = *table_.find(grant.run);
  note_shared_slots(activation);
  spdlog::info("run {} on for {} ({}): {} flows until {}", grant.run.brief(), principal,
               activation.decision.rule, activation.slots.size() / 2,
               format_utc(activation.deadline_utc_ns));
  report(FL_FRAME_ACTIVATION, grant.run,
         activation_report("started", config_.name, activation, clock_.utc_ns(), ""));
  keep_draining();
}

// A slot that several runs hold counts for all of them: what was there before the newcomer is
// subtracted, and from now on each counts what the recorder gave it (counts_of).
void Sensor::note_shared_slots(const sense::Activation& activation) {
  for (std::uint32_t slot : activation.slots) {
    const auto& shares = table_.shares(slot);
    if (shares.size() < 2) continue;
    for (const auto& share : shares) sharing_.insert(share.run);
    if (auto counters = source_->flow_counters(slot)) {
      baselines_[activation.run][slot] = *counters;
    }
  }
}

// Renewals of many runs are written together. One that came close to the deadline that it replaces
// is written at once: packets behind that deadline would be missed, and nobody would count them.
void Sensor::renew(std::uint64_t replaced_mono_ns) {
  if (replaced_mono_ns < clock_.monotonic_ns() + 8 * kRenewDelay) return write_renewals();
  if (renewing_) return;
  renewing_ = true;
  renew_timer_.expires_after(std::chrono::nanoseconds(kRenewDelay));
  renew_timer_.async_wait([this](boost::system::error_code error) {
    renewing_ = false;
    if (!error) write_renewals();
  });
}

void Sensor::write_renewals() {
  auto written = apply_flows();
  if (written) return;
  spdlog::error("renewing runs: {}; they end at their last deadline", written.error().text());
}

void Sensor::refuse(const sense::Refusal& refusal, const Arrival& arrival) {
  ++refused_[static_cast<std::size_t>(refusal.reason)];
  if (refusal.reason == sense::Reason::duplicate) return;  // every echo reply is one
  if (log_tokens_ == 0) {
    ++suppressed_lines_;
    return;
  }
  --log_tokens_;
  spdlog::warn("trigger from {} on {} refused: {}: {}; {}", arrival.from.to_string(),
               config_.interfaces[arrival.port], name_of(refusal.reason), refusal.detail,
               remedy_of(refusal.reason));
}

void Sensor::tell_refused(const sense::Grant& grant, const sense::Refusal& refusal) {
  if (refusal.reason == sense::Reason::duplicate || refusal.reason == sense::Reason::busy) return;
  if (!told_.insert(grant.run).second) return;
  if (told_.size() > 4096) told_.clear();
  report(FL_FRAME_ACTIVATION, grant.run,
         refusal_report(config_.name, grant, refusal, clock_.utc_ns()));
}

Result<void> Sensor::apply_flows() {
  std::vector<source::FlowEntry> entries;
  std::unordered_map<std::uint32_t, std::vector<capture::Claim>> claims;
  for (const auto& flow : table_.desired()) {
    entries.push_back({flow.key, flow.mask, flow.value});
    const auto& shares = table_.shares(flow.value.slot);
    for (const auto& share : shares) {
      // The deadline of a slot that others hold too is not this run's: it claims nothing any more.
      if (shares.size() > 1 && ending_.contains(share.run)) continue;
      claims[flow.value.slot].push_back({share.run, share.direction, share.snaplen});
    }
  }
  recorder_.claim(std::move(claims));
  auto applied = source_->apply(entries);
  if (!applied) return applied.error();
  return {};
}

// -- the end of a run: deadline zero, programs in flight over, ring drained, counted, deleted

void Sensor::arm_expiry() {
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

void Sensor::end_expired() {
  for (const RunId& run : table_.expire(clock_.monotonic_ns())) end_run(run, "expired");
}

void Sensor::end_run(const RunId& run, const std::string& reason) {
  if (!ending_.insert(run).second) return;
  drain_ring();  // with its claims as they were
  if (auto written = apply_flows(); !written)
    spdlog::error("ending a run: {}", written.error().text());
  asio::post(workers_, [this, run, reason] {
    auto quiet = source_->quiesce();
    asio::post(io_, [this, run, reason, quiet] {
      if (!quiet)
        spdlog::warn("run {}: its last packets may be uncounted: {}", run.brief(),
                     quiet.error().text());
      finish_run(run, reason);
    });
  });
}

void Sensor::finish_run(const RunId& run, const std::string& reason) {
  drain_ring();
  const sense::Activation& activation = *table_.find(run);
  report(FL_FRAME_ACTIVATION, run,
         activation_report("ended", config_.name, activation, clock_.utc_ns(), reason));
  report(FL_FRAME_FINAL_COUNTS, run, counts_of(activation, true));
  spdlog::info("run {} ended ({})", run.brief(), reason);
  table_.remove(run);
  gate_.forget(run);
  baselines_.erase(run);
  sharing_.erase(run);
  recorder_.forget(run);
  ending_.erase(run);
  told_.erase(run);
  if (auto written = apply_flows(); !written)
    spdlog::error("removing a run: {}", written.error().text());
}

}  // namespace fieldline::app
