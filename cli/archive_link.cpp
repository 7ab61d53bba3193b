// SPDX-License-Identifier: Apache-2.0
#include "cli/archive_link.h"

#include "cli/exit_code.h"
#include "cli/fields.h"
#include "proto/frame.h"

namespace fieldline::cli {

Result<std::unique_ptr<stream::Reader>> open_archive(const UserSettings& settings,
                                                     const Signer& signer) {
  if (!settings.archive || !settings.archive->key) {
    return fail(
        Code::invalid,
        "no archive is named; give --archive HOST:PORT#SHA256:..., FIELDLINE_ARCHIVE, or [archive] "
        "in "
        "~/.config/fieldline/config.toml (`fieldlined --fingerprint` on its host prints the key)");
  }
  stream::ReaderOptions options;
  options.host = settings.archive->host;
  options.port = settings.archive->port;
  options.archive = *settings.archive->key;
  options.sign = [&signer](ByteView message) -> Result<std::string> {
    auto signature = signer.sign(FL_QUERY_NAMESPACE, message);
    if (!signature) return signature.error();
    return signature->armored;
  };
  return stream::Reader::connect(options);
}

Result<std::unique_ptr<stream::Reader>> open_archive(const UserSettings& settings) {
  auto signer = Signer::open(settings.identity);
  if (!signer) return signer.error();
  return open_archive(settings, *signer);
}

boost::system::result<nlohmann::json, AskError> ask_archive(
    const UserSettings& settings, const nlohmann::json& request,
    const std::function<bool(ByteView)>& on_data) {
  auto reader = open_archive(settings);
  if (!reader) return AskError{reader.error(), false};
  auto result = (*reader)->request(request, on_data);
  if (!result) return AskError{result.error(), true};
  return std::move(*result);
}

boost::system::result<RunId, AskError> find_run(stream::Reader& reader, const std::string& typed) {
  auto found = reader.request({{"op", "query"},
                               {"run", typed},
                               {"to_ns", 1},
                               {"reports", false},
                               {"events", false},
                               {"packets", false}},
                              [](ByteView) { return true; });
  if (!found) return AskError{found.error(), true};
  auto run = RunId::parse(string_at(*found, "run"));
  if (!run) return AskError{std::move(run.error()).in("the archive's answer"), true};
  return *run;
}

int complain(const AskError& error) {
  int otherwise = kFailure;
  switch (error.error.code) {
    case Code::io:
    case Code::closed:
    case Code::timeout:
      otherwise = kNoAnswer;
      break;
    case Code::invalid:
    case Code::not_found:
    case Code::unsupported:
      otherwise = error.answered ? kFailure : kUsage;
      break;
    default:
      break;
  }
  return complain(error.error, otherwise);
}

void throw_exception_from_error(const AskError& error, const boost::source_location& where) {
  fieldline::throw_exception_from_error(error.error, where);
}

}  // namespace fieldline::cli
