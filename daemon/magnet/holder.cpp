// SPDX-License-Identifier: Apache-2.0
#include "magnet/holder.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/text.h"

namespace fieldline::magnet {

namespace {

// A device is the same by its number, whatever the name it was opened by; a file by its inode.
bool same(const struct stat& a, const struct stat& b) {
  if (S_ISCHR(a.st_mode) || S_ISCHR(b.st_mode)) {
    return S_ISCHR(a.st_mode) && S_ISCHR(b.st_mode) && a.st_rdev == b.st_rdev;
  }
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool has_open(const std::filesystem::path& process, const struct stat& wanted) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(process / "fd", error), end; !error && at != end;
       at.increment(error)) {
    struct stat found {};
    if (::stat(at->path().c_str(), &found) == 0 && same(found, wanted)) return true;
  }
  return false;
}

}  // namespace

std::string holder_of(const std::string& path, const std::string& proc) {
  struct stat wanted {};
  if (::stat(path.c_str(), &wanted) != 0) return {};
  std::string holders;
  std::error_code error;
  for (std::filesystem::directory_iterator at(proc, error), end; !error && at != end;
       at.increment(error)) {
    const std::string pid = at->path().filename();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (!has_open(at->path(), wanted)) continue;
    auto comm = read_file(at->path() / "comm", 64);
    std::string name = comm ? *comm : "?";
    name.erase(name.find_last_not_of('\n') + 1);
    if (!holders.empty()) holders += " and ";
    holders += printable(name) + " (pid " + pid + ")";
  }
  return holders;
}

}  // namespace fieldline::magnet
