// SPDX-License-Identifier: Apache-2.0
// One file of records. What lies behind append, sync, seal and scan may change (a compressed sealed
// format is to come); nobody else opens chunk files for writing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/pcapng.h"
#include "base/result.h"
#include "base/run_id.h"

namespace fieldline::archive {

// SESSION-NNNNNN.pcapng: chunk number NNNNNN, from 1, of a session.
struct ChunkName {
  RunId session;
  std::uint32_t number = 0;

  auto operator<=>(const ChunkName&) const = default;
  std::string file() const;
  static std::optional<ChunkName> parse(std::string_view file);
};

// Where an archive keeps its chunks.
struct Shelf {
  FileSystem& files;
  std::string directory;

  std::string open_folder() const { return directory + "/open"; }
  std::string sealed_folder() const { return directory + "/sealed"; }
  std::string path_of(const ChunkName& name, bool sealed) const {
    return (sealed ? sealed_folder() : open_folder()) + "/" + name.file();
  }
};

struct ScanEnd {
  std::uint64_t size = 0;            // of the file
  std::uint64_t good_end = 0;        // end of the last whole block
  std::uint64_t skipped_bytes = 0;   // damage, a torn tail included
  std::uint64_t skipped_inside = 0;  // damage that has whole blocks behind it
};
// `skipped`: bytes of damage in front of the block.
using OnBlock = std::function<void(const pcapng::Block& block, std::uint64_t skipped)>;

// Reads a chunk's file block by block, as much at a time as its caller likes.
class ChunkScan {
 public:
  static Result<ChunkScan> begin(FileSystem& files, const std::string& path);
  // About `most` bytes more; fewer: there are no more in the file now.
  Result<std::uint64_t> read(std::uint64_t most, const OnBlock& on_block);
  // Nothing more is to come: an unfinished block is damage.
  Result<ScanEnd> end(const OnBlock& on_block);
  const ScanEnd& so_far() const { return end_; }

 private:
  explicit ChunkScan(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<void> take(const OnBlock& on_block);

  std::unique_ptr<File> file_;
  pcapng::Reader reader_{pcapng::Reader::OnDamage::resynchronise};
  ScanEnd end_;
};

// An open chunk. Every byte since the last successful sync is kept here as well: after a failed
// fdatasync the kernel may have dropped dirty pages and still report success the next time, so the
// file is cut back to what was synced and written again.
class Chunk {
 public:
  static Result<std::unique_ptr<Chunk>> create(const Shelf& shelf, const ChunkName& name);
  // `size`: of its whole blocks, all of them on disk (recover_chunk).
  static Result<std::unique_ptr<Chunk>> reopen(const Shelf& shelf, const ChunkName& name,
                                               std::uint64_t size);

  // Buffers one block.
  template <class Block>
  void append(const Block& block) {
    pcapng::write(unsynced_, block);
  }
  // Hands what is buffered to the file, for readers.
  Result<void> flush();
  // Makes everything appended so far durable, and the file's name with it.
  Result<void> sync();
  // Syncs and publishes by rename; afterwards the chunk takes nothing more. May be tried again
  // after an error.
  Result<void> seal();

  const ChunkName& name() const { return name_; }
  std::uint64_t size() const { return synced_ + unsynced_.size(); }
  std::uint64_t unsynced() const { return unsynced_.size(); }

 private:
  Chunk(const Shelf& shelf, const ChunkName& name, std::unique_ptr<File> file, std::uint64_t size)
      : shelf_(shelf), name_(name), file_(std::move(file)), synced_(size) {}

  Shelf shelf_;
  ChunkName name_;
  std::unique_ptr<File> file_;
  std::uint64_t synced_;      // bytes known to be on disk
  Bytes unsynced_;            // what follows them
  std::size_t flushed_ = 0;   // of unsynced_, handed to the file
  bool cut_first_ = false;    // the file's tail is unknown: cut to synced_ before writing
  bool name_synced_ = false;  // the directory entry is on disk
};

}  // namespace fieldline::archive
