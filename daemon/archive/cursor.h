// SPDX-License-Identifier: Apache-2.0
// An answer: the sessions' streams of one run merged by time into one pcapng stream.
#pragma once

#include <memory>
#include <optional>
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
  // What to tell the reader of a run that was deleted while he read it.
  virtual std::optional<Error> gone(const RunId& run) = 0;
  // An answer of the run is under way, from the one to the other.
  virtual void begin_reading(const RunId& run) = 0;
  virtual void end_reading(const RunId& run) = 0;
};

// `parts`: of the run as it is now; a followed answer asks for more.
std::unique_ptr<Cursor> make_cursor(const Shelf& shelf, const Query& query,
                                    const std::vector<RunChunk>& parts,
                                    std::shared_ptr<RunSource> source);

}  // namespace fieldline::archive
