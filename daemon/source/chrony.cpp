// SPDX-License-Identifier: Apache-2.0
#include "source/chrony.h"

#include <arpa/inet.h>
#include <linux/types.h>
#include <sys/socket.h>

#include <array>
#include <cmath>

namespace fieldline::source {

namespace {

// chrony's candm.h. All in network byte order, without holes.
constexpr std::uint8_t kVersion = 6, kRequest = 1, kReply = 2;
constexpr std::uint16_t kTracking = 33, kTrackingReply = 5, kSuccess = 0;
constexpr std::uint16_t kLeapUnsynchronized = 3;
constexpr double kLongest = 1e9;  // s; what is more is no delay

struct RequestHead {
  std::uint8_t version, type, reserved[2];
  __be16 command, attempt;
  __be32 sequence, padding[2];
};
static_assert(sizeof(RequestHead) == 20);

struct TrackingReply {
  std::uint8_t version, type, reserved[2];
  __be16 command, reply, status, padding[3];
  __be32 sequence, padding2[2];
  __be32 reference;
  std::uint8_t address[20];
  __be16 stratum, leap;
  __be32 reference_time[3];
  __be32 correction, last_offset, rms_offset, frequency, residual, skew, root_delay,
      root_dispersion, interval;
};
static_assert(sizeof(TrackingReply) == 104);

// 7 bits of exponent, 25 of coefficient, both in two's complement.
double number_of(__be32 wire) {
  const std::uint32_t bits = big_endian(std::uint32_t{wire});
  const auto exponent = static_cast<std::int32_t>(bits) >> 25;
  const auto coefficient = static_cast<std::int32_t>(bits << 7) >> 7;
  return std::ldexp(coefficient, exponent - 25);
}

}  // namespace

// As long as the answer: chronyd sends nobody more than it got.
Bytes chrony_request(std::uint32_t sequence) {
  RequestHead head{};
  head.version = kVersion;
  head.type = kRequest;
  head.command = big_endian(kTracking);
  head.sequence = big_endian(sequence);
  Bytes request;
  append_struct(request, head);
  request.resize(sizeof(TrackingReply));
  return request;
}

std::optional<ChronyTracking> parse_chrony_reply(ByteView bytes, std::uint32_t sequence) {
  auto reply = ByteReader(bytes).take_struct<TrackingReply>();
  if (!reply || reply->version != kVersion || reply->type != kReply) return std::nullopt;
  const auto is = [](std::uint16_t wire, std::uint16_t value) { return big_endian(wire) == value; };
  if (!is(reply->command, kTracking) || !is(reply->reply, kTrackingReply) ||
      !is(reply->status, kSuccess) || big_endian(std::uint32_t{reply->sequence}) != sequence)
    return std::nullopt;
  const double offset = number_of(reply->correction), delay = number_of(reply->root_delay);
  const double dispersion = number_of(reply->root_dispersion);
  for (const double seconds : {std::abs(offset), delay, dispersion})
    if (seconds < 0 || seconds > kLongest) return std::nullopt;
  ChronyTracking tracking;
  tracking.synchronized = !is(reply->leap, kLeapUnsynchronized);
  tracking.stratum = big_endian(std::uint16_t{reply->stratum});
  tracking.offset_ns = std::llround(offset * 1e9);
  tracking.root_delay_ns = static_cast<std::uint64_t>(std::llround(delay * 1e9));
  tracking.root_dispersion_ns = static_cast<std::uint64_t>(std::llround(dispersion * 1e9));
  return tracking;
}

Chrony::Chrony(std::uint16_t port)
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (socket_ && ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    socket_ = Fd();
}

std::optional<ChronyTracking> Chrony::tracking() {
  if (!socket_) return std::nullopt;
  if (++unanswered_ >= kStale) newest_.reset();
  std::array<std::uint8_t, 512> answer;
  // An error is that of the last request: nobody listens there. The socket stays as it is.
  for (ssize_t size; (size = ::recv(socket_.get(), answer.data(), answer.size(), 0)) >= 0;) {
    const auto bytes = ByteView(answer).first(static_cast<std::size_t>(size));
    if (auto tracking = parse_chrony_reply(bytes, sequence_)) {
      newest_ = tracking;
      unanswered_ = 0;
    }
  }
  const Bytes request = chrony_request(++sequence_);
  [[maybe_unused]] const ssize_t sent =
      ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
  return newest_;
}

}  // namespace fieldline::source
