// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/ctf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/magnet/ctf_metadata.h"
#include "magnet/fields.h"
#include "magnet/names.h"

namespace fieldline::cli {

namespace {

constexpr std::uint32_t kMagic = 0xc1fc1fc1;
constexpr std::size_t kPacket = 256 << 10;

template <class T>
void put(Bytes& out, T value) {
  append_struct(out, value);
}

void put_extension(Bytes& out, const magnet_record_ext& record) {
  using Kind = magnet::Field::Kind;
  for (const auto& field : magnet::fields_of(magnet::layout_of(record.head.event))) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(&record.ext) + field.offset;
    if (field.kind == Kind::address) {
      append(out, view(magnet::text_at(record.ext, field)));
      out.push_back(0);
    } else {
      append(out, {at, field.size});
    }
  }
}

Result<void> write_whole(int fd, ByteView bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("writing " + path);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<Fd> create(const std::string& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0660));
  if (!fd) return fail_errno("creating " + path);
  return fd;
}

}  // namespace

Result<void> CtfSink::write_file(const std::string& name, const std::string& text) {
  const std::string path = folder_ + "/" + name;
  auto fd = create(path);
  if (!fd) return fd.error();
  return write_whole(fd->get(), view(text), path);
}

Result<void> CtfSink::begin(const TraceSet& set) {
  const auto& first = set.traces.front().header;
  for (const auto& trace : set.traces) {
    if (trace.header.boot_id != first.boot_id)
      return fail(Code::invalid,
                  "--ctf takes traces of one boot of one host, and " + trace.file +
                      " is of another: make a folder for each (babeltrace2 merges folders)");
  }
  if (::mkdir(folder_.c_str(), 0770) != 0) {
    return errno == EEXIST ? fail(Code::invalid, folder_ +
                                                     " is there already; --ctf makes a new "
                                                     "folder")
                           : fail_errno("making " + folder_);
  }
  uuid_ = first.boot_id;
  return write_file("metadata", ctf_metadata(first));
}

Result<CtfSink::Stream*> CtfSink::stream_of(unsigned cpu) {
  auto found = streams_.find(cpu);
  if (found != streams_.end()) return &found->second;
  auto fd = create(folder_ + "/cpu_" + std::to_string(cpu));
  if (!fd) return fd.error();
  Stream stream;
  stream.fd = std::move(*fd);
  return &streams_.emplace(cpu, std::move(stream)).first->second;
}

Result<void> CtfSink::event(const magnet::Event& event) {
  auto found = stream_of(event.cpu);
  if (!found) return found.error();
  Stream& stream = **found;
  const auto& head = event.record.head;
  std::uint64_t when = event.when.utc_ns;
  if (when < stream.last_ns) {
    when = stream.last_ns;
    ++clamped_;
  }
  if (head.event == MAGNET_LOST) {
    // A packet before it and one with it: readers make the count from the difference.
    if (auto flushed = flush(event.cpu, stream); !flushed) return flushed.error();
    stream.lost += static_cast<std::uint32_t>(head.size);
  }
  if (stream.body.empty()) stream.first_ns = when;
  stream.last_ns = when;
  put(stream.body, ctf_id(head.event, event.has_extension));
  put(stream.body, when);
  put(stream.body, head.sockid);
  put(stream.body, head.size);
  if (magnet::find_event_name(head.event) == nullptr) put(stream.body, head.event);
  if (event.has_extension) put_extension(stream.body, event.record);
  return stream.body.size() < kPacket ? Result<void>() : flush(event.cpu, stream);
}

std::string CtfSink::remark() const {
  if (clamped_ == 0) return {};
  return folder_ + ": " + grouped(clamped_) +
         " events got the time of the one before: their clock went back, and CTF's never does";
}

// As ctf_metadata() declares it: packet header, packet context, events.
Result<void> CtfSink::flush(unsigned cpu, Stream& stream) {
  if (stream.body.empty()) return {};
  constexpr std::uint64_t kHead = 4 + 16 + 4 + 6 * 8 + 4;
  const std::uint64_t bits = (kHead + stream.body.size()) * 8;
  Bytes packet;
  put(packet, kMagic);
  append(packet, uuid_);
  put(packet, std::uint32_t{0});
  put(packet, stream.first_ns);
  put(packet, stream.last_ns);
  put(packet, bits);  // content
  put(packet, bits);  // packet
  put(packet, stream.packets++);
  put(packet, stream.lost);
  put(packet, static_cast<std::uint32_t>(cpu));
  append(packet, stream.body);
  stream.body.clear();
  return write_whole(stream.fd.get(), packet, folder_ + "/cpu_" + std::to_string(cpu));
}

Result<void> CtfSink::end() {
  for (auto& [cpu, stream] : streams_) {
    if (auto flushed = flush(cpu, stream); !flushed) return flushed.error();
  }
  return {};
}

}  // namespace fieldline::cli
