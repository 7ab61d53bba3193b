// SPDX-License-Identifier: Apache-2.0
// One TLS stream that carries frames, with a time limit on whatever phase it is in. Of the
// executor's thread; at most one read and one write at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/result.h"
#include "stream/frame.h"
#include "stream/identity.h"
#include "stream/tasks.h"

namespace fieldline::stream {

// Before a peer has shown who it is, its frames are this short.
constexpr std::uint32_t kStrangerFrameMax = 64 << 10;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Tcp = boost::asio::ip::tcp;
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  // The dialling end: no socket yet.
  Connection(boost::asio::any_io_executor executor,
             std::shared_ptr<boost::asio::ssl::context> context);
  // The accepting end.
  Connection(Tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> context);

  // Resolves, connects, shakes hands, and compares the peer's key with the pin before anything is
  // written: another key is `denied`, with both fingerprints in the text.
  Awaitable<Result<void>> dial(std::string host, std::uint16_t port, Fingerprint pin,
                               std::uint64_t timeout_ns);
  Awaitable<Result<void>> accept_handshake();

  // The next frame; its views are valid until the next call. `invalid`: the peer breaks the
  // framing.
  Awaitable<Result<Frame>> read_frame();
  // Reads and throws away until the peer closes or the limit passes, so that the kernel does not
  // answer unread bytes with a reset that would overtake our last frame.
  Awaitable<void> discard();
  Awaitable<Result<void>> write(ByteView bytes);
  void shutdown_send();
  void allow_long_frames() { frames_.set_limit(FL_FRAME_MAX); }

  // Closes the connection when the time is over; replaces an earlier limit.
  void limit(std::uint64_t ns);
  void unlimit();
  void close();
  bool is_open() const { return !closed_ && !expired_; }

  SSL* native() { return stream_.native_handle(); }
  Fingerprint peer() { return peer_fingerprint(native()); }
  // Keepalive on every connection; a producer also gives up on bytes that are not taken for so
  // long.
  void keep_alive(std::uint64_t user_timeout_ns);

 private:
  Awaitable<Result<void>> connect(std::string host, std::uint16_t port, std::uint64_t timeout_ns);
  Error error_of(const boost::system::error_code& code, const std::string& what) const;

  std::shared_ptr<boost::asio::ssl::context> context_;  // outlives the stream
  boost::asio::ssl::stream<Tcp::socket> stream_;
  boost::asio::steady_timer timer_;
  std::uint64_t limits_ =
      0;                  // tells a limit from those before it, whose handler may be queued already
  bool expired_ = false;  // by the limit
  bool closed_ = false;   // by close()
  FrameReader frames_{kStrangerFrameMax};
  std::array<std::uint8_t, 32 << 10> chunk_;
};

}  // namespace fieldline::stream
