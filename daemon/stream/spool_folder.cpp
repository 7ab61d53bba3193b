// SPDX-License-Identifier: Apache-2.0
#include "stream/spool_folder.h"

#include <algorithm>

namespace fieldline::stream {

std::uint64_t Leftover::bytes() const {
  std::uint64_t sum = 0;
  for (const Segment& segment : segments) sum += segment.bytes;
  return sum;
}

Result<std::shared_ptr<SpoolFolder>> SpoolFolder::open(const std::string& directory,
                                                       std::uint64_t limit, FileSystem& files) {
  std::shared_ptr<SpoolFolder> folder(new SpoolFolder(files, directory, limit));
  auto made = files.make_directories(directory);
  if (!made) return made.error();
  auto lock = lock_file(directory + "/lock");
  if (!lock && lock.error().code == Code::denied) {
    return fail(Code::denied, "another process or role spools to " + directory +
                                  "; give each a spool_directory of its own");
  }
  if (!lock) return lock.error();
  folder->lock_ = std::move(*lock);
  auto found = folder->find_leftovers();
  if (!found) return found.error();
  return folder;
}

bool SpoolFolder::take(std::uint64_t bytes) {
  if (used_ > limit_ || bytes > limit_ - used_) return false;
  used_ += bytes;
  return true;
}

Result<void> SpoolFolder::find_leftovers() {
  auto names = files_.list(directory_);
  if (!names) return names.error();
  for (const std::string& name : *names) {  // sorted
    if (is_segment_name(name)) look_at(name);
  }
  for (Leftover& leftover : leftovers) bound(leftover);
  std::erase_if(leftovers, [](const Leftover& leftover) { return leftover.segments.empty(); });
  for (const Leftover& leftover : leftovers) used_ += leftover.bytes();
  return {};
}

// A segment of another version, or one that cannot be read now, stays where it is; one whose head
// is torn or garbled will never be read again.
void SpoolFolder::look_at(const std::string& name) {
  const std::string path = directory_ + "/" + name;
  auto reader = SegmentReader::open(files_, path);
  if (!reader) {
    const Error& error = reader.error();
    const bool is_lost = error.code == Code::invalid || error.code == Code::truncated;
    const bool removed = is_lost && files_.remove(path).has_value();
    troubles.push_back(error.text() + (removed ? "; removed" : "; left where it is"));
    return;
  }
  const SegmentHead& head = reader->head();
  auto file = files_.open(path, FileSystem::Mode::read);
  auto size = file ? (*file)->size() : Result<std::uint64_t>(file.error());
  if (!size || head.file() != name) {
    troubles.push_back(size ? path + " bears another segment's name; left where it is"
                            : size.error().text() + "; left where it is");
    return;
  }
  if (leftovers.empty() || leftovers.back().session != head.session ||
      leftovers.back().archive != head.archive) {
    leftovers.push_back({head.session, head.archive, {}});
  }
  leftovers.back().segments.push_back({head.first, 0, *size});
}

// Where a segment ends: in front of the next, and the newest where its last whole frame does.
void SpoolFolder::bound(Leftover& leftover) {
  auto& segments = leftover.segments;
  for (std::size_t i = 0; i + 1 < segments.size(); ++i)
    segments[i].last = segments[i + 1].first - 1;
  Segment& newest = segments.back();
  const SegmentHead head{leftover.session, leftover.archive, newest.first};
  newest.last = newest.first - 1;
  std::uint64_t whole = sizeof(fl_spool_segment);
  auto reader = SegmentReader::open(files_, path_of(head));
  while (reader) {
    auto frame = reader->next(newest.bytes);
    if (!frame || !*frame || (*frame)->first() != newest.last + 1) break;
    newest.last = (*frame)->last;
    whole += size_in_segment(**frame);
  }
  if (newest.last >= newest.first) {
    newest.bytes = whole;
    return;
  }
  const bool removed = files_.remove(path_of(head)).has_value();
  troubles.push_back(path_of(head) + " holds no whole frame" +
                     (removed ? "; removed" : "; left where it is"));
  segments.pop_back();
}

}  // namespace fieldline::stream
