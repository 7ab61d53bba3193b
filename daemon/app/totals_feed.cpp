// SPDX-License-Identifier: Apache-2.0
#include "app/totals_feed.h"

#include <spdlog/spdlog.h>

#include <numeric>

namespace fieldline::app {

namespace {

constexpr std::chrono::milliseconds kPeriod{10};
constexpr std::uint64_t kFrameNs = kNanosPerSecond;

std::vector<std::uint16_t> numbers(std::size_t ports) {
  std::vector<std::uint16_t> all(ports);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  return all;
}

}  // namespace

TotalsFeed::TotalsFeed(boost::asio::io_context& io, Streams& streams, const Clock& clock,
                       std::size_t ports, Read read, std::function<void()> drain)
    : streams_(streams),
      clock_(clock),
      ports_(ports),
      read_(std::move(read)),
      drain_(std::move(drain)),
      totals_(streams.session(), numbers(ports)),
      timer_(io) {}

void TotalsFeed::enable(bool on) {
  if (enabled_ == on) return;
  hand_over(archives_);
  enabled_ = on;
  totals_.end();
  hand_over(archives_);
}

void TotalsFeed::hand_over(std::set<stream::Fingerprint> archives) {
  const bool was_on = is_on();
  if (was_on && !archives.empty()) {
    read();
    give();
  }
  archives_ = std::move(archives);
  if (!is_on()) return totals_.end();
  if (!was_on) read();
  if (reading_) return;
  reading_ = true;
  timer_.expires_after(kPeriod);
  keep_reading();
}

// By the timer's own time, so that 100 periods are a second; those that a busy daemon has missed
// are not made up for.
void TotalsFeed::keep_reading() {
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    reading_ = is_on();
    if (!reading_) return;
    read();
    if (totals_.length_ns() >= kFrameNs) give();
    const auto due = timer_.expiry() + kPeriod, now = std::chrono::steady_clock::now();
    timer_.expires_at(due > now ? due : now + kPeriod);
    keep_reading();
  });
}

void TotalsFeed::read() {
  capture::TotalsReading reading{
      clock_.tai_ns() - tai_offset_ns(clock_), clock_.monotonic_ns(), {}};
  for (std::size_t port = 0; port < ports_; ++port) {
    auto counters = read_(static_cast<std::uint16_t>(port));
    if (!counters) {
      if (read_errors_++ == 0)
        spdlog::error("port {}: {}; its load is told in longer periods", port,
                      counters.error().text());
      return;
    }
    reading.ports.push_back({counters->packets, counters->bytes});
  }
  totals_.read(std::move(reading));
}

// What could be left out goes first when the spool fills.
void TotalsFeed::give() {
  const std::uint32_t periods = totals_.periods();
  const Bytes body = totals_.take();
  if (body.empty()) return;
  drain_();
  for (const stream::Fingerprint& archive : archives_) {
    const bool given =
        streams_.has_room(archive) &&
        streams_.to(archive).offer(FL_FRAME_PORT_TOTALS, FL_ENCODING_BINARY, {}, 1, body);
    (given ? given_ : dropped_spool_) += periods;
  }
}

nlohmann::json TotalsFeed::status() const {
  return {{"enabled", enabled_},
          {"periods", given_},
          {"dropped_spool", dropped_spool_},
          {"read_errors", read_errors_}};
}

}  // namespace fieldline::app
