// SPDX-License-Identifier: Apache-2.0
#include "cli/query.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

namespace {

// ".123456789" or "": nanoseconds; no value for anything else.
std::optional<std::uint64_t> fraction_ns(std::string_view text) {
  if (text.empty()) return 0;
  if (text.front() != '.' || text.size() < 2 || text.size() > 10) return {};
  std::uint64_t ns = 0, unit = 100'000'000;
  for (char c : text.substr(1)) {
    if (c < '0' || c > '9') return {};
    ns += static_cast<std::uint64_t>(c - '0') * unit;
    unit /= 10;
  }
  return ns;
}

std::optional<std::uint64_t> parse_rfc3339(const std::string& text) {
  tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr || !text.ends_with('Z')) return {};
  std::string_view tail(rest);
  auto ns = fraction_ns(tail.substr(0, tail.size() - 1));
  time_t seconds = ::timegm(&parts);
  if (!ns || seconds < 0 || seconds > 9'000'000'000) return {};
  return static_cast<std::uint64_t>(seconds) * kNanosPerSecond + *ns;
}

std::optional<std::uint64_t> parse_epoch(std::string_view text) {
  auto dot = std::min(text.find('.'), text.size());
  std::uint64_t seconds = 0;
  for (char c : text.substr(0, dot)) {
    if (c < '0' || c > '9' || seconds > 900'000'000) return {};
    seconds = seconds * 10 + static_cast<std::uint64_t>(c - '0');
  }
  auto ns = fraction_ns(text.substr(dot));
  if (dot == 0 || !ns) return {};
  return seconds * kNanosPerSecond + *ns;
}

struct Sink {
  std::optional<PendingFile> file;
  int fd = STDOUT_FILENO;
};

Result<Sink> open_sink(const std::string& output) {
  Sink sink;
  if (!output.empty() && output != "-") {
    auto file = PendingFile::create(output);
    if (!file) return file.error();
    sink.file.emplace(std::move(*file));
    sink.fd = sink.file->fd();
  } else if (is_terminal(STDOUT_FILENO)) {
    return fail(Code::invalid,
                "query writes pcapng, which a terminal cannot show; give -o FILE, or pipe it: "
                "fieldline query RUN | tshark -r -");
  }
  return sink;
}

void tell_counts(const QueryOptions& options, const nlohmann::json& result, std::uint64_t bytes) {
  std::uint64_t records = number_at(result, "records"),
                skipped = number_at(result, "skipped_bytes");
  if (options.json) {
    nlohmann::json counts = {{"schema", "fieldline.query/1"},
                             {"run", string_at(result, "run")},
                             {"records", records},
                             {"bytes", bytes},
                             {"skipped_bytes", skipped}};
    return note(json_text(counts, -1));
  }
  note(grouped(records) + " packets, " + grouped(bytes) + " bytes" +
       (skipped > 0 ? "; " + grouped(skipped) + " damaged bytes were stepped over in the archive"
                    : ""));
}

}  // namespace

Result<std::uint64_t> parse_time(const std::string& text, std::uint64_t now_ns) {
  std::optional<std::uint64_t> time;
  if (text.starts_with('@')) {
    time = parse_epoch(std::string_view(text).substr(1));
  } else if (text.starts_with('-')) {
    std::uint64_t ago = parse_duration_ns(text.substr(1));
    if (ago != 0 && ago <= now_ns) time = now_ns - ago;
  } else {
    time = parse_rfc3339(text);
  }
  if (time) return *time;
  return fail(Code::invalid,
              "'" + text +
                  "' is not a time; write 2026-11-21T23:11:00.5Z (UTC), @SECONDS since the "
                  "epoch, or -5m for five minutes ago (as --from=-5m)");
}

Result<PendingFile> PendingFile::create(const std::string& path) {
  PendingFile file;
  file.path_ = path;
  std::string name = path + ".part-XXXXXX";
  file.fd_ = Fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!file.fd_) return fail_errno("creating " + path + "; is its folder there and writable?");
  file.temporary_ = name;
  mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file.fd_.get(), 0666 & ~mask);
  return file;
}

PendingFile::PendingFile(PendingFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

PendingFile::~PendingFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> PendingFile::publish() {
  if (::fdatasync(fd_.get()) != 0) return fail_errno("syncing " + path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return fail_errno("renaming to " + path_);
  temporary_.clear();
  return {};
}

nlohmann::json query_request(const QueryOptions& options) {
  nlohmann::json request = {{"op", "query"}, {"run", options.run}, {"reports", true}};
  if (options.flow) request["flow"] = options.flow->to_query();
  if (!options.vantage.empty()) request["vantage"] = options.vantage;
  if (options.from_ns) request["from_ns"] = *options.from_ns;
  if (options.to_ns) request["to_ns"] = *options.to_ns;
  return request;
}

int query(const QueryOptions& options, const UserSettings& settings) {
  auto sink = open_sink(options.output);
  if (!sink) return complain(sink.error(), sink.error().code == Code::invalid ? kUsage : kFailure);
  std::uint64_t bytes = 0;
  Result<void> written;
  auto result = ask_archive(settings, query_request(options), [&](ByteView piece) {
    written = write_all(sink->fd, text(piece));
    bytes += piece.size();
    return bool(written);
  });
  if (!written) return written.error().code == Code::closed ? kOk : complain(written.error());
  if (!result) return complain(result.error());
  if (sink->file) {
    if (auto published = sink->file->publish(); !published) return complain(published.error());
  }
  tell_counts(options, *result, bytes);
  return number_at(*result, "skipped_bytes") > 0 ? kPartial : kOk;
}

int reindex(bool json, const UserSettings& settings) {
  auto result = ask_archive(settings, {{"op", "reindex"}});
  if (!result) return complain(result.error());
  std::uint64_t skipped = number_at(*result, "skipped_bytes");
  std::string text = grouped(number_at(*result, "chunks")) + " chunks, " +
                     grouped(number_at(*result, "runs")) + " runs, " +
                     grouped(number_at(*result, "records")) + " records; " + grouped(skipped) +
                     " damaged bytes stepped over\n";
  if (json) {
    (*result)["schema"] = "fieldline.reindex/1";
    text = json_text(*result, 2) + "\n";
  }
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return skipped > 0 ? kPartial : kOk;
}

}  // namespace fieldline::cli
