// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

namespace fieldline {

namespace {

class SystemFile final : public File {
 public:
  SystemFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<void> append(ByteView bytes) override {
    while (!bytes.empty()) {
      ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("writing " + path_);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    for (;;) {
      ssize_t n = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) return fail_errno("reading " + path_);
    }
  }

  Result<std::uint64_t> size() override {
    struct stat st {};
    if (::fstat(fd_.get(), &st) != 0) return fail_errno("looking at " + path_);
    return static_cast<std::uint64_t>(st.st_size);
  }

  Result<void> truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
      return fail_errno("cutting " + path_);
    return {};
  }

  Result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return fail_errno("syncing " + path_);
    return {};
  }

 private:
  Fd fd_;
  std::string path_;
};

class SystemFiles final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override {
    int flags = mode == Mode::read     ? O_RDONLY
                : mode == Mode::create ? O_RDWR | O_CREAT | O_EXCL | O_APPEND
                                       : O_RDWR | O_CREAT | O_APPEND;
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0640));
    if (!fd && errno == ENOENT) return fail(Code::not_found, path + " does not exist");
    if (!fd) return fail_errno("opening " + path);
    return std::unique_ptr<File>(std::make_unique<SystemFile>(std::move(fd), path));
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno("renaming " + from);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) == 0) return {};
    if (errno == ENOENT) return fail(Code::not_found, path + " does not exist");
    return fail_errno("removing " + path);
  }

  Result<void> make_directories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return fail(Code::io, "creating " + path + ": " + error.message());
    return {};
  }

  Result<void> sync_directory(const std::string& path) override {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return fail_errno("syncing directory " + path);
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return fail_errno("listing " + path);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::uint64_t> modified_ns(const std::string& path) override {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) return fail_errno("looking at " + path);
    if (st.st_mtim.tv_sec < 0) return std::uint64_t{0};
    return static_cast<std::uint64_t>(st.st_mtim.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(st.st_mtim.tv_nsec);
  }

  Result<Space> space(const std::string& path) override {
    struct statvfs at {};
    if (::statvfs(path.c_str(), &at) != 0) return fail_errno("looking at the disk of " + path);
    return Space{std::uint64_t{at.f_blocks} * at.f_frsize, std::uint64_t{at.f_bavail} * at.f_frsize,
                 (at.f_flag & ST_RDONLY) != 0};
  }
};

}  // namespace

FileSystem& system_files() {
  static SystemFiles files;
  return files;
}

Result<Fd> lock_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) return fail_errno("opening " + path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(Code::denied, path + " is locked by another holder");
  return fd;
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  auto file = system_files().open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  std::string content(limit + 1, '\0');
  std::size_t used = 0;
  while (used < content.size()) {
    auto n = (*file)->read_at(
        used, {reinterpret_cast<std::uint8_t*>(content.data()) + used, content.size() - used});
    if (!n) return n.error();
    if (*n == 0) break;
    used += *n;
  }
  if (used > limit) {
    return fail(Code::exhausted, path + " is longer than " + std::to_string(limit) + " bytes");
  }
  content.resize(used);
  return content;
}

}  // namespace fieldline
