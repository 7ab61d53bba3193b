// SPDX-License-Identifier: Apache-2.0
// Files behind an interface, so that tests can make the n-th write, sync or rename fail.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace fieldline {

class File {
 public:
  virtual ~File() = default;
  virtual Result<void> append(ByteView bytes) = 0;  // all of it or an error
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) = 0;
  virtual Result<std::uint64_t> size() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<void> sync() = 0;  // fdatasync
};

struct Space {
  std::uint64_t total = 0, free = 0;  // bytes; free: for a process without privileges
  bool read_only = false;
};

class FileSystem {
 public:
  enum class Mode { read, create, append };  // create: must not exist yet

  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  virtual Result<void> make_directories(const std::string& path) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;  // names, sorted
  virtual Result<std::uint64_t> modified_ns(const std::string& path) = 0;      // UTC
  virtual Result<Space> space(const std::string& path) = 0;  // of the file system that holds it
};

// The real one.
FileSystem& system_files();

// Makes the file and holds it against other holders until it is closed; `denied` if one has it.
Result<Fd> lock_file(const std::string& path);

// A whole small file (configuration, keys); at most `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit = 1 << 20);

}  // namespace fieldline
