// SPDX-License-Identifier: Apache-2.0
#include "cli/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/file.h"

namespace fieldline::cli {
namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// A space or backslash of a path stands in mountinfo as \ and three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    unsigned value = 0;
    const bool escape =
        text.size() >= 4 && text[0] == '\\' &&
        std::from_chars(text.data() + 1, text.data() + 4, value, 8).ptr == text.data() + 4;
    out += escape ? static_cast<char>(value) : text[0];
    text.remove_prefix(escape ? 4 : 1);
  }
  return out;
}

struct Mount {
  std::string root, point;
};

// Fields of a line: number, parent, device, root, mount point, options, tags, "-", type, ...
Result<Mount> cgroup2_mount(std::string_view mountinfo) {
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    const auto fields = split(line.substr(0, dash), ' ');
    if (dash == std::string_view::npos || fields.size() < 5) continue;
    if (line.substr(dash + 3).starts_with("cgroup2 "))
      return Mount{unescape(fields[3]), unescape(fields[4])};
  }
  return fail(Code::unsupported, "no cgroup v2 file system is mounted");
}

}  // namespace

Result<std::string> own_cgroup(std::string_view mountinfo, std::string_view membership) {
  auto mount = cgroup2_mount(mountinfo);
  if (!mount) return mount.error();
  for (std::string_view line : split(membership, '\n')) {
    if (!line.starts_with("0::/")) continue;
    std::string_view path = line.substr(3);
    const std::string root = mount->root == "/" ? "" : mount->root;
    if (!path.starts_with(root))
      return fail(Code::unsupported, "this process's cgroup is not below " + mount->point);
    path.remove_prefix(root.size());
    return mount->point + (path == "/" ? "" : std::string(path));
  }
  return fail(Code::unsupported, "this process is in no cgroup v2");
}

Result<Cgroup> Cgroup::create() {
  auto mounts = read_file("/proc/self/mountinfo"), membership = read_file("/proc/self/cgroup");
  if (!mounts) return mounts.error();
  if (!membership) return membership.error();
  auto parent = own_cgroup(*mounts, *membership);
  if (!parent) return parent.error();
  struct statfs fs {};
  if (::statfs(parent->c_str(), &fs) != 0) return fail_errno(*parent);
  if (fs.f_type != CGROUP2_SUPER_MAGIC)
    return fail(Code::unsupported, *parent + " is of another file system");

  Cgroup made;
  const std::string path = *parent + "/fieldline-run-" + std::to_string(::getpid());
  ::rmdir(path.c_str());  // of an earlier process of that number, which could not
  if (::mkdir(path.c_str(), 0755) != 0) return fail_errno("making the cgroup " + path);
  made.path_ = path;
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return fail_errno(path);
  made.id_ = st.st_ino;  // the same number, on a 64-bit kernel (kernfs_id)
  made.processes_ = Fd(::open((path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!made.processes_) return fail_errno("opening " + path + "/cgroup.procs");
  return made;
}

Cgroup::~Cgroup() {
  if (!path_.empty()) ::rmdir(path_.c_str());
}

std::uint64_t Cgroup::descendants() const {
  constexpr std::string_view kName = "nr_descendants ";
  auto stat = read_file(path_ + "/cgroup.stat");
  if (!stat || !stat->starts_with(kName)) return 0;
  std::uint64_t count = 0;
  std::from_chars(stat->data() + kName.size(), stat->data() + stat->size(), count);
  return count;
}

}  // namespace fieldline::cli
