// SPDX-License-Identifier: Apache-2.0
// What goes by the rules, what stays, and what is said of it.
#include "archive/retention.h"

#include "archive_house.h"

using namespace fieldline;
using namespace fieldline::test;
using archive::Deletion;

namespace {

constexpr std::uint64_t kDay = 86'400 * kNanosPerSecond;

std::vector<RunId> listed(archive::Archive& archive, const archive::Principal& reader = {}) {
  std::vector<RunId> ids;
  const auto runs = archive.runs(10'000, reader).value();
  for (const auto& run : runs) ids.push_back(run.run);
  return ids;
}

}  // namespace

TEST_CASE("a run goes whole when it is too old, and everybody who may know is told when and why") {
  House house;
  house.make_run(1, 3'000);
  house.clock.pass(20 * kDay);
  house.make_run(2, 3'000);
  house.rules.max_age_ns = 30 * kDay;
  house.archive->set_rules(house.rules);
  REQUIRE(house.tend().deleted.empty());
  house.clock.pass(11 * kDay);
  const auto tended = house.tend();
  REQUIRE(tended.deleted.size() == 1);
  REQUIRE(tended.chunks > 1);
  REQUIRE(listed(*house.archive) == std::vector{run_id(2)});
  REQUIRE_FALSE(house.archive->find(run_id(1)).value().has_value());
  for (bool reopened : {false, true}) {
    if (reopened) house.reopen();
    archive::Query query;
    query.run = run_id(1);
    query.reader = kOwner;
    auto told = house.archive->query(query).error();
    REQUIRE(told.code == Code::not_found);
    REQUIRE(told.text().find("was deleted on") != std::string::npos);
    REQUIRE(told.text().find("max_age") != std::string::npos);
    REQUIRE(house.archive->resolve(run_id(1).hex(), kOwner).value() == run_id(1));
    query.reader = "stranger@site-b";
    REQUIRE(house.archive->query(query).error().text() ==
            archive::no_such_run(run_id(1).hex()).text());
    auto list = house.archive->deletions(10, kOwner);
    REQUIRE(list.size() == 1);
    REQUIRE(list[0].run == run_id(1));
    REQUIRE(list[0].reason == Deletion::Reason::age);
    REQUIRE(list[0].records == 3'000);
    REQUIRE(house.archive->deletions(10, "stranger@site-b").empty());
    REQUIRE(ask(*house.archive, run_id(2)).packets.size() == 3'000);
  }
  REQUIRE(house.archive->reindex());
  REQUIRE(listed(*house.archive) == std::vector{run_id(2)});
}

TEST_CASE("for want of room the oldest chunks go with all of their runs, and no more than needed") {
  House house;
  for (std::uint8_t n = 1; n <= 8; ++n) {
    house.make_run(n, 2'000);
    house.clock.pass(kDay);
  }
  const auto before = house.bytes();
  house.rules.max_bytes = before / 2;
  house.archive->set_rules(house.rules);
  house.tend_all();
  REQUIRE(house.bytes() <= before / 2);
  REQUIRE(house.bytes() > before / 4);
  const auto left = listed(*house.archive);
  REQUIRE(left.size() >= 3);
  for (std::size_t i = 0; i < left.size(); ++i) {
    REQUIRE(left[i] == run_id(static_cast<std::uint8_t>(8 - i)));  // the newest
    REQUIRE(ask(*house.archive, left[i]).packets.size() == 2'000);
    REQUIRE(ask(*house.archive, left[i]).skipped_bytes == 0);
  }
  const auto counters = house.archive->counters();
  REQUIRE(counters.runs_deleted == 8 - left.size());
  REQUIRE(counters.bytes_deleted + house.bytes() == before);
  REQUIRE(house.archive->deletions(1)[0].reason == Deletion::Reason::size);
}

TEST_CASE("a disk with too little room is given some") {
  House house;
  for (std::uint8_t n = 1; n <= 4; ++n) {
    house.make_run(n, 2'000);
    house.clock.pass(kDay);
  }
  house.rules.keep_free_share = 0.5;
  house.archive->set_rules(house.rules);
  house.files.disk = Space{1'000'000'000, 500'000'000, false};
  house.tend_all();
  REQUIRE(listed(*house.archive).size() == 4);
  house.files.disk->free -= 1;
  REQUIRE(house.tend().deleted.size() == 1);
  REQUIRE(house.archive->deletions(1)[0].run == run_id(1));
  REQUIRE(house.archive->deletions(1)[0].reason == Deletion::Reason::free);
}

TEST_CASE("ChunkRemovedByHand: what somebody deleted already keeps nothing else from going") {
  House house;
  for (std::uint8_t n = 1; n <= 6; ++n) {
    house.make_run(n, 2'000);
    house.clock.pass(kDay);
  }
  const auto sealed = chunk_files(house.dir.path(), "sealed");
  REQUIRE(sealed.size() > 2);
  std::filesystem::remove(sealed.front());
  const auto before = house.bytes();
  house.rules.max_bytes = before / 2;
  house.archive->set_rules(house.rules);
  house.tend_all();
  REQUIRE(house.bytes() <= before / 2);
  REQUIRE(house.archive->counters().bytes_deleted + house.bytes() == before);
}

TEST_CASE("OpenRunOfTheFarFuture: no timestamp of a sensor makes an open run old") {
  House house;
  house.make_run(1, 10);
  house.start_run(2, 10);
  auto late = record(run_id(2), house.next(0), kFrame, UINT64_MAX - 1);
  REQUIRE(house.archive->append(session_id(0), late));
  sync(*house.archive);
  house.drop_sessions();
  house.clock.pass(kNanosPerSecond);
  const auto pruned = house.archive->prune({{run_id(2)}, {}, false, kOwner, false}).value();
  REQUIRE(pruned.at(0).fate == archive::Pruned::Fate::open);
  REQUIRE(listed(*house.archive).size() == 2);
}

TEST_CASE("StuckOn: a run whose last reports were lost ends with its grant, and goes in its time") {
  House house;
  const std::uint64_t not_after = house.clock.utc_ns() + 60 * kNanosPerSecond;
  house.start_run(1, 10);
  const RunId session = house.connect(1);
  REQUIRE(house.archive->append(session, configuration(house.next(1)).report()));
  auto report = activation(run_id(2), house.next(1), "started", house.clock.utc_ns(), kOwner);
  auto json = nlohmann::json::parse(report.json);
  json["grant"]["not_after_ns"] = not_after;
  report.json = json.dump();
  REQUIRE(house.archive->append(session, report.report()));
  sync(*house.archive);

  const auto ended_ns = [&] {
    auto runs = house.archive->runs(10, kOwner, {});
    REQUIRE(runs);
    const auto run = std::find_if(runs->begin(), runs->end(),
                                  [](const auto& one) { return one.run == run_id(2); });
    REQUIRE(run != runs->end());
    REQUIRE_FALSE(run->complete);
    return run->ended_ns;
  };
  REQUIRE(ended_ns() == 0);
  house.clock.pass(61 * kNanosPerSecond);
  REQUIRE(ended_ns() == 0);  // the sensor's clock may be behind
  house.clock.pass(60 * kNanosPerSecond);
  REQUIRE(ended_ns() == not_after);

  // Its sensor is still connected, and may have a backlog of it for a day.
  house.rules.max_age_ns = kDay / 4;
  house.archive->set_rules(house.rules);
  house.clock.pass(kDay / 2);
  house.tend_all();
  REQUIRE(listed(*house.archive).size() == 2);
  house.clock.pass(kDay);
  house.tend_all();
  REQUIRE(listed(*house.archive) == std::vector{run_id(1)});  // of which no end is known
}

TEST_CASE("StuckRunsHideNothing: so many runs that may not go keep no other from going") {
  House house(8 << 20);
  constexpr std::uint64_t kStuck = 1500;
  const auto stuck_id = [](std::uint64_t n) {
    return id_of(static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n));
  };
  const RunId session = house.connect(0);
  REQUIRE(house.archive->append(session, configuration(house.next(0)).report()));
  for (std::uint64_t n = 1; n <= kStuck; ++n) {  // 0 is no run
    auto started = activation(stuck_id(n), house.next(0), "started", house.clock.utc_ns(), kOwner);
    REQUIRE(house.archive->append(session, started.report()));
  }
  sync(*house.archive);
  house.clock.pass(kNanosPerSecond);
  house.make_run(1, 10, 1);
  house.clock.pass(kDay);
  house.rules.max_age_ns = kDay / 4;
  house.archive->set_rules(house.rules);
  house.tend_all();
  auto runs = house.archive->runs(2 * kStuck, kOwner, {});
  REQUIRE(runs);
  REQUIRE(runs->size() == kStuck);
  REQUIRE(std::none_of(runs->begin(), runs->end(),
                       [](const auto& one) { return one.run == run_id(1); }));
}

TEST_CASE("a run that is open, being read, or waited for goes by no rule") {
  House house;
  house.start_run(1, 2'000);
  house.make_run(2, 2'000);
  house.clock.pass(kDay / 2);
  archive::Query query;
  query.run = run_id(2);
  auto cursor = house.archive->query(query);
  REQUIRE(cursor);
  AnswerReader reader;
  house.rules.max_age_ns = kDay / 4;
  house.rules.max_bytes = 1;
  house.archive->set_rules(house.rules);
  auto tended = house.tend();
  REQUIRE(tended.deleted.empty());
  REQUIRE_FALSE(tended.remark.empty());
  reader.drain(**cursor);
  REQUIRE(reader.answer.packets.size() == 2'000);
  cursor->reset();
  house.tend_all();
  REQUIRE(listed(*house.archive) == std::vector{run_id(1)});

  // Its sensor goes away without a last word, and may come back within a day.
  house.drop_sessions();
  house.clock.pass(kDay / 3);
  house.tend_all();
  REQUIRE(ask(*house.archive, run_id(1)).packets.size() == 2'000);
  house.clock.pass(kDay);
  house.tend_all();
  REQUIRE(listed(*house.archive).empty());
}

TEST_CASE(
    "runs that share a chunk: what is old is gone at once, its bytes when the last of them may") {
  House house(64 << 20);
  house.make_run(1, 500);
  house.start_run(2, 500);
  house.clock.pass(2 * kDay);
  house.rules.max_age_ns = kDay;
  house.archive->set_rules(house.rules);
  const auto before = house.bytes();
  REQUIRE(house.tend().deleted.size() == 1);
  REQUIRE(house.bytes() == before);
  REQUIRE(listed(*house.archive) == std::vector{run_id(2)});
  REQUIRE(house.archive->reindex());
  REQUIRE(listed(*house.archive) == std::vector{run_id(2)});
  house.reopen();
  REQUIRE(listed(*house.archive) == std::vector{run_id(2)});
  REQUIRE(ask(*house.archive, run_id(2)).packets.size() == 500);

  house.connect(0);
  house.end_run(2);
  house.clock.pass(2 * kDay);
  house.tend_all();
  house.clock.pass(kDay);
  house.tend_all();
  REQUIRE(listed(*house.archive).empty());
  REQUIRE(house.bytes() < 2'000);  // the chunk by which the session goes on
}

TEST_CASE("what arrives of a run after its deletion is taken, and shown to nobody") {
  House house;
  house.make_run(1, 100);
  archive::PruneRequest request{{run_id(1)}, {}, false, kOwner, false};
  REQUIRE(house.archive->prune(request).value().at(0).fate == archive::Pruned::Fate::deleted);
  auto session = house.connect(9);
  REQUIRE(house.archive->append(session, record(run_id(1), 1, kFrame)));
  REQUIRE(sync(*house.archive)[session] == 1);
  REQUIRE(listed(*house.archive).empty());
  house.reopen();
  REQUIRE(listed(*house.archive).empty());
}

TEST_CASE("a clock that jumps, or that nothing keeps right, makes no run old") {
  House house;
  house.make_run(1, 100);
  house.rules.max_age_ns = 30 * kDay;
  house.archive->set_rules(house.rules);
  REQUIRE(house.tend().remark.empty());
  house.clock.jump(366 * kDay);
  for (int look = 0; look < 3; ++look) {
    auto tended = house.tend();
    REQUIRE(tended.deleted.empty());
    REQUIRE(tended.remark.find("moved by more than an hour") != std::string::npos);
    house.clock.pass(kDay / 24);
  }
  house.clock.jump(-2 * 366 * static_cast<std::int64_t>(kDay));
  REQUIRE_FALSE(house.tend().remark.empty());
  house.clock.jump(366 * kDay);
  REQUIRE(house.tend().remark.empty());
  REQUIRE(listed(*house.archive).size() == 1);

  house.clock.pass(31 * kDay);
  REQUIRE(house.tend(false).deleted.empty());
  REQUIRE(house.tend(false).remark.find("adjtimex") != std::string::npos);
  REQUIRE(house.tend(true).deleted.size() == 1);
}

TEST_CASE("a jump is believed when somebody says so") {
  archive::ClockWatch watch;
  watch.look(5 * kDay, kDay, false);
  REQUIRE_FALSE(watch.is_right());
  watch.look(500 * kDay, kDay, true);  // set right, for the first time
  REQUIRE(watch.is_right());
  watch.look(500 * kDay + kNanosPerSecond, kDay, true);
  REQUIRE(watch.is_right());
  watch.look(10 * kDay, kDay, true);
  REQUIRE(watch.has_jumped());
  watch.trust_again();
  watch.look(10 * kDay, kDay, true);
  REQUIRE(watch.is_right());
}

TEST_CASE("everybody prunes runs of his own, an admin all of them, and nobody an open one") {
  House house;
  house.make_run(1, 100);
  house.start_run(2, 100);
  house.make_run(3, 100, 0, "other@site-b");
  // The id of a run of his, in a session of another's making.
  house.make_run(4, 100);
  house.make_run(4, 100, 5, "other@site-b");
  house.clock.pass(kDay);
  using Fate = archive::Pruned::Fate;
  auto fates = [&](archive::PruneRequest request) {
    std::map<RunId, Fate> all;
    const auto pruned = house.archive->prune(request).value();
    for (const auto& one : pruned) all[one.run.run] = one.fate;
    return all;
  };
  archive::PruneRequest request;
  request.runs = {run_id(1), run_id(2), run_id(3), run_id(4)};
  request.by = kOwner;
  request.dry_run = true;
  const std::map<RunId, Fate> wanted = {{run_id(1), Fate::deleted},
                                        {run_id(2), Fate::open},
                                        {run_id(3), Fate::not_yours},
                                        {run_id(4), Fate::not_yours}};
  REQUIRE(fates(request) == wanted);
  REQUIRE(listed(*house.archive).size() == 4);
  request.dry_run = false;
  REQUIRE(fates(request) == wanted);
  REQUIRE(listed(*house.archive).size() == 3);
  REQUIRE(house.archive->deletions(5)[0].by == kOwner);
  request.runs = {};
  request.ended_before_ns = house.clock.utc_ns();
  request.all = true;
  REQUIRE(fates(request).size() == 3);
  REQUIRE(listed(*house.archive) == std::vector{run_id(2)});
}

TEST_CASE("whoever reads a run while it is pruned is told") {
  House house;
  house.make_run(1, 20'000);
  archive::Query query;
  query.run = run_id(1);
  auto cursor = house.archive->query(query);
  REQUIRE(cursor);
  REQUIRE((*cursor)->next().value()->size() > 0);
  REQUIRE(house.archive->prune({{run_id(1)}, {}, false, kOwner, false}));
  auto told = (*cursor)->next();
  REQUIRE(told.error().code == Code::not_found);
  REQUIRE(told.error().text().find("while it was read") != std::string::npos);
}

TEST_CASE("a sensor goes on behind a deletion, with its ports' names") {
  House house;
  house.make_run(1, 1'000);
  REQUIRE(house.archive->prune({{run_id(1)}, {}, false, kOwner, false}));
  house.drop_sessions();
  REQUIRE(house.connect(0) == session_id(0));
  house.make_run(2, 10);
  REQUIRE(house.archive->counters().gaps == 0);
  REQUIRE(ask(*house.archive, run_id(2)).interfaces == std::vector<std::string>{"s0:tap0"});
}

TEST_CASE(
    "a full disk: nothing is taken, everything is answered, and it goes on when there is room") {
  House house;
  house.make_run(1, 1'000);
  house.start_run(2, 10);
  house.files.disk = Space{100 << 20, (1 << 20) - 1, false};
  REQUIRE(house.archive->append(session_id(0), record(run_id(2), house.next(0), kFrame)));
  std::uint64_t safe = 0;
  auto synced = house.archive->sync([&](const RunId&, std::uint64_t n) { safe = n; });
  REQUIRE(synced.error().code == Code::exhausted);
  REQUIRE(safe == house.last(0));  // what is on disk is said to be
  REQUIRE(house.archive->disk().is_full);
  auto refused = house.archive->open_session(session_id(7), "SHA256:key", "s7", "site-a");
  REQUIRE(refused.error().code == Code::exhausted);
  REQUIRE(refused.error().text().find("runs --prune") != std::string::npos);
  REQUIRE(ask(*house.archive, run_id(1)).packets.size() == 1'000);
  REQUIRE(ask(*house.archive, run_id(2)).packets.size() == 11);
  house.files.disk->free = 1 << 20;
  REQUIRE_FALSE(house.archive->open_session(session_id(7), "SHA256:key", "s7", "site-a"));
  house.files.disk->free = 2 << 20;
  REQUIRE(house.archive->open_session(session_id(7), "SHA256:key", "s7", "site-a"));
  REQUIRE_FALSE(house.archive->disk().is_full);
}

TEST_CASE("a read-only disk is refused with what to do") {
  House house;
  house.files.disk = Space{100 << 20, 50 << 20, true};
  house.archive.reset();
  auto opened = archive::Archive::open(house.options());
  REQUIRE(opened.error().code == Code::denied);
  REQUIRE(opened.error().text().find("remount,rw") != std::string::npos);
}
