// SPDX-License-Identifier: Apache-2.0
// Streams to archives that no configuration names: each stands on the host that asks for a run, and
// is known by the key in the grant alone. It is dialled once something of such a run was seen, and
// forgotten some time after its last run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "stream/producer.h"

namespace fieldline::app {

class Requesters {
 public:
  static constexpr std::size_t kDialled = 16;  // at a time
  // Of how many that took something a session remembers how far it numbered: another session's
  // numbers would be refused.
  static constexpr std::size_t kKnown = 1024;

  // A producer that is not started; its session's numbers go on behind `numbered`.
  using Make = std::function<std::unique_ptr<stream::Producer>(const ArchivePin& where,
                                                               std::uint64_t numbered)>;
  Requesters(boost::asio::io_context& io, Make make, std::uint64_t kept_ns = 30'000'000'000)
      : io_(io), make_(std::move(make)), kept_ns_(kept_ns) {}

  // A run begins. An error if it cannot be taken for now.
  Result<void> begin(const RunId& run, const stream::Fingerprint& archive, const std::string& host);
  void end(const RunId& run);  // any run
  bool in_use() const { return at_work() > 0; }
  void begin_session() { all_.clear(); }  // while none is in use: its numbers are met nowhere

  stream::Producer* find(const stream::Fingerprint& archive);  // none: not one of these
  // How far one that is forgotten was numbered in this session.
  std::uint64_t numbered(const stream::Fingerprint& archive) const;
  void dial(const stream::Fingerprint& archive);
  nlohmann::json report() const;
  // What is not taken within the time is given up: there is nobody who would send it later.
  boost::asio::awaitable<void> close(std::uint64_t until_mono_ns);

 private:
  struct Requester {
    ArchivePin where;
    std::unique_ptr<stream::Producer> producer;  // none: forgotten, but for its numbers
    bool is_dialled = false;
    bool was_met = false;  // took something of the session, in this producer's life or an earlier
    std::size_t runs = 0;
    std::uint64_t numbered = 0;
    std::unique_ptr<boost::asio::steady_timer> forgetting;  // while there is no run
  };
  Result<void> make_room(const stream::Fingerprint& archive) const;
  std::size_t at_work() const;
  void forget(const stream::Fingerprint& archive);

  boost::asio::io_context& io_;
  Make make_;
  std::uint64_t kept_ns_;
  std::map<stream::Fingerprint, Requester> all_;
  std::map<RunId, stream::Fingerprint> runs_;
  std::uint64_t dropped_ = 0;   // by those that were forgotten
  std::uint64_t given_up_ = 0;  // items that were not taken in time
};

}  // namespace fieldline::app
