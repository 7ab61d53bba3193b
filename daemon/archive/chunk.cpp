// SPDX-License-Identifier: Apache-2.0
#include "archive/chunk.h"

#include <charconv>
#include <cstdio>

namespace fieldline::archive {

namespace {

constexpr std::size_t kReadBytes = 256 << 10;
constexpr std::string_view kSuffix = ".pcapng";

}  // namespace

std::string ChunkName::file() const {
  char digits[16];
  std::snprintf(digits, sizeof digits, "-%06u", number);
  return session.hex() + digits + std::string(kSuffix);
}

std::optional<ChunkName> ChunkName::parse(std::string_view file) {
  if (file.size() < 32 + 1 + 6 + kSuffix.size() || !file.ends_with(kSuffix) || file[32] != '-') {
    return std::nullopt;
  }
  auto session = RunId::parse(file.substr(0, 32));
  std::string_view digits = file.substr(33, file.size() - 33 - kSuffix.size());
  ChunkName name;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), name.number);
  if (!session || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  name.session = *session;
  if (name.file() != file) return std::nullopt;
  return name;
}

Result<std::unique_ptr<Chunk>> Chunk::create(const Shelf& shelf, const ChunkName& name) {
  auto file = shelf.files.open(shelf.path_of(name, false), FileSystem::Mode::create);
  if (!file) return Error(file.error()).in("beginning a chunk");
  return std::unique_ptr<Chunk>(new Chunk(shelf, name, std::move(*file), 0));
}

Result<std::unique_ptr<Chunk>> Chunk::reopen(const Shelf& shelf, const ChunkName& name,
                                             std::uint64_t size) {
  auto file = shelf.files.open(shelf.path_of(name, false), FileSystem::Mode::append);
  if (!file) return Error(file.error()).in("continuing a chunk");
  return std::unique_ptr<Chunk>(new Chunk(shelf, name, std::move(*file), size));
}

Result<void> Chunk::flush() {
  if (cut_first_) {
    auto cut = file_->truncate(synced_);
    if (!cut) return cut.error();
    flushed_ = 0;
    cut_first_ = false;
  }
  if (flushed_ == unsynced_.size()) return {};
  auto written = file_->append(ByteView(unsynced_).subspan(flushed_));
  if (!written) {
    cut_first_ = true;
    return written.error();
  }
  flushed_ = unsynced_.size();
  return {};
}

Result<void> Chunk::sync() {
  if (!unsynced_.empty()) {
    auto flushed = flush();
    if (!flushed) return flushed.error();
    auto synced = file_->sync();
    if (!synced) {
      cut_first_ = true;
      return synced.error();
    }
    synced_ += unsynced_.size();
    unsynced_.clear();
    flushed_ = 0;
  }
  if (!name_synced_) {
    auto synced = shelf_.files.sync_directory(shelf_.open_folder());
    if (!synced) return synced.error();
    name_synced_ = true;
  }
  return {};
}

// The records are durable under either name, so a directory that cannot be synced costs nothing but
// a second sealing after a power failure.
Result<void> Chunk::seal() {
  auto synced = sync();
  if (!synced) return Error(synced.error()).in("sealing a chunk");
  auto renamed = shelf_.files.rename(shelf_.path_of(name_, false), shelf_.path_of(name_, true));
  if (!renamed) return Error(renamed.error()).in("sealing a chunk");
  (void)shelf_.files.sync_directory(shelf_.sealed_folder());
  (void)shelf_.files.sync_directory(shelf_.open_folder());
  return {};
}

Result<ChunkScan> ChunkScan::begin(FileSystem& files, const std::string& path) {
  auto file = files.open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  return ChunkScan(std::move(*file));
}

Result<std::uint64_t> ChunkScan::read(std::uint64_t most, const OnBlock& on_block) {
  Bytes piece(kReadBytes);
  std::uint64_t done = 0;
  while (done < most) {
    auto n = file_->read_at(end_.size, piece);
    if (!n) return n.error();
    if (*n == 0) break;
    done += *n;
    end_.size += *n;
    reader_.feed(ByteView(piece).first(*n));
    auto taken = take(on_block);
    if (!taken) return taken.error();
  }
  end_.skipped_bytes = reader_.skipped_bytes();
  return done;
}

Result<ScanEnd> ChunkScan::end(const OnBlock& on_block) {
  reader_.end();
  auto taken = take(on_block);
  if (!taken) return taken.error();
  end_.skipped_bytes = reader_.skipped_bytes();
  return end_;
}

Result<void> ChunkScan::take(const OnBlock& on_block) {
  for (;;) {
    auto block = reader_.next();
    if (!block) return block.error();
    if (!*block) return {};
    end_.good_end = reader_.offset();
    end_.skipped_inside = reader_.skipped_bytes();
    on_block(**block, reader_.skipped_bytes());
  }
}

}  // namespace fieldline::archive
