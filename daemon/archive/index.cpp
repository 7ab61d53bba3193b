// SPDX-License-Identifier: Apache-2.0
#include "archive/index.h"

#include "proto/frame.h"

namespace fieldline::archive {

namespace {

constexpr std::uint64_t kVersion = 4;

constexpr const char* kTables = R"(
  CREATE TABLE sessions(session BLOB PRIMARY KEY, producer TEXT, name TEXT, domain TEXT, owner TEXT) WITHOUT ROWID;
  CREATE TABLE chunks(session BLOB, number INTEGER, sealed INTEGER, bytes INTEGER, skipped INTEGER,
    first_sequence INTEGER, last_sequence INTEGER, newest_ns INTEGER,
    PRIMARY KEY(session, number)) WITHOUT ROWID;
  CREATE INDEX chunks_by_age ON chunks(sealed, newest_ns, session, number);
  CREATE TABLE runs(run BLOB PRIMARY KEY, began_ns INTEGER, newest_ns INTEGER) WITHOUT ROWID;
  CREATE INDEX runs_by_begin ON runs(began_ns DESC, run);
  CREATE INDEX runs_by_age ON runs(newest_ns, run);
  CREATE TABLE run_chunks(run BLOB, session BLOB, number INTEGER, records INTEGER, reports INTEGER,
    first_ns INTEGER, last_ns INTEGER, began_ns INTEGER, newest_ns INTEGER,
    PRIMARY KEY(run, session, number)) WITHOUT ROWID;
  CREATE INDEX run_chunks_of_chunk ON run_chunks(session, number);
  CREATE TABLE reports(run BLOB, session BLOB, number INTEGER, sequence INTEGER, type INTEGER, json TEXT,
    principal TEXT, PRIMARY KEY(run, session, number, sequence)) WITHOUT ROWID;
  CREATE INDEX reports_of_chunk ON reports(session, number);
  CREATE INDEX reports_of_principal ON reports(run, session, principal);
  PRAGMA user_version=4;
)";

constexpr const char* kChunkColumns =
    "SELECT c.session, c.number, c.sealed, c.bytes, c.last_sequence, c.newest_ns, s.producer "
    "FROM chunks c LEFT JOIN sessions s ON s.session = c.session ";

// Of run_chunks r: the sessions in which a report of the run names ?2, and the applications' that
// are ?2's; all of them if ?1 is 0.
constexpr const char* kSeenByReader =
    "(?1 = 0 OR EXISTS (SELECT 1 FROM reports p WHERE p.run = r.run AND p.session = r.session "
    "AND p.principal = ?2) OR EXISTS (SELECT 1 FROM sessions o WHERE o.session = r.session "
    "AND o.owner = ?2)) ";

// The same of runs r, whichever the session.
constexpr const char* kGrantedToReader =
    "(?1 = 0 OR EXISTS (SELECT 1 FROM reports p WHERE p.run = r.run AND p.principal = ?2) "
    "OR EXISTS (SELECT 1 FROM run_chunks k JOIN sessions o ON o.session = k.session "
    "WHERE k.run = r.run AND o.owner = ?2)) ";

// The earlier of two times of which 0 is none.
constexpr const char* kAddRun =
    "INSERT INTO runs VALUES(?,?,?) ON CONFLICT(run) DO UPDATE SET began_ns = CASE "
    "WHEN excluded.began_ns = 0 THEN began_ns WHEN began_ns = 0 THEN excluded.began_ns "
    "ELSE MIN(began_ns, excluded.began_ns) END, newest_ns = MAX(newest_ns, excluded.newest_ns)";

void bind_reader(Statement& rows, const Principal& reader) {
  rows.bind(reader ? 1 : 0).bind(reader.value_or(""));
}

ChunkRow chunk_row(const Statement& row) {
  return {{row.id(0), static_cast<std::uint32_t>(row.number(1))},
          row.number(2) != 0,
          row.number(3),
          row.number(4),
          row.number(5),
          row.text(6)};
}

// All rows of a statement whose parameters are bound.
template <class Row>
auto collect(Statement& statement, Row&& row) -> Result<std::vector<decltype(row(statement))>> {
  std::vector<decltype(row(statement))> rows;
  for (;;) {
    auto more = statement.step();
    if (!more) return more.error();
    if (!*more) return rows;
    rows.push_back(row(statement));
  }
}

// The first `limit` of the runs that a statement gives and that are not hidden.
Result<std::vector<RunId>> collect_runs(Statement& rows, std::size_t limit, const Hidden& hidden) {
  std::vector<RunId> runs;
  while (runs.size() < limit) {
    auto more = rows.step();
    if (!more) return more.error();
    if (!*more) break;
    const RunId run = rows.id(0);
    if (!hidden(run)) runs.push_back(run);
  }
  return runs;
}

Result<void> check(Database& db) {
  Statement version(db, "PRAGMA user_version");
  auto row = version.step();
  if (!row) return row.error();
  if (!*row || version.number(0) != kVersion) {
    return fail(Code::unsupported, "the index is of another version, or empty");
  }
  Statement quick(db, "PRAGMA quick_check(1)");
  row = quick.step();
  if (!row) return row.error();
  if (!*row || quick.text(0) != "ok") return fail(Code::invalid, "the index is damaged");
  return {};
}

}  // namespace

Result<std::unique_ptr<Index>> Index::open(const std::string& path) {
  auto db = Database::open(path);
  if (!db) return db.error();
  auto usable = check(*db);
  if (!usable) return usable.error();
  auto mode = db->run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;");
  if (!mode) return mode.error();
  return std::unique_ptr<Index>(new Index(std::move(*db)));
}

Result<std::unique_ptr<Index>> Index::create(const std::string& path) {
  auto db = Database::open(path);
  if (!db) return db.error();
  auto made = db->run("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;");
  if (made) made = db->run(kTables);
  if (!made) return made.error();
  return std::unique_ptr<Index>(new Index(std::move(*db)));
}

// Without memory a body ends by an exception.
Result<void> Index::transaction(const std::function<Result<void>()>& body) {
  auto begun = db_.run("BEGIN IMMEDIATE");
  if (!begun) return begun.error();
  struct Rollback {
    Database* db;
    ~Rollback() {
      if (db != nullptr) sqlite3_exec(db->get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
  } rollback{&db_};
  auto done = body();
  if (done) done = db_.run("COMMIT");
  if (done) rollback.db = nullptr;
  return done;
}

Result<void> Index::put(const std::vector<Summary*>& summaries) {
  auto done = transaction([&]() -> Result<void> {
    for (Summary* summary : summaries) {
      auto written = write(*summary);
      if (!written) return written.error();
    }
    return {};
  });
  if (!done) return done.error();
  for (Summary* summary : summaries) summary->indexed_now();
  return {};
}

Result<void> Index::write(Summary& summary) {
  const auto& session = summary.head.session;
  // No owner is NULL, which equals no name.
  Statement sessions(db_, "INSERT OR REPLACE INTO sessions VALUES(?,?,?,?,NULLIF(?,''))");
  auto done = sessions.bind(session.id)
                  .bind(session.producer)
                  .bind(session.name)
                  .bind(session.domain)
                  .bind(session.owner ? session.owner->principal : std::string())
                  .finish();
  if (!done) return done.error();
  Statement chunks(db_, "INSERT OR REPLACE INTO chunks VALUES(?,?,?,?,?,?,?,?)");
  done = chunks.bind(session.id)
             .bind(summary.head.number)
             .bind(summary.sealed ? 1 : 0)
             .bind(summary.bytes)
             .bind(summary.skipped_bytes)
             .bind(summary.first_sequence)
             .bind(summary.last_sequence)
             .bind(summary.newest_ns())
             .finish();
  if (!done) return done.error();
  Statement runs(db_, "INSERT OR REPLACE INTO run_chunks VALUES(?,?,?,?,?,?,?,?,?)");
  Statement ages(db_, kAddRun);
  for (const auto& [run, part] : summary.runs) {
    if (!part.changed) continue;
    runs.bind(run).bind(session.id).bind(summary.head.number).bind(part.records).bind(part.reports);
    runs.bind(part.first_ns).bind(part.last_ns).bind(part.began_ns);
    done = runs.bind(part.newest_ns()).finish();
    if (done) done = ages.bind(run).bind(part.began_ns).bind(part.newest_ns()).finish();
    if (!done) return done.error();
  }
  Statement reports(db_, "INSERT OR REPLACE INTO reports VALUES(?,?,?,?,?,?,?)");
  for (const auto& report : summary.indexed) {
    reports.bind(report.run).bind(session.id).bind(summary.head.number);
    reports.bind(report.sequence).bind(report.type).bind(report.json);
    done = reports.bind(report.principal).finish();
    if (!done) return done.error();
  }
  return {};
}

// What the other chunks of a chunk's runs say of them; a run that stands in none goes.
Result<void> Index::age_runs_of(const ChunkName& name) {
  Statement left(
      db_,
      "INSERT OR REPLACE INTO runs SELECT r.run, COALESCE(MIN(NULLIF(r.began_ns, 0)), 0), "
      "MAX(r.newest_ns) FROM run_chunks r WHERE r.run IN (SELECT run FROM run_chunks "
      "WHERE session=?1 AND number=?2) AND NOT (r.session=?1 AND r.number=?2) GROUP BY r.run");
  auto done = left.bind(name.session).bind(name.number).finish();
  if (!done) return done.error();
  Statement gone(
      db_,
      "DELETE FROM runs WHERE run IN (SELECT run FROM run_chunks WHERE session=?1 AND number=?2) "
      "AND NOT EXISTS (SELECT 1 FROM run_chunks r WHERE r.run = runs.run "
      "AND NOT (r.session=?1 AND r.number=?2))");
  return gone.bind(name.session).bind(name.number).finish();
}

Result<void> Index::forget(const ChunkName& name) {
  return transaction([&]() { return drop(name); });
}

Result<void> Index::drop(const ChunkName& name) {
  auto aged = age_runs_of(name);
  if (!aged) return aged.error();
  for (const char* sql : {"DELETE FROM chunks WHERE session=? AND number=?",
                          "DELETE FROM run_chunks WHERE session=? AND number=?",
                          "DELETE FROM reports WHERE session=? AND number=?"}) {
    Statement statement(db_, sql);
    auto done = statement.bind(name.session).bind(name.number).finish();
    if (!done) return done.error();
  }
  Statement sessions(db_,
                     "DELETE FROM sessions WHERE session=?1 AND NOT EXISTS "
                     "(SELECT 1 FROM chunks WHERE session=?1)");
  return sessions.bind(name.session).finish();
}

Result<void> Index::replace(Summary& summary) {
  auto done = transaction([&]() -> Result<void> {
    auto dropped = drop(summary.name());
    if (!dropped) return dropped.error();
    return write(summary);
  });
  if (done) summary.indexed_now();
  return done;
}

Result<std::vector<ChunkRow>> Index::chunks() {
  Statement rows(db_, (std::string(kChunkColumns) + "ORDER BY c.session, c.number").c_str());
  return collect(rows, chunk_row);
}

Result<std::vector<ChunkRow>> Index::chunks_of(const RunId& session) {
  Statement rows(db_, (std::string(kChunkColumns) + "WHERE c.session=? ORDER BY c.number").c_str());
  rows.bind(session);
  return collect(rows, chunk_row);
}

Result<std::vector<RunChunk>> Index::parts_of(const RunId& run, const Principal& reader) {
  const std::string sql =
      std::string(
          "SELECT c.session, c.number, c.sealed, c.bytes, s.name, r.records, r.reports, "
          "r.first_ns, r.last_ns, c.first_sequence, c.last_sequence, r.newest_ns, c.newest_ns, "
          "s.owner FROM run_chunks r "
          "JOIN chunks c ON c.session = r.session AND c.number = r.number "
          "LEFT JOIN sessions s ON s.session = r.session WHERE ") +
      kSeenByReader + "AND r.run=?3 ORDER BY r.session, r.number";
  Statement rows(db_, sql.c_str());
  bind_reader(rows, reader);
  rows.bind(run);
  return collect(rows, [](const Statement& row) {
    RunChunk chunk;
    chunk.name = {row.id(0), static_cast<std::uint32_t>(row.number(1))};
    chunk.sealed = row.number(2) != 0;
    chunk.bytes = row.number(3);
    chunk.sensor = row.text(4);
    chunk.part.records = row.number(5);
    chunk.part.reports = row.number(6);
    chunk.part.first_ns = row.number(7);
    chunk.part.last_ns = row.number(8);
    chunk.first_sequence = row.number(9);
    chunk.last_sequence = row.number(10);
    chunk.newest_ns = row.number(11);
    chunk.chunk_newest_ns = row.number(12);
    chunk.owner = row.text(13);
    return chunk;
  });
}

Result<std::vector<RunId>> Index::newest(std::size_t limit, const Principal& reader,
                                         const Hidden& hidden, const std::optional<RunId>& before) {
  std::uint64_t began_ns = INT64_MAX;
  if (before) {
    Statement place(db_, "SELECT began_ns FROM runs WHERE run=?");
    auto found = place.bind(*before).step();
    if (!found) return found.error();
    if (!*found) return std::vector<RunId>{};
    began_ns = place.number(0);
  }
  const std::string sql = std::string("SELECT run FROM runs r WHERE ") + kGrantedToReader +
                          "AND began_ns <= ?3 AND (began_ns < ?3 OR run > ?4) "
                          "ORDER BY began_ns DESC, run";
  Statement rows(db_, sql.c_str());
  bind_reader(rows, reader);
  rows.bind(began_ns).bind(before.value_or(RunId{}));
  return collect_runs(rows, limit, hidden);
}

Result<std::vector<RunId>> Index::with_prefix(const std::string& hex, std::size_t limit,
                                              const Principal& reader, const Hidden& hidden) {
  auto first = RunId::parse(hex + std::string(32 - hex.size(), '0'));
  auto last = RunId::parse(hex + std::string(32 - hex.size(), 'f'));
  if (!first || !last) return std::vector<RunId>{};
  const std::string sql = std::string("SELECT run FROM runs r WHERE ") + kGrantedToReader +
                          "AND run BETWEEN ?3 AND ?4 ORDER BY run";
  Statement rows(db_, sql.c_str());
  bind_reader(rows, reader);
  rows.bind(*first).bind(*last);
  return collect_runs(rows, limit, hidden);
}

// A run that has gone since is behind none of those that are left: it begins anew.
Result<std::vector<RunId>> Index::older_than(std::uint64_t newest_ns, std::size_t limit,
                                             const Principal& reader, const Hidden& hidden,
                                             const std::optional<RunId>& after) {
  const std::string sql = std::string("SELECT run FROM runs r WHERE ") + kGrantedToReader +
                          "AND newest_ns < ?3 AND (newest_ns, run) > "
                          "(coalesce((SELECT newest_ns FROM runs WHERE run=?4), -1), ?4) "
                          "ORDER BY newest_ns, run";
  Statement rows(db_, sql.c_str());
  bind_reader(rows, reader);
  rows.bind(newest_ns).bind(after.value_or(RunId{}));
  return collect_runs(rows, limit, hidden);
}

Result<std::vector<ChunkRow>> Index::oldest_chunks(bool sealed, const ChunkRow& after,
                                                   std::size_t limit) {
  Statement rows(db_, (std::string(kChunkColumns) +
                       "WHERE c.sealed=? AND (c.newest_ns, c.session, c.number) > (?,?,?) "
                       "ORDER BY c.newest_ns, c.session, c.number LIMIT ?")
                          .c_str());
  rows.bind(sealed ? 1 : 0).bind(after.newest_ns).bind(after.name.session);
  rows.bind(after.name.number).bind(limit);
  return collect(rows, chunk_row);
}

Result<std::vector<RunId>> Index::runs_of(const ChunkName& name) {
  Statement rows(db_, "SELECT run FROM run_chunks WHERE session=? AND number=? ORDER BY run");
  rows.bind(name.session).bind(name.number);
  return collect(rows, [](const Statement& row) { return row.id(0); });
}

Result<bool> Index::has_successor(const ChunkName& name) {
  Statement rows(db_, "SELECT 1 FROM chunks WHERE session=? AND number>? LIMIT 1");
  return rows.bind(name.session).bind(name.number).step();
}

Result<std::uint64_t> Index::total_bytes() {
  Statement sum(db_, "SELECT COALESCE(SUM(bytes), 0) FROM chunks");
  auto row = sum.step();
  if (!row) return row.error();
  return sum.number(0);
}

Result<void> Index::mark_sealed(const ChunkName& name) {
  Statement rows(db_, "UPDATE chunks SET sealed=1 WHERE session=? AND number=?");
  return rows.bind(name.session).bind(name.number).finish();
}

Result<std::uint64_t> Index::count_runs() {
  Statement count(db_, "SELECT COUNT(*) FROM runs");
  auto row = count.step();
  if (!row) return row.error();
  return count.number(0);
}

}  // namespace fieldline::archive
