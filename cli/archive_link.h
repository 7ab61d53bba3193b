// SPDX-License-Identifier: Apache-2.0
// The one door: an authenticated connection to the archive that the settings name.
#pragma once

#include <functional>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "base/run_id.h"
#include "cli/settings.h"
#include "cli/signer.h"
#include "stream/reader.h"

namespace fieldline::cli {

// Signs once, with ssh-keygen.
Result<std::unique_ptr<stream::Reader>> open_archive(const UserSettings& settings,
                                                     const Signer& signer);
// The same, with the signer opened first.
Result<std::unique_ptr<stream::Reader>> open_archive(const UserSettings& settings);

// One request over one connection: the END's result; pcapng bytes to on_data. The exit code of an
// error.
struct AskError {
  Error error;
  bool answered = false;  // the archive was reached
};
int complain(const AskError& error);
boost::system::result<nlohmann::json, AskError> ask_archive(
    const UserSettings& settings, const nlohmann::json& request,
    const std::function<bool(ByteView)>& on_data = [](ByteView) { return true; });

// The whole id of what was typed, as the archive knows it: a run of which the asker sees something.
boost::system::result<RunId, AskError> find_run(stream::Reader& reader, const std::string& typed);

[[noreturn]] void throw_exception_from_error(const AskError& error, const boost::source_location&);

}  // namespace fieldline::cli
