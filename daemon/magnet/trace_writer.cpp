// SPDX-License-Identifier: Apache-2.0
#include "magnet/trace_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "magnet/trace_reader.h"
#include "proto/magnet.h"

namespace fieldline::magnet {

namespace {

constexpr std::size_t kHead = sizeof(fl_trace_batch);

Error no_room(const std::string& path) {
  return fail(Code::exhausted,
              path +
                  " has holes and its disk has no room to fill them: make room, or let mkmagnet "
                  "make a smaller file");
}

// A record can be written everywhere in the mapping, or this fails now.
Result<void> allocate(int fd, std::uint64_t size, const std::string& path) {
  for (;;) {
    const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
    if (error == 0) return {};
    if (error == EINTR) continue;
    if (error == ENOSPC) return no_room(path);
    return fail(Code::io, "allocating " + path + ": " + std::strerror(error));
  }
}

Error other_trace(const std::string& path, const std::string& what) {
  return fail(Code::unsupported, path + " holds a trace of " + what +
                                     "; begin a new file with mkmagnet (magnet-parse reads both)");
}

bool only_sysinfo(const Batch& batch) {
  return batch.count() == 1 && batch.record(0).head.event == MAGNET_SYSINFO;
}

}  // namespace

TraceWriter::TraceWriter(TraceWriter&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::move(other.path_)),
      memory_(std::exchange(other.memory_, nullptr)),
      guard_(std::move(other.guard_)),
      size_(other.size_),
      at_(other.at_),
      discarded_(other.discarded_),
      sequence_(other.sequence_),
      last_round_(other.last_round_),
      record_size_(other.record_size_),
      found_(std::move(other.found_)),
      last_batches_(std::move(other.last_batches_)) {}

TraceWriter::~TraceWriter() {
  guard_.reset();
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

Result<TraceWriter> TraceWriter::open(const std::string& path) {
  TraceWriter writer(Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), path);
  if (!writer.fd_ && errno == ENOENT)
    return fail(Code::not_found, path + " is not there: `mkmagnet " + path + " 256M` makes it");
  if (!writer.fd_ && errno == EACCES)
    return fail(Code::denied, path + " is not yours to write; `mkmagnet` makes one of your own");
  if (!writer.fd_) return fail_errno("opening " + path);
  if (auto locked = lock_trace(std::move(writer.fd_), path); locked) {
    writer.fd_ = std::move(*locked);
  } else {
    return locked.error();
  }
  struct stat st {};
  if (::fstat(writer.fd_.get(), &st) != 0) return fail_errno("looking at " + path);
  writer.size_ = static_cast<std::uint64_t>(st.st_size);
  if (auto ready = writer.recover(); !ready) return ready.error();
  if (auto mapped = writer.map(); !mapped) return mapped.error();
  return writer;
}

// Finds where to go on.
Result<void> TraceWriter::recover() {
  auto file = system_files().open(path_, FileSystem::Mode::read);
  if (!file) return file.error();
  auto reader = TraceReader::open(std::move(*file));
  if (!reader) return std::move(reader.error()).in(path_);
  found_ = reader->header();
  if (reader->damages() != 0)
    return fail(Code::invalid, path_ + ": its header is damaged; begin a new file with mkmagnet");
  auto here = this_host();
  if (!here) return here.error();
  if (found_.blank() || found_.boot_id == here->boot_id) {
    if (auto room = allocate(fd_.get(), size_, path_); !room) return room.error();
  }
  for (;;) {
    auto batch = reader->next();
    if (!batch) return std::move(batch.error()).in(path_);
    if (!*batch) break;
    sequence_ = (*batch)->sequence;
    last_round_ = std::max(last_round_, (*batch)->round);
    if (!only_sysinfo(**batch)) last_batches_[(*batch)->cpu] = std::move((*batch)->bytes);
  }
  at_ = reader->sound_end();
  discarded_ = reader->used_end() - std::min(reader->used_end(), at_);
  if (found_.blank() && (sequence_ != 0 || discarded_ != 0))
    return fail(Code::invalid, path_ + " is not blank behind a blank header; begin a new file");
  return {};
}

Result<void> TraceWriter::begin(const TraceHeader& session) {
  if (auto may = check(session); !may) return may;
  // A torn end goes before anything is written behind the last sound batch.
  if (discarded_ != 0) std::memset(memory_ + at_, 0, discarded_);
  if (guard_->struck()) return fail(Code::io, path_ + ": its torn end could not be cut");
  record_size_ = session.record_size;
  return found_.blank() ? claim(session) : Result<void>();
}

// What holds another session's records is left as it is, with whatever is damaged in it.
Result<void> TraceWriter::check(const TraceHeader& session) const {
  if (found_.blank()) return {};
  if (found_.boot_id != session.boot_id)
    return other_trace(path_, found_.host == session.host
                                  ? "an earlier boot (" + boot_text(found_.boot_id) + ")"
                                  : "another host (" + found_.host + ")");
  if (found_.record_size != session.record_size)
    return other_trace(path_, fmt::format("records of {} bytes, and the module makes {}",
                                          found_.record_size, session.record_size));
  if (found_.cycles_khz != session.cycles_khz || found_.abi != session.abi)
    return other_trace(path_, "another clock or ABI than the module's");
  return {};
}

// The header is on disk before the first batch can be.
Result<void> TraceWriter::claim(const TraceHeader& session) {
  TraceHeader header = session;
  header.created_ns = found_.created_ns;
  header.file_size = size_;
  if (auto written = write_header(header); !written) return written;
  if (::fdatasync(fd_.get()) != 0) return fail_errno("syncing " + path_);
  return {};
}

Result<void> TraceWriter::write_header(const TraceHeader& header) {
  const fl_trace_header bytes = encode_header(header);
  if (::pwrite(fd_.get(), &bytes, sizeof bytes, 0) != sizeof bytes)
    return fail_errno("writing the header of " + path_);
  found_ = header;
  return {};
}

Result<void> TraceWriter::map() {
  void* at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) return fail_errno("mapping " + path_);
  memory_ = static_cast<std::uint8_t*>(at);
  guard_ = std::make_unique<BusGuard>(memory_, size_);
  return {};
}

std::span<std::uint8_t> TraceWriter::space() {
  const std::uint64_t left = size_ - std::min(size_, at_);
  if (left < kHead + record_size_) return {};
  const std::size_t fits = static_cast<std::size_t>((left - kHead) / record_size_);
  return {memory_ + at_ + kHead,
          std::min<std::size_t>(fits, FL_TRACE_BATCH_RECORDS) * record_size_};
}

Result<void> TraceWriter::commit(const Meta& meta, std::size_t count) {
  fl_trace_batch head{};
  head.sequence = sequence_ + 1;
  head.cpu = static_cast<std::uint16_t>(meta.cpu);
  head.record_size = static_cast<std::uint16_t>(record_size_);
  head.count = static_cast<std::uint32_t>(count);
  head.cycles = meta.pair.cycles;
  head.tai_ns = meta.pair.tai_ns;
  head.realtime_ns = meta.pair.utc_ns;
  head.error_ns = meta.pair.error_ns;
  head.round = meta.round;
  head.lost = meta.lost;
  head.crc = batch_crc(head, {memory_ + at_ + kHead, count * record_size_});
  std::memcpy(memory_ + at_, &head, kHead);  // magic 0
  if (guard_->struck())
    return fail(Code::io, path_ +
                              ": the disk did not take what it had promised, or the file was "
                              "cut; what was written before is sound");
  // Release: to a reader of the mapping, and after the end of this process, magic means all of it.
  std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(memory_ + at_))
      .store(FL_TRACE_BATCH_MAGIC, std::memory_order_release);
  sequence_ = head.sequence;
  last_round_ = std::max(last_round_, meta.round);
  at_ += kHead + count * record_size_;
  return {};
}

Result<void> TraceWriter::finish(bool trim) {
  if (::msync(memory_, size_, MS_SYNC) != 0) return fail_errno("syncing " + path_);
  if (trim) {
    guard_.reset();
    ::munmap(std::exchange(memory_, nullptr), size_);
    size_ = at_;
    TraceHeader header = found_;
    header.file_size = at_;
    // The shorter length first: a file that is longer than its header says is whole.
    if (auto written = write_header(header); !written) return written;
    if (::fdatasync(fd_.get()) != 0) return fail_errno("syncing " + path_);
    if (::ftruncate(fd_.get(), static_cast<off_t>(at_)) != 0) return fail_errno("cutting " + path_);
  }
  if (::fsync(fd_.get()) != 0) return fail_errno("syncing " + path_);
  return {};
}

std::size_t TraceWriter::last_batch(unsigned cpu) const {
  auto last = last_batches_.find(cpu);
  return last == last_batches_.end() ? 0 : last->second.size();
}

// What its writer had not given back is the batch's end, and all of it still stands in the ring.
std::size_t TraceWriter::already_there(unsigned cpu, ByteView records) const {
  auto last = last_batches_.find(cpu);
  if (last == last_batches_.end() || records.empty()) return 0;
  const Bytes& written = last->second;
  for (std::size_t from = 0; from < written.size(); from += record_size_) {
    const std::size_t rest = written.size() - from;
    if (rest <= records.size() && std::memcmp(written.data() + from, records.data(), rest) == 0)
      return rest / record_size_;
  }
  return 0;
}

}  // namespace fieldline::magnet
