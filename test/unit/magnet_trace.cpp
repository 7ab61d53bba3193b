// SPDX-License-Identifier: Apache-2.0
// Trace files: made, written, continued, damaged.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <isa-l/crc.h>

#include <cerrno>

#include "base/fd.h"
#include "magnet/bus_guard.h"
#include "magnet/holder.h"
#include "magnet_files.h"
#include "magnet_rings.h"

namespace fieldline::test {
namespace {

using magnet::TraceReader;
using magnet::TraceWriter;

magnet::TraceHeader session(std::uint16_t record_size = 24) {
  magnet::TraceHeader header;
  header.record_size = record_size;
  header.abi = MAGNET_ABI;
  header.cycles_khz = 2'000'000;
  header.boot_id = {1, 2, 3};
  header.host = "host-a";
  return header;
}

// So many records, numbered from `first` on; 0 if the file is full.
std::size_t put(TraceWriter& writer, unsigned cpu, std::uint64_t first, std::size_t wanted,
                std::uint32_t round = 1) {
  const auto space = writer.space();
  const std::size_t count = std::min(wanted, space.size() / 24);
  if (count == 0) return 0;
  for (std::size_t i = 0; i < count; ++i) {
    const magnet_record record{first + i, 1000 + first + i, MAGNET_TCP_SEND, 7};
    std::memcpy(space.data() + 24 * i, &record, 24);
  }
  REQUIRE(writer.commit({cpu, round, {1000 + first + count, 5, 6, 1}, 0}, count).has_value());
  return count;
}

TraceReader read_back(const std::string& path) {
  auto file = system_files().open(path, FileSystem::Mode::read);
  REQUIRE(file.has_value());
  auto reader = TraceReader::open(std::move(*file));
  REQUIRE(reader.has_value());
  return std::move(*reader);
}

// All records in order, numbered from 0 on; their number.
std::uint64_t count_records(TraceReader& reader) {
  std::uint64_t next = 0;
  for (;;) {
    auto batch = reader.next();
    REQUIRE(batch.has_value());
    if (!*batch) return next;
    for (std::size_t i = 0; i < (*batch)->count(); ++i)
      REQUIRE((*batch)->record(i).head.sockid == next++);
  }
}

// A trace of ten records, and what `leave` writes behind them without a commit.
template <class Leave>
void write_ten(const std::string& path, Leave leave) {
  make_trace(path, 1 << 17);
  auto writer = TraceWriter::open(path);
  REQUIRE(writer.has_value());
  REQUIRE(writer->begin(session()).has_value());
  REQUIRE(put(*writer, 0, 0, 10) == 10);
  leave(writer->space());
}

std::string why_not(const std::string& path, const magnet::TraceHeader& with) {
  auto writer = TraceWriter::open(path);
  if (!writer) return writer.error().text();
  auto begun = writer->begin(with);
  return begun ? "" : begun.error().text();
}

void overwrite(const std::string& path, std::uint64_t offset, ByteView bytes) {
  Fd fd(::open(path.c_str(), O_WRONLY));
  REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes.size()));
}

}  // namespace

TEST_CASE("trace: made blank, whole and private, over nobody's file") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 20);
  CHECK(std::filesystem::file_size(path) == 1 << 20);
  struct stat made {};
  REQUIRE(::lstat(path.c_str(), &made) == 0);
  CHECK(made.st_blocks * 512 >= 1 << 20);
  CHECK((made.st_mode & 0777) == 0660);
  auto reader = read_back(path);
  CHECK(reader.header().blank());
  CHECK(count_records(reader) == 0);
  CHECK(reader.damages() == 0);

  auto again = magnet::make_trace({path, 1 << 20, false, 0, 0660});
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().text().find("--force") != std::string::npos);
  CHECK(magnet::make_trace({path, 1 << 16, true, 0, 0660}).has_value());
  CHECK(std::filesystem::file_size(path) == 1 << 16);
  CHECK_FALSE(magnet::make_trace({folder / "small", 1000, false, 0, 0660}).has_value());
}

TEST_CASE("trace: --force takes the place of files alone, not of links and devices") {
  Folder folder;
  std::filesystem::create_symlink("/dev/null", folder / "link");
  auto made = magnet::make_trace({folder / "link", 1 << 20, true, 0, 0660});
  REQUIRE_FALSE(made.has_value());
  CHECK(made.error().text().find("no regular file") != std::string::npos);
  CHECK(std::filesystem::is_symlink(folder / "link"));
}

TEST_CASE("ARunningRecordingIsReplaced: --force leaves alone what is being written") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 16);
  {
    auto writer = TraceWriter::open(path);
    REQUIRE(writer->begin(session()).has_value());
    auto made = magnet::make_trace({path, 1 << 20, true, 0, 0660});
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().text().find("is being written by") != std::string::npos);
    REQUIRE(put(*writer, 0, 0, 10) == 10);
  }
  CHECK(std::filesystem::file_size(path) == 1 << 16);
  auto reader = read_back(path);
  CHECK(count_records(reader) == 10);
  CHECK(magnet::make_trace({path, 1 << 20, true, 0, 0660}).has_value());
}

TEST_CASE(
    "RecordedIntoADeletedFile: a trace that was replaced before it was locked is not written") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 16);
  Fd old(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(magnet::make_trace({path, 1 << 16, true, 0, 0660}).has_value());
  auto locked = magnet::lock_trace(std::move(old), path);
  REQUIRE_FALSE(locked.has_value());
  CHECK(locked.error().text().find("replaced just now; try again") != std::string::npos);
  CHECK(TraceWriter::open(path).has_value());
}

TEST_CASE("trace: a disk without room leaves no file, and the old one with --force") {
  Folder folder;
  const std::string path = folder / "trace";
  struct statvfs disk {};
  REQUIRE(::statvfs((folder / ".").c_str(), &disk) == 0);
  const std::uint64_t too_much = disk.f_bavail * disk.f_frsize + (std::uint64_t{1} << 40);
  auto made = magnet::make_trace({path, too_much, false, 0, 0660});
  REQUIRE_FALSE(made.has_value());
  CHECK(made.error().text().find("make room") != std::string::npos);
  CHECK(std::filesystem::is_empty(folder / "."));

  // The allocation itself fails: here by the process's limit.
  make_trace(path, 1 << 17);
  rlimit limit{}, small{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, SIG_IGN);
  small = limit;
  small.rlim_cur = 1 << 16;
  ::setrlimit(RLIMIT_FSIZE, &small);
  made = magnet::make_trace({path, 1 << 20, true, 0, 0660});
  ::setrlimit(RLIMIT_FSIZE, &limit);
  REQUIRE_FALSE(made.has_value());
  CHECK(std::filesystem::file_size(path) == 1 << 17);
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "."), {}) == 1);
}

TEST_CASE("trace: what was written is read, and the file ends full") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 17);
  std::uint64_t written = 0;
  {
    auto writer = TraceWriter::open(path);
    REQUIRE(writer.has_value());
    REQUIRE(writer->begin(session()).has_value());
    while (const std::size_t n = put(*writer, 0, written, 100)) written += n;
    CHECK(writer->used() + 64 + 24 > writer->size());
    REQUIRE(writer->finish(false).has_value());
  }
  auto reader = read_back(path);
  CHECK(reader.header().host == "host-a");
  CHECK(reader.header().record_size == 24);
  CHECK(reader.header().created_ns == 1'763'766'697'000'000'000);
  CHECK(count_records(reader) == written);
  CHECK(reader.damages() == 0);
  CHECK(reader.missing_batches() == 0);
}

TEST_CASE("trace: continued behind its last batch, trimmed at the end") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 17);
  std::uint64_t written = 0;
  for (int part = 0; part < 3; ++part) {
    auto writer = TraceWriter::open(path);
    REQUIRE(writer.has_value());
    REQUIRE(writer->begin(session()).has_value());
    CHECK(writer->last_round() == static_cast<std::uint32_t>(part));
    written += put(*writer, 0, written, 10, writer->last_round() + 1);
    if (part == 2) REQUIRE(writer->finish(true).has_value());
  }
  CHECK(std::filesystem::file_size(path) == 4096 + 3 * (64 + 240));
  auto reader = read_back(path);
  CHECK(count_records(reader) == 30);
  CHECK(reader.damages() == 0);
  CHECK(reader.missing_batches() == 0);
  // Nothing more goes in.
  auto full = TraceWriter::open(path);
  REQUIRE(full.has_value());
  REQUIRE(full->begin(session()).has_value());
  CHECK(full->space().empty());
}

TEST_CASE("trace: that of another boot, host, record size or clock is not continued") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 17);
  CHECK(why_not(path, session()).empty());
  CHECK(why_not(path, session()).empty());
  auto other = session();
  other.boot_id = {9};
  CHECK(why_not(path, other).find("an earlier boot (01020300-") != std::string::npos);
  other.host = "host-b";
  CHECK(why_not(path, other).find("another host (host-a)") != std::string::npos);
  CHECK(why_not(path, session(64)).find("records of 24 bytes, and the module makes 64") !=
        std::string::npos);
  other = session();
  other.cycles_khz = 1;
  CHECK(why_not(path, other).find("mkmagnet") != std::string::npos);
  CHECK(why_not(folder / "none", session()).find("`mkmagnet") != std::string::npos);
  std::ofstream(folder / "text") << std::string(10000, 'x');
  CHECK(why_not(folder / "text", session()).find("not a trace") != std::string::npos);
}

TEST_CASE("trace: one writer at a time, and the second hears who has it") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 17);
  auto first = TraceWriter::open(path);
  REQUIRE(first.has_value());
  const std::string said = why_not(path, session());
  CHECK(said.find("pid " + std::to_string(::getpid())) != std::string::npos);
  std::string name = text_of("/proc/self/comm");
  name.pop_back();
  CHECK(magnet::holder_of(path) == name + " (pid " + std::to_string(::getpid()) + ")");
  CHECK(magnet::holder_of(folder / "none").empty());
}

TEST_CASE("trace: one that is not continued keeps every byte, its torn end too") {
  Folder folder;
  const std::string path = folder / "trace";
  write_ten(path, [](auto space) { std::memset(space.data(), 0xaa, 100); });
  const std::string before = text_of(path);
  CHECK(why_not(path, session(64)).find("records of 24 bytes") != std::string::npos);
  auto other = session();
  other.boot_id = {9};
  CHECK_FALSE(why_not(path, other).empty());
  CHECK(TraceWriter::open(path)->discarded() > 0);
  CHECK(text_of(path) == before);
}

TEST_CASE("trace: with any one byte of its header damaged the records are all read") {
  Folder folder;
  const std::string path = folder / "trace";
  write_ten(path, [](auto) {});
  const std::string whole = text_of(path);
  for (std::size_t at = 0; at < sizeof(fl_trace_header); ++at) {
    CAPTURE(at);
    const auto wrong = static_cast<std::uint8_t>(whole[at] ^ 0x41);
    overwrite(path, at, {&wrong, 1});
    auto reader = read_back(path);
    CHECK(count_records(reader) == 10);
    CHECK(reader.damages() == 1);
    const auto right = static_cast<std::uint8_t>(whole[at]);
    overwrite(path, at, {&right, 1});
  }
}

TEST_CASE("trace: a torn end is cut, reported, and written over") {
  Folder folder;
  const std::string path = folder / "trace";
  // A writer that ended before it stored the magic.
  write_ten(path, [](auto space) { std::memset(space.data() - 60, 0xaa, 60 + 240); });
  const std::uint64_t sound = 4096 + 64 + 240;
  auto torn = read_back(path);
  CHECK(count_records(torn) == 10);
  REQUIRE(torn.damages() == 1);
  CHECK(torn.damage()[0].offset == sound);
  CHECK(torn.damage()[0].bytes == 64 + 240);
  {
    auto writer = TraceWriter::open(path);
    REQUIRE(writer->begin(session()).has_value());
    CHECK(writer->discarded() == 64 + 240);
    CHECK(writer->used() == sound);
    REQUIRE(put(*writer, 0, 10, 3) == 3);
  }
  auto reader = read_back(path);
  CHECK(count_records(reader) == 13);
  CHECK(reader.damages() == 0);
}

TEST_CASE("trace: a corrupt batch is passed over; what follows is read, the missing one counted") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 17);
  {
    auto writer = TraceWriter::open(path);
    REQUIRE(writer->begin(session()).has_value());
    for (std::uint64_t i = 0; i < 5; ++i) REQUIRE(put(*writer, 0, i * 10, 10) == 10);
  }
  const std::uint64_t batch = 64 + 240, second = 4096 + batch;
  const std::uint8_t wrong = 0x5a;
  overwrite(path, second + 100, {&wrong, 1});
  auto reader = read_back(path);
  std::vector<std::uint64_t> firsts;
  for (;;) {
    auto next = reader.next();
    REQUIRE(next.has_value());
    if (!*next) break;
    firsts.push_back((*next)->record(0).head.sockid);
  }
  CHECK(firsts == std::vector<std::uint64_t>{0, 20, 30, 40});
  REQUIRE(reader.damages() == 1);
  CHECK(reader.damage()[0].offset == second);
  CHECK(reader.damage()[0].bytes == batch);
  CHECK(reader.missing_batches() == 1);
}

TEST_CASE("trace: another version, byte order or record size says so") {
  Folder folder;
  const std::string path = folder / "trace";
  auto said = [&](auto change) {
    fl_trace_header header = magnet::encode_header(session());
    change(header);
    const auto decoded = magnet::decode_header(view_of(header));
    return decoded ? std::string() : decoded.error().text();
  };
  const auto sign = [](fl_trace_header& header) {
    header.crc = crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(&header),
                                 offsetof(fl_trace_header, crc));
  };
  CHECK(said([](auto&) {}).empty());
  CHECK(said([&](auto& header) {
          header.version = 2;
          sign(header);
        }).find("version 2") != std::string::npos);
  CHECK(said([&](auto& header) {
          header.byte_order = 0x4d3c2b1a;
          sign(header);
        }).find("big-endian") != std::string::npos);
  CHECK(said([](auto& header) { header.host[0] ^= 1; }).find("damaged") != std::string::npos);
  auto strange = session();
  strange.record_size = 32;
  const auto decoded = magnet::decode_header(view_of(magnet::encode_header(strange)));
  REQUIRE_FALSE(decoded.has_value());
  CHECK(decoded.error().text().find("records of 32 bytes") != std::string::npos);
}

TEST_CASE("trace: a file that is cut under its writer ends it with an error, not with SIGBUS") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 20);
  auto writer = TraceWriter::open(path);
  REQUIRE(writer->begin(session()).has_value());
  REQUIRE(put(*writer, 0, 0, 10) == 10);
  REQUIRE(::truncate(path.c_str(), 4096 + 64 + 240) == 0);
  // Within the last page the kernel gives zeros; behind it nothing.
  std::string error;
  for (std::uint64_t i = 10; i < 20'000 && error.empty(); i += 100) {
    const auto space = writer->space();
    std::memset(space.data(), 1, 2400);
    auto done = writer->commit({0, 1, {1, 1, 1, 1}, 0}, 100);
    if (!done) error = done.error().text();
  }
  CHECK(error.find("the file was cut") != std::string::npos);
}

TEST_CASE(
    "PageOfAnotherSizeUnderTheGuard: one of this machine is replaced, errno and the rest kept") {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  Folder folder;
  const std::string path = folder / "cut";
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::ftruncate(file.get(), static_cast<off_t>(3 * page)) == 0);
  void* at = ::mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  REQUIRE(at != MAP_FAILED);
  auto* bytes = static_cast<volatile std::uint8_t*>(at);
  {
    magnet::BusGuard guard(static_cast<std::uint8_t*>(at), 3 * page);
    bytes[0] = 1;
    REQUIRE(::ftruncate(file.get(), static_cast<off_t>(page)) == 0);
    errno = EXDEV;
    bytes[2 * page - 1] = 2;  // by its last byte
    CHECK(errno == EXDEV);
    CHECK(guard.struck());
    CHECK(bytes[page] == 0);
    CHECK(bytes[2 * page - 1] == 2);
    CHECK(bytes[2 * page] == 0);
    CHECK(bytes[0] == 1);
  }
  REQUIRE(::munmap(at, 3 * page) == 0);
}

TEST_CASE("trace: killed between the file and the ring, a record stands in the file once") {
  Folder folder;
  const std::string path = folder / "trace";
  make_trace(path, 1 << 17);
  const pid_t child = ::fork();
  if (child == 0) {
    auto writer = TraceWriter::open(path);
    if (!writer || !writer->begin(session())) ::_exit(1);
    const auto space = writer->space();
    for (std::uint64_t i = 0; i < 10; ++i) {
      const magnet_record record{i, 1000 + i, MAGNET_TCP_SEND, 7};
      std::memcpy(space.data() + 24 * i, &record, 24);
    }
    (void)writer->commit({0, 1, {1000, 5, 6, 1}, 0}, 10);
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  auto writer = TraceWriter::open(path);
  REQUIRE(writer->begin(session()).has_value());
  // Three of them had been given back; four came since.
  Bytes ring;
  for (std::uint64_t i = 3; i < 14; ++i)
    append_struct(ring, magnet_record{i, 1000 + i, MAGNET_TCP_SEND, 7});
  CHECK(writer->already_there(0, ring) == 7);
  CHECK(writer->already_there(1, ring) == 0);
  CHECK(writer->already_there(0, ByteView(ring).subspan(24 * 7)) == 0);
}

}  // namespace fieldline::test
