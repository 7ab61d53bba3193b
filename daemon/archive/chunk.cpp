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

Result<Chunk::ScanEnd> Chunk::scan(FileSystem& files, const std::string& path,
                                   const OnBlock& on_block) {
  auto file = files.open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  pcapng::Reader reader(pcapng::Reader::OnDamage::resynchronise);
  Bytes piece(kReadBytes);
  ScanEnd end;
  for (bool more = true; more;) {
    auto n = (*file)->read_at(end.size, piece);
    if (!n) return n.error();
    more = *n > 0;
    end.size += *n;
    reader.feed(ByteView(piece).first(*n));
    if (!more) reader.end();
    for (;;) {
      auto block = reader.next();
      if (!block) return block.error();
      if (!*block) break;
      end.good_end = reader.offset();
      end.skipped_inside = reader.skipped_bytes();
      on_block(**block, reader.skipped_bytes());
    }
  }
  end.skipped_bytes = reader.skipped_bytes();
  return end;
}

}  // namespace fieldline::archive
