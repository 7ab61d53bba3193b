// SPDX-License-Identifier: Apache-2.0
// A new index from every chunk, slice by slice, while the chunks go on being written.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "archive/chunk.h"
#include "archive/index.h"
#include "archive/summary.h"

namespace fieldline::archive {

class Rebuild {
 public:
  // Into a file that does not exist.
  static Result<std::unique_ptr<Rebuild>> begin(const Shelf& shelf, const std::string& path);
  // Reads about `most` bytes. True: the index covers every chunk as its file is now.
  Result<bool> step(std::uint64_t most);
  // The chunk's file was deleted.
  Result<void> forget(const ChunkName& name);
  // {"chunks","runs","records","skipped_bytes"}
  Result<nlohmann::json> result();

 private:
  // A chunk whose end was not seen; an open one is kept until it is sealed, and read on as it
  // grows. A file that is renamed meanwhile stays the same file.
  struct Part {
    ChunkScan scan;
    Summary summary;
  };
  struct Covered {
    bool sealed = false;
    std::uint64_t bytes = 0, records = 0, skipped_bytes = 0;
  };
  struct Due {
    ChunkName name;
    bool sealed = false;
  };

  Rebuild(const Shelf& shelf, std::unique_ptr<Index> index)
      : shelf_(shelf), index_(std::move(index)) {}
  // What is not covered as it is now.
  Result<std::deque<Due>> look();
  Result<std::uint64_t> read(const Due& due, std::uint64_t most);
  Result<void> cover(const Due& due, Part& part);

  Shelf shelf_;
  std::unique_ptr<Index> index_;
  std::map<ChunkName, Covered> covered_;
  std::map<ChunkName, Part> parts_;
  std::deque<Due> due_;
};

}  // namespace fieldline::archive
