// SPDX-License-Identifier: Apache-2.0
#include "cli/run_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/query.h"
#include "cli/run_answer.h"
#include "cli/run_session.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

Result<std::uint64_t> duration(const char* option, const std::string& text, std::uint64_t min,
                               std::uint64_t max, const char* example) {
  const std::uint64_t ns = parse_duration_ns(text);
  if (ns >= min && ns <= max) return ns;
  return fail(Code::invalid,
              std::string(option) + " " + text + ": write a time such as " + example);
}

int put_report(const RunRecord& record, bool json, std::optional<PendingFile>& file) {
  const bool color = !file && is_terminal(STDERR_FILENO);
  const std::string text = json ? json_text(to_json(record), 2) + "\n" : to_text(record, color);
  auto written = write_all(file ? file->fd() : STDERR_FILENO, text);
  if (written && file) written = file->publish();
  if (!written) complain(written.error());
  return record.exit;
}

int not_run(const Error& error) {
  complain(error);
  return kNotRun;
}

int cannot_start(const std::string& name, int error) {
  complain(fail(error == ENOENT ? Code::not_found : Code::io, name + ": " + std::strerror(error)));
  return error == ENOENT ? kNotFound : kNotStarted;
}

}  // namespace

int run_command(RunCommandOptions options, const UserSettings& settings) {
  auto for_ns = duration("--for", options.duration, kNanosPerSecond,
                         30ull * 86400 * kNanosPerSecond, "10m or 12h, up to 30d");
  if (!for_ns) return complain(for_ns.error(), kUsage);
  auto interval = duration("--interval", options.interval, kNanosPerMilli, 3600 * kNanosPerSecond,
                           "100ms or 1s, 1ms to 1h");
  if (!interval) return complain(interval.error(), kUsage);
  if (!settings.archive) {
    return complain(fail(Code::invalid,
                         "no archive is named, and only it can tell what was recorded; give "
                         "--archive HOST:PORT#SHA256:..."),
                    kUsage);
  }
  options.terms.for_ns = *for_ns;

  std::optional<PendingFile> file;
  if (!options.output.empty()) {
    auto made = PendingFile::create(options.output);
    if (!made) return not_run(made.error());
    file.emplace(std::move(*made));
  }
  auto signer = Signer::open(settings.identity);
  if (!signer) return not_run(signer.error());
  // Better no start than an hour of work that nobody recorded. A passphrase is asked for here.
  if (auto archive = open_archive(settings, *signer); !archive) return not_run(archive.error());

  RunSession session(options.terms, *signer);
  auto record = session.run(options.command);
  if (!record) return not_run(record.error());
  if (const int error = session.exec_error()) return cannot_start(options.command.front(), error);
  ask_for_answers(record->runs, settings, *signer, *interval, session.signals());
  return put_report(*record, options.json, file);
}

}  // namespace fieldline::cli
