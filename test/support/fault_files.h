// SPDX-License-Identifier: Apache-2.0
// The file system with a fault in it: the n-th operation fails, and all later ones too if the disk
// stays dead. A failing append writes half of its bytes, as a full disk does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace fieldline::test {

class FaultFiles final : public FileSystem {
 public:
  enum class After { recovers, stays_dead };

  explicit FaultFiles(FileSystem& real) : real_(real) {}

  // What is said of the disk, if it is set.
  std::optional<Space> disk;

  // Counts from here; 0 fails nothing.
  void fail_at(std::uint64_t n, After after) {
    count_ = 0;
    fail_at_ = n;
    after_ = after;
  }
  std::uint64_t count() const { return count_; }
  bool struck() const { return fail_at_ != 0 && count_ >= fail_at_; }

  Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override {
    if (strikes()) return fault("opening " + path);
    auto file = real_.open(path, mode);
    if (!file) return file.error();
    return std::unique_ptr<File>(std::make_unique<FaultFile>(*this, std::move(*file)));
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    if (strikes()) return fault("renaming " + from);
    return real_.rename(from, to);
  }
  Result<void> remove(const std::string& path) override {
    if (strikes()) return fault("removing " + path);
    return real_.remove(path);
  }
  Result<void> make_directories(const std::string& path) override {
    if (strikes()) return fault("creating " + path);
    return real_.make_directories(path);
  }
  Result<void> sync_directory(const std::string& path) override {
    if (strikes()) return fault("syncing " + path);
    return real_.sync_directory(path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    if (strikes()) return fault("listing " + path);
    return real_.list(path);
  }
  Result<std::uint64_t> modified_ns(const std::string& path) override {
    if (strikes()) return fault("looking at " + path);
    return real_.modified_ns(path);
  }
  Result<Space> space(const std::string& path) override {
    if (strikes()) return fault("looking at the disk of " + path);
    if (disk) return *disk;
    return real_.space(path);
  }

 private:
  class FaultFile final : public File {
   public:
    FaultFile(FaultFiles& owner, std::unique_ptr<File> real)
        : owner_(owner), real_(std::move(real)) {}

    Result<void> append(ByteView bytes) override {
      if (!owner_.strikes()) return real_->append(bytes);
      (void)real_->append(bytes.first(bytes.size() / 2));
      return fault("writing");
    }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
      if (owner_.strikes()) return fault("reading");
      return real_->read_at(offset, into);
    }
    Result<std::uint64_t> size() override {
      if (owner_.strikes()) return fault("looking");
      return real_->size();
    }
    Result<void> truncate(std::uint64_t size) override {
      if (owner_.strikes()) return fault("cutting");
      return real_->truncate(size);
    }
    Result<void> sync() override {
      if (owner_.strikes()) return fault("syncing");
      return real_->sync();
    }

   private:
    FaultFiles& owner_;
    std::unique_ptr<File> real_;
  };

  static Error fault(const std::string& what) { return fail(Code::io, what + ": injected fault"); }

  bool strikes() {
    ++count_;
    return fail_at_ != 0 &&
           (count_ == fail_at_ || (after_ == After::stays_dead && count_ > fail_at_));
  }

  FileSystem& real_;
  std::uint64_t count_ = 0, fail_at_ = 0;
  After after_ = After::recovers;
};

}  // namespace fieldline::test
