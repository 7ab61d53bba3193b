// SPDX-License-Identifier: Apache-2.0
// SQLite's files with a fault in them: the n-th write, sync, truncation, deletion or opening fails,
// or the n-th read, and all later ones too if the disk stays dead. A layer over SQLite's own files
// ("VFS shim", sqlite.org/vfs.html), which is the default as long as it lives.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <cstring>

namespace fieldline::test {

class FaultSqlite {
 public:
  enum class Of { changes, reads };

  FaultSqlite() : real_(sqlite3_vfs_find(nullptr)) {
    current() = this;
    vfs_ = *real_;
    vfs_.zName = "fault";
    vfs_.szOsFile = static_cast<int>(sizeof(Layer)) + real_->szOsFile;
    vfs_.xOpen = open;
    vfs_.xDelete = [](sqlite3_vfs*, const char* name, int sync) {
      if (current()->strikes()) return SQLITE_IOERR_DELETE;
      return current()->real_->xDelete(current()->real_, name, sync);
    };
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FaultSqlite() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    current() = nullptr;
  }
  FaultSqlite(const FaultSqlite&) = delete;

  // Counts from here; 0 fails nothing.
  void fail_at(std::uint64_t n, bool stays_dead, Of of = Of::changes) {
    count_ = 0;
    of_ = of;
    fail_at_ = n;
    stays_dead_ = stays_dead;
  }
  std::uint64_t count() const { return count_; }

 private:
  struct Layer {
    sqlite3_file base;
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };
  static FaultSqlite*& current() {
    static FaultSqlite* one = nullptr;
    return one;
  }
  static sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<Layer*>(file)->real(); }

  bool strikes(Of of = Of::changes) {
    if (of != of_) return false;
    ++count_;
    return fail_at_ != 0 && (count_ == fail_at_ || (stays_dead_ && count_ > fail_at_));
  }

  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    auto* layer = reinterpret_cast<Layer*>(file);
    layer->base.pMethods = nullptr;
    if (current()->strikes()) return SQLITE_CANTOPEN;
    std::memset(layer->real(), 0, static_cast<std::size_t>(current()->real_->szOsFile));
    const int rc = current()->real_->xOpen(current()->real_, name, layer->real(), flags, out);
    if (layer->real()->pMethods != nullptr) layer->base.pMethods = methods();
    return rc;
  }

  static const sqlite3_io_methods* methods() {
    static sqlite3_io_methods m{};
    m.iVersion = 2;
    m.xClose = [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); };
    m.xRead = [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
      if (current()->strikes(Of::reads)) return SQLITE_IOERR_READ;
      return real(f)->pMethods->xRead(real(f), to, n, at);
    };
    // A full disk takes a part.
    m.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
      if (!current()->strikes()) return real(f)->pMethods->xWrite(real(f), from, n, at);
      real(f)->pMethods->xWrite(real(f), from, n / 2, at);
      return SQLITE_FULL;
    };
    m.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) {
      if (current()->strikes()) return SQLITE_IOERR_TRUNCATE;
      return real(f)->pMethods->xTruncate(real(f), size);
    };
    m.xSync = [](sqlite3_file* f, int flags) {
      if (current()->strikes()) return SQLITE_IOERR_FSYNC;
      return real(f)->pMethods->xSync(real(f), flags);
    };
    m.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
      return real(f)->pMethods->xFileSize(real(f), size);
    };
    m.xLock = [](sqlite3_file* f, int l) { return real(f)->pMethods->xLock(real(f), l); };
    m.xUnlock = [](sqlite3_file* f, int l) { return real(f)->pMethods->xUnlock(real(f), l); };
    m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
      return real(f)->pMethods->xCheckReservedLock(real(f), out);
    };
    m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
      return real(f)->pMethods->xFileControl(real(f), op, arg);
    };
    m.xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); };
    m.xDeviceCharacteristics = [](sqlite3_file* f) {
      return real(f)->pMethods->xDeviceCharacteristics(real(f));
    };
    m.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** at) {
      if (extend != 0 && current()->strikes()) return SQLITE_IOERR_SHMSIZE;
      return real(f)->pMethods->xShmMap(real(f), page, size, extend, at);
    };
    m.xShmLock = [](sqlite3_file* f, int at, int n, int flags) {
      return real(f)->pMethods->xShmLock(real(f), at, n, flags);
    };
    m.xShmBarrier = [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); };
    m.xShmUnmap = [](sqlite3_file* f, int flags) {
      return real(f)->pMethods->xShmUnmap(real(f), flags);
    };
    return &m;
  }

  sqlite3_vfs* real_;
  sqlite3_vfs vfs_{};
  std::uint64_t count_ = 0, fail_at_ = 0;
  bool stays_dead_ = false;
  Of of_ = Of::changes;
};

}  // namespace fieldline::test
