// SPDX-License-Identifier: Apache-2.0
#include "magnet/trace_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <isa-l/crc.h>

#include "base/file.h"
#include "base/text.h"
#include "magnet/holder.h"
#include "proto/magnet.h"

namespace fieldline::magnet {

namespace {

// zlib's CRC-32, by ISA-L: by table it took 100 instructions for a record of 24 bytes, two thirds
// of what that record cost its reader; by carry-less multiplication 16.
std::uint32_t crc32(std::uint32_t before, const void* bytes, std::size_t count) {
  return ::crc32_gzip_refl(before, static_cast<const unsigned char*>(bytes), count);
}

std::uint32_t header_crc(const fl_trace_header& header) {
  return crc32(0, &header, offsetof(fl_trace_header, crc));
}

std::string folder_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Error denied_or_io(const std::string& what) {
  const bool denied = errno == EACCES || errno == EPERM;
  Error error = fail_errno(what);
  if (denied) error.code = Code::denied;
  return error;
}

Error no_room(const std::string& path, std::uint64_t size, std::uint64_t has) {
  return fail(Code::exhausted,
              fmt::format("{} needs {} bytes and its disk has {} free: make room or ask for less",
                          path, grouped(size), grouped(has)));
}

Result<void> allocate(int fd, const MakeOptions& options) {
  struct statvfs disk {};
  if (::fstatvfs(fd, &disk) == 0) {
    const std::uint64_t has = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    if (options.size > has) return no_room(options.path, options.size, has);
  }
  // posix_fallocate gives the error and leaves errno alone.
  for (;;) {
    const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(options.size));
    if (error == 0) return {};
    if (error == EINTR) continue;
    if (error == ENOSPC) return no_room(options.path, options.size, 0);
    return fail(Code::io, "allocating " + options.path + ": " + std::strerror(error));
  }
}

Result<void> fill(int fd, const MakeOptions& options) {
  if (auto allocated = allocate(fd, options); !allocated) return allocated.error();
  TraceHeader blank;
  blank.created_ns = options.now_ns;
  blank.file_size = options.size;
  const fl_trace_header header = encode_header(blank);
  if (::pwrite(fd, &header, sizeof header, 0) != sizeof header)
    return fail_errno("writing " + options.path);
  if (::fchmod(fd, options.mode) != 0) return fail_errno("setting the mode of " + options.path);
  if (::fsync(fd) != 0) return fail_errno("syncing " + options.path);
  return {};
}

// A link fails where the name is taken, and so nobody's file is replaced unasked. replaces: a file
// that is locked.
Result<void> publish(const std::string& temporary, const MakeOptions& options, bool replaces) {
  const int done = replaces ? ::rename(temporary.c_str(), options.path.c_str())
                            : ::link(temporary.c_str(), options.path.c_str());
  if (done != 0 && errno == EEXIST)
    return fail(Code::invalid, options.path + " is there already; --force replaces it");
  if (done != 0) return denied_or_io("naming " + options.path);
  if (!replaces) ::unlink(temporary.c_str());
  return system_files().sync_directory(folder_of(options.path));
}

}  // namespace

std::string boot_text(const BootId& id) {
  std::string hex = to_hex(id);
  for (std::size_t at : {20, 16, 12, 8}) hex.insert(at, "-");
  return hex;
}

Result<BootId> parse_boot_id(const std::string& text) {
  std::string hex = text;
  std::erase_if(hex, [](char c) { return c == '-' || c == '\n'; });
  BootId id{};
  if (auto read = from_hex(hex, id); !read) return std::move(read.error()).in("boot id");
  return id;
}

Result<TraceHeader> this_host() {
  TraceHeader header;
  auto text = read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return text.error();
  auto id = parse_boot_id(*text);
  if (!id) return id.error();
  header.boot_id = *id;
  char name[FL_TRACE_HOST_SIZE] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return fail_errno("asking for the host's name");
  header.host = name;
  header.abi = MAGNET_ABI;
  return header;
}

fl_trace_header encode_header(const TraceHeader& header) {
  fl_trace_header out{};
  std::memcpy(out.magic, FL_TRACE_MAGIC, sizeof out.magic);
  out.byte_order = FL_TRACE_BYTE_ORDER;
  out.version = FL_TRACE_VERSION;
  out.header_size = FL_TRACE_HEADER_SIZE;
  out.record_size = header.record_size;
  out.abi = header.abi;
  out.cycles_khz = header.cycles_khz;
  out.layers = header.layers;
  out.rings = header.rings;
  out.created_ns = header.created_ns;
  out.started_ns = header.started_ns;
  out.file_size = header.file_size;
  std::memcpy(out.boot_id, header.boot_id.data(), sizeof out.boot_id);
  std::memcpy(out.host, header.host.data(), std::min(header.host.size(), sizeof out.host - 1));
  out.crc = header_crc(out);
  return out;
}

Result<TraceHeader> decode_header(ByteView bytes) {
  fl_trace_header in{};
  if (bytes.size() < sizeof in)
    return fail(Code::invalid, fmt::format("{} bytes are too few for a trace", bytes.size()));
  std::memcpy(&in, bytes.data(), sizeof in);
  // What names the format may itself be what is damaged: then the rest checks with it put right.
  fl_trace_header named = in;
  std::memcpy(named.magic, FL_TRACE_MAGIC, sizeof named.magic);
  named.byte_order = FL_TRACE_BYTE_ORDER;
  named.version = FL_TRACE_VERSION;
  const bool ours = std::memcmp(&named, &in, sizeof in) == 0;
  if (!ours && in.crc == header_crc(named)) return fail(Code::truncated, "its header is damaged");
  if (std::memcmp(in.magic, FL_TRACE_MAGIC, sizeof in.magic) != 0)
    return fail(Code::invalid, "not a trace of magnet-read (mkmagnet makes one)");
  if (in.byte_order == __builtin_bswap32(FL_TRACE_BYTE_ORDER))
    return fail(Code::unsupported,
                "written in big-endian byte order; read it with the magnet-parse of such a host");
  if (in.byte_order == FL_TRACE_BYTE_ORDER && in.version != FL_TRACE_VERSION)
    return fail(Code::unsupported,
                fmt::format("a trace of version {}; this program reads version {}", in.version,
                            FL_TRACE_VERSION));
  if (in.crc != header_crc(in)) return fail(Code::truncated, "its header is damaged");
  if (in.record_size != 0 && in.record_size != sizeof(magnet_record) &&
      in.record_size != sizeof(magnet_record_ext))
    return fail(Code::unsupported,
                fmt::format("records of {} bytes; this program reads those of 24 and of 64",
                            in.record_size));
  if (in.byte_order != FL_TRACE_BYTE_ORDER || in.header_size != FL_TRACE_HEADER_SIZE ||
      (in.record_size != 0 && in.cycles_khz == 0))
    return fail(Code::truncated, "its header contradicts itself");
  TraceHeader header{in.record_size, in.abi,        in.cycles_khz, in.layers, in.rings,
                     in.created_ns,  in.started_ns, in.file_size,  {},        {}};
  std::memcpy(header.boot_id.data(), in.boot_id, sizeof in.boot_id);
  header.host.assign(in.host, ::strnlen(in.host, sizeof in.host));
  return header;
}

std::uint32_t batch_crc(const fl_trace_batch& head, ByteView records) {
  constexpr std::size_t kFrom = offsetof(fl_trace_batch, sequence);
  const auto* const from = reinterpret_cast<const unsigned char*>(&head) + kFrom;
  return crc32(crc32(0, from, sizeof head - kFrom), records.data(), records.size());
}

Result<Fd> lock_trace(Fd fd, const std::string& path) {
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
    // Who replaces it holds the old one's lock until the name is the new one's.
    struct stat held {};
    struct stat named {};
    if (::fstat(fd.get(), &held) != 0) return fail_errno("looking at " + path);
    const bool same = ::stat(path.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
                      held.st_ino == named.st_ino;
    if (!same) return fail(Code::exhausted, path + " was replaced just now; try again");
    return fd;
  }
  if (errno != EWOULDBLOCK) return fail_errno("locking " + path);
  fd.reset();  // before it is asked who has the file: not this process
  const std::string holder = holder_of(path);
  return fail(Code::exhausted,
              path + " is being written by " + (holder.empty() ? "another process" : holder));
}

Result<void> make_trace(const MakeOptions& options) {
  if (options.size < kLeastTraceSize) {
    return fail(Code::invalid,
                fmt::format("a trace has at least {} bytes; try 256M", grouped(kLeastTraceSize)));
  }
  struct stat there {};
  Fd old;  // locked until it is replaced
  if (::lstat(options.path.c_str(), &there) == 0) {
    if (!S_ISREG(there.st_mode))
      return fail(Code::invalid, options.path + " is there already, and is no regular file");
    if (!options.force)
      return fail(Code::invalid, options.path + " is there already; --force replaces it");
    // To write: over NFS nothing else can be locked.
    old = Fd(::open(options.path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!old) return denied_or_io("looking whether somebody writes " + options.path);
    auto locked = lock_trace(std::move(old), options.path);
    if (!locked) return locked.error();
    old = std::move(*locked);
  }
  std::string temporary = options.path + ".new-XXXXXX";
  Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) {
    Error error = denied_or_io("creating " + options.path);
    error.context += "; its folder has to be there and writable";
    return error;
  }
  auto made = fill(fd.get(), options);
  if (made) made = publish(temporary, options, static_cast<bool>(old));
  if (!made) ::unlink(temporary.c_str());
  return made;
}

}  // namespace fieldline::magnet
