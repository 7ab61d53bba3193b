// SPDX-License-Identifier: Apache-2.0
#include "app/house.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "app/answers.h"
#include "base/clock.h"
#include "source/clock_facts.h"

namespace fieldline::app {

using nlohmann::json;

namespace {

// How fast a disk fills bounds it from above: at 200 MB/s, 1 GB between two looks.
constexpr std::chrono::seconds kPeriod{5};

const char* name_of(archive::Pruned::Fate fate) {
  switch (fate) {
    case archive::Pruned::Fate::deleted:
      return "deleted";
    case archive::Pruned::Fate::open:
      return "open";
    case archive::Pruned::Fate::not_yours:
      return "not_yours";
  }
  return "unknown";
}

}  // namespace

json to_json(const archive::RunSummary& run) {
  return {{"run", run.run.hex()},
          {"principal", run.principal},
          {"started_ns", run.started_ns},
          {"ended_ns", run.ended_ns},
          {"records", run.records},
          {"events", run.events},
          {"application_events", run.application_events},
          {"grant", run.grant},
          {"sensors", run.sensors},
          {"complete", run.complete}};
}

void House::set_rules(const archive::Rules& rules) {
  rules_ = rules;
  archive_.set_rules(rules);
}

void House::look() {
  auto tended = archive_.tend(source::read_clock_facts().synchronized);
  bool has_more = false;
  if (tended) {
    tell(*tended);
    has_more = tended->has_more;
  } else if (tended.error().text() != remark_) {
    remark_ = tended.error().text();
    spdlog::error("archive: {}; it is tried again every {} s", remark_, kPeriod.count());
  }
  // What waits is served between two steps.
  next_.expires_after(has_more ? std::chrono::seconds(0) : kPeriod);
  next_.async_wait([this](boost::system::error_code error) {
    if (!error) look();
  });
}

void House::tell(const archive::Tended& tended) {
  for (const auto& one : tended.deleted) {
    spdlog::debug("run {} deleted: {}", one.run.hex(), archive::name_of(one.reason));
  }
  if (!tended.deleted.empty()) {
    spdlog::info(
        "retention ({}): {} runs deleted, {} chunks, {} MiB; `fieldline runs --deleted` lists them",
        archive::name_of(tended.deleted.back().reason), tended.deleted.size(), tended.chunks,
        tended.bytes >> 20);
  }
  if (tended.remark == remark_) return;
  remark_ = tended.remark;
  if (!remark_.empty()) spdlog::warn("retention: {}", remark_);
}

void House::tell_sync(const Result<void>& synced) {
  const std::string trouble = synced ? std::string() : synced.error().text();
  const bool is_news = trouble.empty() != trouble_.empty();
  trouble_ = trouble;
  if (!is_news) return;
  if (synced) {
    spdlog::info("archive: records are taken and acknowledged again");
  } else {
    spdlog::error(
        "archive: {}; nothing is acknowledged until it works again, and producers keep "
        "in their spools what fits",
        trouble);
  }
}

Result<json> House::prune(const json& request, const std::string& by, bool is_admin,
                          const archive::Principal& view) {
  auto asked = parse_prune(request);
  if (!asked) return asked.error();
  archive::PruneRequest prune;
  prune.by = by;
  prune.all = is_admin;
  prune.dry_run = asked->dry_run;
  for (const auto& name : asked->runs) {
    auto run = archive_.resolve(name, view);
    if (!run) return run.error();
    prune.runs.push_back(*run);
  }
  if (asked->older_than_ns) {
    const std::uint64_t now_ns = SystemClock().utc_ns();
    prune.ended_before_ns = now_ns - std::min(now_ns, *asked->older_than_ns);
  }
  auto pruned = archive_.prune(prune);
  if (!pruned) return pruned.error();
  std::size_t gone = 0;
  json list = json::array();
  for (const auto& one : *pruned) {
    json run = to_json(one.run);
    run["fate"] = name_of(one.fate);
    list.push_back(std::move(run));
    gone += one.fate == archive::Pruned::Fate::deleted;
  }
  if (gone > 0 && !prune.dry_run) spdlog::info("{} deleted {} runs (runs --prune)", by, gone);
  return {boost::system::in_place_value,
          json{{"runs", std::move(list)},
               {"dry_run", prune.dry_run},
               {"more", pruned->size() >= archive::Archive::kMostPruned}}};
}

json House::deletions(std::size_t limit, const archive::Principal& view) const {
  json list = json::array();
  for (const auto& one : archive_.deletions(limit, view)) list.push_back(archive::to_json(one));
  return list;
}

json House::status() const {
  const archive::Disk disk = archive_.disk();
  return {
      {"disk",
       {{"state", disk.is_full           ? "full"
                  : disk.trouble.empty() ? "ok"
                                         : "failing"},
        {"why", disk.trouble},
        {"total_bytes", disk.total},
        {"free_bytes", disk.free},
        {"floor_bytes", disk.floor}}},
      {"retention",
       {{"max_age_ns", rules_.max_age_ns},
        {"max_bytes", rules_.max_bytes},
        {"keep_free_bytes", std::max(rules_.keep_free_bytes,
                                     static_cast<std::uint64_t>(rules_.keep_free_share *
                                                                static_cast<double>(disk.total)))},
        {"remark", remark_}}}};
}

}  // namespace fieldline::app
