// SPDX-License-Identifier: Apache-2.0
// The folder of a role's spool segments: one process has it, all of its spools share its limit, and
// what an earlier process left there is found when it is opened.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"
#include "stream/spool_segment.h"

namespace fieldline::stream {

// first is exact. last is exact where this process wrote the segment; of a leftover's it is the
// highest number that it can hold.
struct Segment {
  std::uint64_t first = 0, last = 0;
  std::uint64_t bytes = 0;
};

// What one dead session left for one archive; never empty.
struct Leftover {
  RunId session;
  Fingerprint archive{};
  std::vector<Segment> segments;  // in the order of their numbers

  std::uint64_t bytes() const;
};

class SpoolFolder {
 public:
  // The leftovers count towards the limit.
  static Result<std::shared_ptr<SpoolFolder>> open(const std::string& directory,
                                                   std::uint64_t limit,
                                                   FileSystem& files = system_files());

  FileSystem& files() { return files_; }
  const std::string& directory() const { return directory_; }
  std::string path_of(const SegmentHead& head) const { return directory_ + "/" + head.file(); }
  // False: the limit would be passed.
  bool take(std::uint64_t bytes);
  void give_back(std::uint64_t bytes) { used_ -= bytes; }
  std::uint64_t used() const { return used_; }

  std::vector<Leftover> leftovers;
  // What of the folder could not be read, and what became of it.
  std::vector<std::string> troubles;

 private:
  SpoolFolder(FileSystem& files, std::string directory, std::uint64_t limit)
      : files_(files), directory_(std::move(directory)), limit_(limit) {}
  Result<void> find_leftovers();
  void look_at(const std::string& name);
  void bound(Leftover& leftover);

  FileSystem& files_;
  std::string directory_;
  std::uint64_t limit_, used_ = 0;
  Fd lock_;
};

}  // namespace fieldline::stream
