// SPDX-License-Identifier: Apache-2.0
#include "cli/ping_output.h"

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

json grant_json(const sense::Grant& grant) {
  json pairs = json::array();
  for (const auto& pair : grant.pairs) pairs.push_back({pair.a, pair.b});
  return {{"protocol", grant.protocol},
          {"verb", grant.verb == FL_VERB_COUNT ? "count" : "capture"},
          {"host_a", grant.host_a.to_string()},
          {"host_b", grant.host_b.to_string()},
          {"pairs", pairs},
          {"issued_at_ns", grant.issued_at_ns},
          {"not_after_ns", grant.not_after_ns},
          {"snaplen", grant.snaplen},
          {"sample_n", grant.sample_n}};
}

// Documents of sensors: their members stay, ours name the event.
json without_schema(json document) {
  document.erase("schema");
  if (document.contains("event")) {
    document["state"] = document["event"];
    document.erase("event");
  }
  return document;
}

}  // namespace

void PingOutput::put(const std::string& text) {
  if (closed_) return;
  auto written = write_all(1, text);
  if (written) return;
  closed_ = true;
  if (written.error().code != Code::closed) complain(written.error());
}

void PingOutput::event(const char* name, json fields) {
  fields["schema"] = "fieldline.ping/1";
  fields["event"] = name;
  put(json_text(fields, -1) + "\n");
}

void PingOutput::line(const std::string& text) {
  if (form_ == Form::lines) put(text + "\n");
}

void PingOutput::remark(const std::string& text) {
  screen_.forget();
  note(text);
}

void PingOutput::granted(const RunGrant& grant, const Plan& plan, const std::string& key,
                         const std::string& principal) {
  if (form_ == Form::json) {
    event("granted", {{"run", grant.run().hex()},
                      {"at_ns", grant.grant().issued_at_ns},
                      {"key", key},
                      {"principal", principal},
                      {"owners", plan.owners},
                      {"notes", plan.notes},
                      {"grant", grant_json(grant.grant())}});
    return;
  }
  for (const auto& one : plan.notes) remark(one);
  line("granted run " + grant.run().hex() + " for " +
       short_duration(grant.grant().not_after_ns - grant.grant().issued_at_ns) + ": " +
       plan.to_string());
}

void PingOutput::pulse(const RunGrant& grant, std::uint64_t at_ns, bool ending) {
  if (form_ != Form::json) return;
  event("pulse", {{"run", grant.run().hex()},
                  {"at_ns", at_ns},
                  {"sequence", grant.pulses()},
                  {"ending", ending}});
}

void PingOutput::activation(const WatchEvent& from) {
  if (form_ == Form::json) {
    auto fields = without_schema(from.document);
    fields["run"] = from.run.hex();
    event("activation", std::move(fields));
    return;
  }
  std::string state = string_at(from.document, "event"),
              reason = string_at(from.document, "reason");
  if (state == "renewed" || state == "started") return;  // a start is told by activated()
  line(printable(string_at(from.document, "sensor")) + " " + printable(state) +
       (reason.empty() ? "" : ": " + printable(reason)) + ", run " + from.run.brief());
}

void PingOutput::counts(const WatchEvent& from) {
  if (form_ != Form::json) return;
  auto fields = without_schema(from.document);
  fields["run"] = from.run.hex();
  event("counts", std::move(fields));
}

void PingOutput::activated(const std::string& sensor, std::size_t count, unsigned wanted) {
  if (form_ == Form::json) {
    json fields = {{"sensor", sensor}, {"count", count}};
    if (wanted > 0) fields["wanted"] = wanted;
    if (wanted > 0) fields["reached"] = count >= wanted;
    event("activated", std::move(fields));
    return;
  }
  std::string of = wanted > 0 ? " of " + std::to_string(wanted) : "";
  line("activated " + sensor + " (" + std::to_string(count) + of + ")");
}

void PingOutput::ended(const RunGrant& grant, const std::string& reason) {
  if (form_ == Form::json) {
    event("ended", {{"run", grant.run().hex()}, {"reason", reason}, {"pulses", grant.pulses()}});
    return;
  }
  line("ended run " + grant.run().brief() + " (" + reason + "), " + std::to_string(grant.pulses()) +
       " pulses sent");
}

void PingOutput::live(const std::string& table) {
  if (form_ != Form::terminal || closed_) return;
  closed_ = !screen_.draw(table);
}

void PingOutput::final_table(const std::string& table) {
  if (form_ == Form::json) return;
  if (form_ == Form::lines) return put(table);
  live(table);
  screen_.forget();
}

void PingOutput::summary(const json& summary, const std::string& text) {
  if (form_ == Form::json) return event("summary", summary);
  put(text);
}

}  // namespace fieldline::cli
