// SPDX-License-Identifier: Apache-2.0
// Capture files of any kind as pcapng blocks: pcapng and the classic format by readers of our own,
// old variants by libpcap; several of them merged by time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/pcapng.h"
#include "base/result.h"

namespace fieldline::cli {

class CaptureFile {
 public:
  virtual ~CaptureFile() = default;
  // nullptr at the end. The block is valid until the next call.
  virtual Result<const pcapng::Block*> next() = 0;
  // What is to be told about a file that was read to its end, empty if nothing.
  virtual std::string remark() const = 0;
};

Result<std::unique_ptr<CaptureFile>> open_capture(const std::string& path);

// Whether the file was written by Fieldline: its interfaces say which run they belong to.
Result<bool> is_of_run(const std::string& path);

// Every block of all files to `take`, with the file's number: packets in order of time as far as
// each file has them so, other blocks as soon as they stand in front. Stops at the first error.
using TakeBlock = std::function<Result<void>(std::size_t file, const pcapng::Block& block)>;
// Returns what is to be told about files that were not whole.
Result<std::vector<std::string>> merge_captures(const std::vector<std::string>& paths,
                                                const TakeBlock& take);

}  // namespace fieldline::cli
