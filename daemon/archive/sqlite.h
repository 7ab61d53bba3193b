// SPDX-License-Identifier: Apache-2.0
// SQLite with owners and Results.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"

namespace fieldline::archive {

class Database {
 public:
  static Result<Database> open(const std::string& path);
  Result<void> run(const char* sql);  // statements without results
  sqlite3* get() const { return db_.get(); }
  Error error(const std::string& what) const;

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
  };
  explicit Database(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

// A prepared statement; parameters are bound in order, columns are read by number.
// Unsigned 64-bit values are stored as SQLite's signed ones with the same bits.
class Statement {
 public:
  Statement(Database& db, const char* sql);

  Statement& bind(std::uint64_t value);
  Statement& bind(const std::string& text);
  Statement& bind(const RunId& id);
  // True: a row is there.
  Result<bool> step();
  // Runs to the end and is ready to be bound again.
  Result<void> finish();
  void reset();

  std::uint64_t number(int column) const;
  std::string text(int column) const;
  RunId id(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  Database& db_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int next_ = 1;
};

}  // namespace fieldline::archive
