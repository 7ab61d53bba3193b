// SPDX-License-Identifier: Apache-2.0
#include "archive/sqlite.h"

#include <algorithm>

namespace fieldline::archive {

Result<Database> Database::open(const std::string& path) {
  sqlite3* raw = nullptr;
  int rc = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database db(raw);
  if (rc != SQLITE_OK) return db.error("opening " + path);
  sqlite3_busy_timeout(raw, 2000);
  return db;
}

Result<void> Database::run(const char* sql) {
  if (sqlite3_exec(get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error("index");
  return {};
}

Error Database::error(const std::string& what) const {
  return fail(Code::io, what + ": " + (db_ ? sqlite3_errmsg(get()) : "out of memory") +
                            "; the index can be rebuilt: fieldline archive reindex");
}

Statement::Statement(Database& db, const char* sql) : db_(db) {
  sqlite3_stmt* raw = nullptr;
  sqlite3_prepare_v2(db.get(), sql, -1, &raw, nullptr);
  statement_.reset(raw);
}

Statement& Statement::bind(std::uint64_t value) {
  sqlite3_bind_int64(statement_.get(), next_++, static_cast<sqlite3_int64>(value));
  return *this;
}

Statement& Statement::bind(const std::string& text) {
  sqlite3_bind_text(statement_.get(), next_++, text.data(), static_cast<int>(text.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::bind(const RunId& id) {
  sqlite3_bind_blob(statement_.get(), next_++, id.bytes.data(), static_cast<int>(id.bytes.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

Result<bool> Statement::step() {
  if (!statement_) return db_.error("index");
  int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return db_.error("index");
}

Result<void> Statement::finish() {
  auto more = step();
  if (!more) return more.error();
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  next_ = 1;
}

std::uint64_t Statement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

std::string Statement::text(int column) const {
  auto* chars = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return chars == nullptr ? std::string() : std::string(chars, size);
}

RunId Statement::id(int column) const {
  RunId id;
  auto* bytes = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  if (bytes != nullptr) std::copy_n(bytes, std::min(size, id.bytes.size()), id.bytes.begin());
  return id;
}

}  // namespace fieldline::archive
