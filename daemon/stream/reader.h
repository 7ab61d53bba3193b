// SPDX-License-Identifier: Apache-2.0
// A reader's connection to one archive: TLS with the archive's key pinned, an SSHSIG over the TLS
// exporter, then requests, each answered by pcapng bytes and a result. Blocking, for command line
// tools: one thread, no Asio in this header.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/result.h"
#include "stream/identity.h"

namespace fieldline::stream {

struct ReaderOptions {
  std::string host;
  std::uint16_t port = 8621;
  Fingerprint archive{};  // pinned
  std::uint64_t timeout_ns =
      5'000'000'000;  // to connect and authenticate, and for each answer's first byte
  // Signs `message` in namespace query@fieldline; the armored SSHSIG.
  std::function<Result<std::string>(ByteView message)> sign;
};

class Reader {
 public:
  static Result<std::unique_ptr<Reader>> connect(const ReaderOptions& options);
  virtual ~Reader() = default;
  virtual std::string principal() const = 0;
  // Sends the request; on_data gets pcapng bytes as they come and may return false to stop early (a
  // followed answer; the connection is then unusable). Gives the END frame's result, or the
  // archive's error.
  virtual Result<nlohmann::json> request(const nlohmann::json& request,
                                         const std::function<bool(ByteView)>& on_data) = 0;
  // From any thread: makes a running request() return with closed.
  virtual void cancel() = 0;
};

}  // namespace fieldline::stream
