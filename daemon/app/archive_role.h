// SPDX-License-Identifier: Apache-2.0
// The archive role: the stream server's backend over an archive, and who may ask it what.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "app/answers.h"
#include "app/applications.h"
#include "app/bounded_log.h"
#include "app/config.h"
#include "app/house.h"
#include "app/statuses.h"
#include "archive/archive.h"
#include "base/clock.h"
#include "sense/trust.h"
#include "stream/server.h"

namespace fieldline::app {

class ArchiveRole final : public stream::Backend {
 public:
  static Result<std::unique_ptr<ArchiveRole>> start(boost::asio::io_context& io,
                                                    const ArchiveConfig& config);

  Result<void> reload(const ArchiveConfig& config);  // producers and readers
  boost::asio::awaitable<void> stop();
  std::string summary() const;

  Result<void> admit(const stream::ProducerHello& hello) override;
  Result<std::uint64_t> open_session(const stream::ProducerHello& hello) override;
  Result<void> store(const RunId& session, const stream::Frame& frame,
                     const stream::Item& item) override;
  void status(const RunId& session, const nlohmann::json& status) override;
  void close_session(const RunId& session) override;
  Result<void> sync(const std::function<void(const RunId&, std::uint64_t)>& safe) override;
  Result<std::string> authenticate(ByteView exporter, const nlohmann::json& auth) override;
  Result<std::unique_ptr<stream::Answer>> request(const std::string& principal,
                                                  const nlohmann::json& request,
                                                  std::function<void()> on_more) override;

 private:
  ArchiveRole(boost::asio::io_context& io, const ArchiveConfig& config, sense::Trust readers,
              std::unique_ptr<archive::Archive> archive);
  archive::Principal view_of(const std::string& principal) const;
  Result<nlohmann::json> answer_at_once(const std::string& principal,
                                        const nlohmann::json& request);
  Result<nlohmann::json> list_runs(const nlohmann::json& request, const archive::Principal& view);
  nlohmann::json status_document() const;

  ArchiveConfig config_;
  SystemClock clock_;
  sense::Trust readers_;
  std::unique_ptr<archive::Archive> archive_;
  House house_;
  Applications applications_;
  Statuses statuses_;
  AnswerSource source_;
  BoundedLog refusals_;
  // Last: its sessions hold answers that look at all of the above.
  std::unique_ptr<stream::Server> server_;
};

}  // namespace fieldline::app
