// SPDX-License-Identifier: Apache-2.0
// An answer: the sessions' streams of one run merged by time into one pcapng stream.
#pragma once

#include <memory>
#include <vector>

#include "archive/archive.h"
#include "archive/index.h"

namespace fieldline::archive {

// What an answer under way asks the archive. It outlives the archive: then everything is `closed`.
class RunSource {
 public:
  virtual ~RunSource() = default;
  // The run's chunks, after everything appended so far was handed to the files.
  virtual Result<std::vector<RunChunk>> parts_of(const RunId& run, const Principal& reader) = 0;
  virtual Result<bool> complete(const RunId& run, const Principal& reader) = 0;
};

// `parts`: of the run as it is now; a followed answer asks for more.
std::unique_ptr<Cursor> make_cursor(const Shelf& shelf, const Query& query,
                                    const std::vector<RunChunk>& parts,
                                    std::shared_ptr<RunSource> source);

}  // namespace fieldline::archive
