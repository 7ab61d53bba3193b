// SPDX-License-Identifier: Apache-2.0
#include "archive/deletions.h"

#include <algorithm>

#include "archive/summary.h"
#include "base/clock.h"

namespace fieldline::archive {

namespace {

constexpr const char* kSchema = "fieldline.deletion/1";
constexpr std::size_t kReadBytes = 256 << 10;
// Longer ones are not ours: a run has few principals, each of at most 256 bytes.
constexpr std::size_t kLongestLine = 64 << 10;

const std::pair<Deletion::Reason, const char*> kReasons[] = {{Deletion::Reason::age, "age"},
                                                             {Deletion::Reason::size, "size"},
                                                             {Deletion::Reason::free, "free"},
                                                             {Deletion::Reason::prune, "prune"}};

std::string line_of(const Deletion& deletion) {
  nlohmann::json line = to_json(deletion);
  line["schema"] = kSchema;
  return dump(line) + "\n";
}

std::optional<Deletion> parse(std::string_view line) {
  if (line.size() > kLongestLine) return std::nullopt;
  auto object = parse_object(view(line));
  auto run = RunId::parse(string_of(object, "run"));
  if (!run || string_of(object, "schema") != kSchema) return std::nullopt;
  Deletion deletion;
  deletion.run = *run;
  for (const auto& [reason, name] : kReasons) {
    if (string_of(object, "reason") == name) deletion.reason = reason;
  }
  deletion.by = string_of(object, "by");
  deletion.deleted_ns = number_of(object, "deleted_ns");
  deletion.started_ns = number_of(object, "started_ns");
  deletion.ended_ns = number_of(object, "ended_ns");
  deletion.records = number_of(object, "records");
  auto principals = object.find("principals");
  if (principals != object.end() && principals->is_array()) {
    for (const auto& name : *principals) {
      if (name.is_string()) deletion.principals.push_back(name.get<std::string>());
    }
  }
  return deletion;
}

}  // namespace

const char* name_of(Deletion::Reason reason) {
  for (const auto& [one, name] : kReasons) {
    if (one == reason) return name;
  }
  return "unknown";
}

nlohmann::json to_json(const Deletion& deletion) {
  return {{"run", deletion.run.hex()},          {"principals", deletion.principals},
          {"started_ns", deletion.started_ns},  {"ended_ns", deletion.ended_ns},
          {"records", deletion.records},        {"deleted_ns", deletion.deleted_ns},
          {"reason", name_of(deletion.reason)}, {"by", deletion.by}};
}

bool is_visible(const Deletion& deletion, const Principal& reader) {
  const auto& names = deletion.principals;
  return !reader || std::find(names.begin(), names.end(), *reader) != names.end();
}

std::string describe(const Deletion& deletion) {
  std::string text = "run " + deletion.run.hex() + " was deleted on " +
                     format_utc(deletion.deleted_ns).substr(0, 19) + "Z ";
  switch (deletion.reason) {
    case Deletion::Reason::age:
      return text + "by retention: it was older than the archive's max_age";
    case Deletion::Reason::size:
      return text + "by retention: the archive held more than its max_size_gib";
    case Deletion::Reason::free:
      return text + "by retention: the archive's disk had less room than keep_free";
    case Deletion::Reason::prune:
      break;
  }
  return text + "by " + deletion.by + " (fieldline runs --prune)";
}

Result<Deletions> Deletions::open(const Shelf& shelf) {
  Deletions deletions(shelf);
  if (auto done = deletions.load(); !done)
    return Error(done.error()).in("reading " + deletions.path());
  return deletions;
}

// A line that is longer than any of ours is passed over in bounded memory.
Result<void> Deletions::load() {
  auto file = shelf_.files.open(path(), FileSystem::Mode::append);
  if (!file) return file.error();
  Bytes piece(kReadBytes);
  std::string line;
  std::uint64_t offset = 0;
  for (;;) {
    auto n = (*file)->read_at(offset, piece);
    if (!n) return n.error();
    if (*n == 0) break;
    for (char c : text(ByteView(piece).first(*n))) {
      ++offset;
      if (c != '\n') {
        if (line.size() <= kLongestLine) line.push_back(c);
        continue;
      }
      if (auto deletion = parse(line)) take(std::move(*deletion));
      line.clear();
      size_ = offset;
    }
  }
  file_ = std::move(*file);
  cut_first_ = offset > size_;
  return {};
}

// A new file takes the old one's place by rename: at any moment one of them is whole.
Result<void> Deletions::shorten(std::size_t kept,
                                const std::function<Result<bool>(const RunId&)>& stands) {
  std::vector<RunId> left;
  const std::string fresh = path() + ".new";
  std::string lines;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    bool keep = order_.size() - i <= kept;
    if (!keep) {
      auto parts = stands(order_[i]);
      if (!parts) return parts.error();
      keep = *parts;
    }
    if (!keep) continue;
    lines += line_of(by_run_.at(order_[i]));
    left.push_back(order_[i]);
  }
  if (auto stale = shelf_.files.open(fresh, FileSystem::Mode::read)) {
    auto removed = shelf_.files.remove(fresh);
    if (!removed) return removed.error();
  } else if (stale.error().code != Code::not_found) {
    return stale.error();
  }
  auto file = shelf_.files.open(fresh, FileSystem::Mode::create);
  auto done = file ? (*file)->append(view(lines)) : Result<void>(file.error());
  if (done) done = (*file)->sync();
  if (done) done = shelf_.files.rename(fresh, path());
  if (!done) return done.error();
  file_ = std::move(*file);
  size_ = lines.size();
  cut_first_ = false;
  name_synced_ = false;
  std::map<RunId, Deletion> by_run;
  for (const auto& run : left) by_run.insert(by_run_.extract(run));
  by_run_ = std::move(by_run);
  order_ = std::move(left);
  return {};
}

// What memory it takes is had before the file is written: behind that nothing fails.
Result<void> Deletions::add(const std::vector<Deletion>& deletions) {
  std::string lines;
  std::map<RunId, Deletion> by_run;
  for (const auto& deletion : deletions) {
    lines += line_of(deletion);
    by_run.try_emplace(deletion.run, deletion);
  }
  order_.reserve(order_.size() + by_run.size());
  auto done = cut_first_ ? file_->truncate(size_) : Result<void>();
  if (done) done = file_->append(view(lines));
  if (done) done = file_->sync();
  if (done && !name_synced_) done = shelf_.files.sync_directory(shelf_.directory);
  cut_first_ = !done && !file_->truncate(size_);
  if (!done) return Error(done.error()).in("noting a deletion");
  name_synced_ = true;
  size_ += lines.size();
  for (const auto& [run, deletion] : by_run) {
    if (!by_run_.contains(run)) order_.push_back(run);
  }
  by_run_.merge(by_run);
  return {};
}

// The first deletion of a run counts: a second one can only be a line that was written twice.
void Deletions::take(Deletion deletion) {
  const RunId run = deletion.run;
  if (by_run_.try_emplace(run, std::move(deletion)).second) order_.push_back(run);
}

const Deletion* Deletions::find(const RunId& run) const {
  auto at = by_run_.find(run);
  return at == by_run_.end() ? nullptr : &at->second;
}

std::vector<Deletion> Deletions::newest(std::size_t limit, const Principal& reader) const {
  std::vector<Deletion> found;
  for (auto at = order_.rbegin(); at != order_.rend() && found.size() < limit; ++at) {
    const Deletion& deletion = by_run_.at(*at);
    if (is_visible(deletion, reader)) found.push_back(deletion);
  }
  return found;
}

std::vector<RunId> Deletions::with_prefix(const std::string& hex, std::size_t limit,
                                          const Principal& reader) const {
  std::vector<RunId> found;
  auto first = RunId::parse(hex + std::string(32 - hex.size(), '0'));
  auto last = RunId::parse(hex + std::string(32 - hex.size(), 'f'));
  if (!first || !last) return found;
  for (auto at = by_run_.lower_bound(*first);
       at != by_run_.end() && !(*last < at->first) && found.size() < limit; ++at) {
    if (is_visible(at->second, reader)) found.push_back(at->first);
  }
  return found;
}

}  // namespace fieldline::archive
