// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"
#include "cli/flow_spec.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct QueryOptions {
  std::string run;
  std::optional<FlowSpec> flow;
  std::string vantage;
  std::optional<std::uint64_t> from_ns, to_ns;
  std::string output;  // path, "-" or empty: stdout
  bool json = false;   // the counts on stderr as JSON
};
int query(const QueryOptions& options, const UserSettings& settings);
int reindex(bool json, const UserSettings& settings);

nlohmann::json query_request(const QueryOptions& options);

// "2026-11-21T23:11:00[.5]Z", "@SECONDS[.5]" since the epoch, or "-5m": that long before now.
Result<std::uint64_t> parse_time(const std::string& text, std::uint64_t now_ns);

// A file that appears whole or not at all: written beside its name, renamed by publish().
class PendingFile {
 public:
  static Result<PendingFile> create(const std::string& path);
  PendingFile(PendingFile&& other) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile();  // removes what was not published
  int fd() const { return fd_.get(); }
  Result<void> publish();

 private:
  PendingFile() = default;
  std::string path_, temporary_;
  Fd fd_;
};

}  // namespace fieldline::cli
