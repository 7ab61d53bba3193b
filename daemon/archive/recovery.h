// SPDX-License-Identifier: Apache-2.0
// What a crash leaves, and how it is put in order.
#pragma once

#include <optional>
#include <vector>

#include "archive/index.h"
#include "archive/summary.h"

namespace fieldline::archive {

struct Scanned {
  Summary summary;
  ScanEnd end;
  // The last item number that may be taken for acknowledged. Blocks behind damage do not raise it:
  // within a torn block a packet's own bytes can look like one.
  std::uint64_t last_sequence = 0;
};

// What a chunk's blocks do not tell of it: its name and its file.
Result<void> close_summary(Summary& summary, const Shelf& shelf, const ChunkName& name, bool sealed,
                           const ScanEnd& end);
// Sums up a chunk; `also` sees each block. Who the chunk belongs to is told by its name.
Result<Scanned> scan_chunk(const Shelf& shelf, const ChunkName& name, bool sealed,
                           const OnBlock& also = nullptr);

// Chunks of a folder by session and number; other names are nobody's.
Result<std::vector<ChunkName>> chunks_in(const Shelf& shelf, bool sealed);

// What was read may stand in memory only: it is on disk before anybody is told to resume behind it.
Result<void> cut_and_sync(const Shelf& shelf, const ChunkName& name, const ScanEnd& end);

// An open chunk that nobody goes on with is sealed without another look at it.
Result<void> seal_as_it_is(const Shelf& shelf, const ChunkName& name);

// Puts the open chunks in order: torn tails are cut and what stays is synced, chunks that were
// never begun are removed, damaged ones and those with a successor are sealed as they are. Then
// brings the index up to the files. Gives the bytes cut.
Result<std::uint64_t> recover(const Shelf& shelf, Index& index);

}  // namespace fieldline::archive
