// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/fd.h"
#include "base/file.h"

using namespace fieldline;

namespace {

using Mode = FileSystem::Mode;

struct Folder {
  std::string path;
  Folder() {
    char pattern[] = "/tmp/fieldline-base-XXXXXX";
    REQUIRE(mkdtemp(pattern) != nullptr);
    path = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

std::unique_ptr<File> open_file(const std::string& path, Mode mode) {
  auto file = system_files().open(path, mode);
  REQUIRE(file.has_value());
  return std::move(*file);
}

}  // namespace

TEST_CASE("what was appended is read back, also behind a cut") {
  Folder folder;
  auto file = open_file(folder / "a", Mode::create);
  REQUIRE(file->append(view("hello ")).has_value());
  REQUIRE(file->append(view("world")).has_value());
  REQUIRE(file->append({}).has_value());
  REQUIRE(file->sync().has_value());
  CHECK(file->size().value() == 11);
  Bytes into(20);
  CHECK(file->read_at(6, into).value() == 5);
  CHECK(text(ByteView(into).first(5)) == "world");
  CHECK(file->read_at(11, into).value() == 0);
  CHECK(file->read_at(1000, into).value() == 0);
  REQUIRE(file->truncate(5).has_value());
  REQUIRE(file->append(view("!")).has_value());
  CHECK(read_file(folder / "a").value() == "hello!");
}

TEST_CASE("create wants a new file, append opens either, read wants one that is there") {
  Folder folder;
  auto missing = system_files().open(folder / "a", Mode::read);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Code::not_found);
  REQUIRE(open_file(folder / "a", Mode::create)->append(view("1")).has_value());
  auto again = system_files().open(folder / "a", Mode::create);
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == Code::io);
  REQUIRE(open_file(folder / "a", Mode::append)->append(view("2")).has_value());
  CHECK(open_file(folder / "b", Mode::append)->size().value() == 0);
  CHECK(read_file(folder / "a").value() == "12");
  CHECK_FALSE(open_file(folder / "a", Mode::read)->append(view("3")).has_value());
}

TEST_CASE("folders are made, listed in order, and files renamed and removed") {
  Folder folder;
  FileSystem& files = system_files();
  REQUIRE(files.make_directories(folder / "x/y/z").has_value());
  REQUIRE(files.make_directories(folder / "x/y/z").has_value());
  for (const char* name : {"c", "a", "b"})
    open_file(folder / ("x/" + std::string(name)), Mode::create);
  CHECK(files.list(folder / "x").value() == std::vector<std::string>{"a", "b", "c", "y"});
  REQUIRE(files.rename(folder / "x/a", folder / "x/y/d").has_value());
  REQUIRE(files.sync_directory(folder / "x/y").has_value());
  REQUIRE(files.remove(folder / "x/b").has_value());
  CHECK(files.list(folder / "x").value() == std::vector<std::string>{"c", "y"});
  CHECK_FALSE(files.remove(folder / "x/b").has_value());
  CHECK_FALSE(files.rename(folder / "x/nothing", folder / "x/else").has_value());
  CHECK_FALSE(files.list(folder / "nothing").has_value());
  CHECK_FALSE(files.sync_directory(folder / "nothing").has_value());
  CHECK_FALSE(files.make_directories(folder / "x/c/d").has_value());
}

TEST_CASE("a small file is read whole or not at all") {
  Folder folder;
  REQUIRE(open_file(folder / "a", Mode::create)->append(view(std::string(100, 'x'))).has_value());
  CHECK(read_file(folder / "a", 100).value().size() == 100);
  auto longer = read_file(folder / "a", 99);
  REQUIRE_FALSE(longer.has_value());
  CHECK(longer.error().code == Code::exhausted);
  CHECK_FALSE(read_file(folder.path).has_value());
  CHECK(read_file(folder / "missing").error().text().find("missing does not exist") !=
        std::string::npos);
}

TEST_CASE("files are not readable by everybody") {
  Folder folder;
  open_file(folder / "a", Mode::create);
  struct stat st {};
  REQUIRE(::stat((folder / "a").c_str(), &st) == 0);
  CHECK((st.st_mode & 07) == 0);
}

TEST_CASE("a descriptor has one owner, and closes with it") {
  Folder folder;
  int raw = ::open(folder.path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(raw >= 0);
  {
    Fd first(raw);
    Fd second(std::move(first));
    CHECK_FALSE(first);
    CHECK(second.get() == raw);
    Fd third;
    third = std::move(second);
    CHECK(third.get() == raw);
    third = std::move(third);
    CHECK(::fcntl(raw, F_GETFD) >= 0);
  }
  CHECK(::fcntl(raw, F_GETFD) < 0);
  Fd released(::open(folder.path.c_str(), O_RDONLY | O_CLOEXEC));
  Fd again(released.release());
  CHECK_FALSE(released);
  CHECK(again);
}
