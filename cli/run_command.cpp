// SPDX-License-Identifier: Apache-2.0
#include "cli/run_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>

#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/query.h"
#include "cli/run_answer.h"
#include "cli/run_session.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

Result<void> put_report(const RunRecord& record, bool json, std::optional<PendingFile>& file) {
  const bool color = !file && is_terminal(STDERR_FILENO);
  const std::string text = json ? json_text(to_json(record), 2) + "\n" : to_text(record, color);
  auto written = write_all(file ? file->fd() : STDERR_FILENO, text);
  return written && file ? file->publish() : written;
}

// The command has ended, and how is known: what fails from here on is said and hides nothing of it.
int report(RunRecord& record, const RunCommandOptions& options, const UserSettings& settings,
           const Signer& signer, int stop, std::optional<PendingFile>& file) {
  const auto answered = attempt([&]() -> Result<void> {
    ask_for_answers(record, settings, signer, options.interval_ns, stop);
    return {};
  });
  if (!answered) {
    complain(answered.error());
    for (RecordedRun& run : record.runs) {
      if (!run.report) run.error = answered.error().text();
    }
  }
  const auto put = attempt([&] { return put_report(record, options.json, file); });
  if (!put) complain(put.error());
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

int record(const RunCommandOptions& options, const UserSettings& settings) {
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
  return report(*record, options, settings, *signer, session.signals(), file);
}

}  // namespace

// A bug of ours must not pass for the command's own failure.
int run_command(const RunCommandOptions& options, const Result<UserSettings>& settings) {
  if (!settings) return not_run(settings.error());
  try {
    return record(options, *settings);
  } catch (const std::exception& error) {
    return not_run(error_of(error));
  }
}

}  // namespace fieldline::cli
