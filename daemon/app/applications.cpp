// SPDX-License-Identifier: Apache-2.0
#include "app/applications.h"

#include "base/clock.h"
#include "sense/grant_holder.h"

namespace fieldline::app {

namespace {

// For events of a run's last moments, and for an archive that was away when it ended.
constexpr std::uint64_t kGrace = 600 * kNanosPerSecond;

}  // namespace

Result<archive::Owner> Applications::admit(const stream::ProducerHello& hello,
                                           const sense::Trust& trust, std::uint64_t now) {
  auto owner = check(hello, trust, now);
  if (!owner) ++refused_grants_;
  return owner;
}

// The session's number is the key's, so that what one grant may write is bounded by one session's
// count, which outlives connections and restarts.
Result<archive::Owner> Applications::check(const stream::ProducerHello& hello,
                                           const sense::Trust& trust, std::uint64_t now) const {
  auto holder = sense::check_grant(hello.proof->grant, hello.proof->signature, trust, now, kGrace);
  if (!holder) return holder.error();
  if (stream::fingerprint_of_key(holder->grant.run_key) != hello.key) {
    return fail(Code::denied, "the grant names another key than TLS showed");
  }
  if (hello.session != stream::session_of_key(hello.key)) {
    return fail(Code::invalid, "an application's session begins as its key's fingerprint does");
  }
  if (!runs_.contains(hello.session) && runs_.size() >= limits_.connections) {
    return fail(Code::exhausted, "this archive has " + std::to_string(runs_.size()) +
                                     " applications and takes no more; its operator sets "
                                     "[archive.applications] connections");
  }
  return archive::Owner{holder->grant.run, holder->principal};
}

Result<void> Applications::judge(const RunId& session, std::uint8_t type,
                                 const stream::Item& item) {
  auto at = runs_.find(session);
  const bool is_event = type == FL_FRAME_APPLICATION_EVENT;
  const bool is_allowed = at == runs_.end() ? !is_event : is_event && item.run == at->second;
  if (!is_allowed) {
    ++refused_items_;
    return fail(Code::denied,
                "application events are an application's to write, of its own run "
                "alone, and nothing else is");
  }
  if (!is_event) return {};
  if (item.sequence > limits_.events) {
    ++refused_items_;
    return fail(Code::exhausted, "this archive takes " + std::to_string(limits_.events) +
                                     " application events of a run; its operator sets "
                                     "[archive.applications] events");
  }
  ++events_;
  return {};
}

bool Applications::refuse_status(const RunId& session) {
  if (!runs_.contains(session)) return false;
  ++refused_items_;
  return true;
}

nlohmann::json Applications::status() const {
  return {{"connected", runs_.size()},
          {"events", events_},
          {"refused_grants", refused_grants_},
          {"refused_items", refused_items_}};
}

}  // namespace fieldline::app
