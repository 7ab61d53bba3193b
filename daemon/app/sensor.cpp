// SPDX-License-Identifier: Apache-2.0
#include "app/sensor.h"

#include <sodium.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "app/reports.h"
#include "base/file.h"

namespace fieldline::app {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr std::uint64_t kDrainPeriod =
    kNanosPerMilli;                          // bounds what the ring must hold: 1 ms of headers
constexpr std::size_t kInterimCounts = 64;   // runs whose counts are told each second
constexpr unsigned kLogLinesPerSecond = 20;  // a flood of refusals is counted, not written out

Result<sense::Trust> load_trust(const std::string& path) {
  auto text = read_file(path);
  if (!text) {
    return std::move(text.error())
        .in("allowed_signers (lines such as `ops@site ssh-ed25519 AAAA...`)");
  }
  sense::Trust trust = sense::Trust::parse(*text);
  for (const auto& line : trust.refused) {
    spdlog::warn("{}:{}: line refused: {}", path, line.line, line.reason);
  }
  if (trust.signers.empty()) spdlog::warn("{} trusts nobody: every trigger will be refused", path);
  return trust;
}

}  // namespace

Result<std::unique_ptr<Sensor>> Sensor::start(asio::io_context& io, const SensorConfig& config) {
  auto trust = load_trust(config.allowed_signers);
  if (!trust) return trust.error();
  auto identity = stream::load_or_create_identity(config.identity, config.name);
  if (!identity) return identity.error();
  source::Options options;
  options.interfaces = config.interfaces;
  options.header_ring_bytes = config.header_ring_bytes;
  options.max_flows = config.max_flows;
  auto source = source::Source::open(options);
  if (!source) return std::move(source.error()).in("sensor '" + config.name + "'");

  std::unique_ptr<Sensor> sensor(
      new Sensor(io, config, std::move(*identity), std::move(*source), std::move(*trust)));
  spdlog::info("sensor {}: {} ports, key {}", config.name, config.interfaces.size(),
               stream::to_string(sensor->identity_.fingerprint));
  Sensor* self = sensor.get();
  self->wait_for_triggers();
  self->producer_of({});
  self->keep_reporting();
  return sensor;
}

Sensor::Sensor(asio::io_context& io, const SensorConfig& config, stream::Identity identity,
               std::unique_ptr<source::Source> source, sense::Trust trust)
    : io_(io),
      config_(config),
      identity_(std::move(identity)),
      source_(std::move(source)),
      gate_(std::move(trust), config.policy),
      table_(config.max_flows),
      recorder_([this](const RunId& run, std::uint32_t count, ByteView body) {
        return producer_of_run(run).offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, run, count,
                                          body);
      }),
      triggers_(io, ::dup(source_->trigger_fd())),
      drain_timer_(io),
      expiry_timer_(io),
      renew_timer_(io),
      second_timer_(io) {
  pin_archives(config.archives);
  randombytes_buf(session_.bytes.data(), session_.bytes.size());
  recorder_.set_tai_offset_ns(tai_offset_ns(clock_));
}

Sensor::~Sensor() {
  workers_.join();
}

Result<void> Sensor::reload(const SensorConfig& config) {
  auto trust = load_trust(config.allowed_signers);
  if (!trust) return trust.error();
  gate_.reload(std::move(*trust), config.policy);
  pin_archives(config.archives);
  producer_of({});
  return {};
}

// Pins are added and not forgotten: a run goes on to the archive that it began with. What a new
// grant may select is the policy's.
void Sensor::pin_archives(const std::vector<ArchivePin>& archives) {
  own_archive_ = archives.front().key;
  for (const ArchivePin& pin : archives) pins_.insert_or_assign(pin.key, pin);
}

// -- packet: ring -> recorder -> stream

// Until no run is left. Starting twice is starting once: the timer has one wait.
void Sensor::keep_draining() {
  drain_timer_.expires_after(std::chrono::nanoseconds(kDrainPeriod));
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (error || table_.size() == 0) return;
    drain_ring();
    keep_draining();
  });
}

void Sensor::drain_ring() {
  auto drained = source_->drain_headers(
      [this](const fl_lift& lift, ByteView frame) { recorder_.on_lift(lift, frame); });
  if (!drained) spdlog::error("header ring: {}", drained.error().text());
  recorder_.flush();
}

stream::Producer& Sensor::producer_of_run(const RunId& run) {
  const sense::Activation* activation = table_.find(run);
  return producer_of(activation != nullptr ? activation->decision.archive : stream::Fingerprint{});
}

// The producer to a pinned archive, made when first asked for; zero names the sensor's own.
stream::Producer& Sensor::producer_of(const stream::Fingerprint& archive) {
  const ArchivePin& pin = pins_.at(archive == stream::Fingerprint{} ? own_archive_ : archive);
  auto& producer = producers_[pin.key];
  if (producer) return *producer;

  stream::ProducerOptions options;
  options.host = pin.host;
  options.port = pin.port;
  options.archive = pin.key;
  options.spool_bytes = config_.spool_bytes;
  options.name = config_.name;
  options.domain = config_.domain;
  options.session = session_;
  producer = stream::Producer::create(io_.get_executor(), options, identity_);
  stream::Producer* raw = producer.get();
  raw->on_state = [this, raw, where = pin.host](stream::LinkState state) {
    if (state == stream::LinkState::connected) {
      spdlog::info("archive {}: connected", where);
    } else if (!raw->last_error().empty()) {
      spdlog::warn("archive {}: {}: {}", where, name_of(state), raw->last_error());
    }
  };
  std::string configuration =
      configuration_report(config_, session_, tai_offset_ns(clock_) / kNanosPerSecond).dump();
  raw->offer(FL_FRAME_CONFIGURATION, FL_ENCODING_JSON, {}, 1, view(configuration));
  raw->start();
  return *raw;
}

void Sensor::report(std::uint8_t type, const RunId& run, json document) {
  document["session"] = session_.hex();
  std::string text = document.dump();
  if (!producer_of_run(run).offer(type, FL_ENCODING_JSON, run, 1, view(text))) {
    spdlog::error("run {}: its {} report did not fit into the spool; its evidence stays incomplete",
                  run.brief(), document.value("event", "final"));
  }
}

json Sensor::counts_of(const sense::Activation& activation, bool final) const {
  std::array<fl_flow_counters, 2> flows{};
  auto baselines = baselines_.find(activation.run);
  for (std::uint32_t slot : activation.slots) {
    auto counters = source_->flow_counters(slot);
    if (!counters) continue;
    if (baselines != baselines_.end()) {
      if (auto base = baselines->second.find(slot); base != baselines->second.end()) {
        *counters = minus(*counters, base->second);
      }
    }
    for (const auto& share : table_.shares(slot)) {
      if (share.run == activation.run)
        flows[share.direction] = plus(flows[share.direction], *counters);
    }
  }
  const auto& points = recorder_.counts(activation.run);
  if (sharing_.contains(activation.run)) {
    // The kernel counted for all who hold the slot: what was lifted is known per run here only.
    for (fl_flow_counters& flow : flows) flow.lifted = flow.bytes = 0;
    for (const auto& [point, counts] : points) {
      flows[point.second].lifted += counts.matched;
      flows[point.second].bytes += counts.matched_bytes;
    }
    for (fl_flow_counters& flow : flows) {
      flow.packets = flow.lifted + flow.dropped_ring + flow.dropped_read;
    }
  }
  return counts_report(config_.name, activation.run, clock_.utc_ns(), final, flows, points);
}

void Sensor::keep_reporting() {
  second_timer_.expires_after(std::chrono::seconds(1));
  second_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    each_second();
    keep_reporting();
  });
}

void Sensor::each_second() {
  recorder_.set_tai_offset_ns(tai_offset_ns(clock_));
  gate_.expire(clock_.utc_ns());
  report_interim_counts();
  producer_of({}).send_status(status().dump());
  if (suppressed_lines_ > 0)
    spdlog::warn("{} further refusals in the last second, counted only", suppressed_lines_);
  suppressed_lines_ = 0;
  log_tokens_ = kLogLinesPerSecond;
}

// Counts of runs that go on: of so many runs a second, in turn, and only while the spool has room
// for what must not be lost.
void Sensor::report_interim_counts() {
  auto runs = table_.all();
  for (std::size_t i = 0; i < std::min(runs.size(), kInterimCounts); ++i) {
    const sense::Activation& activation = *runs[next_counted_++ % runs.size()];
    bool room = producer_of_run(activation.run).counters().spooled_bytes < config_.spool_bytes / 2;
    if (activation.ending || !room) continue;
    report(FL_FRAME_FINAL_COUNTS, activation.run, counts_of(activation, false));
  }
}

json Sensor::status() const {
  json ports = json::array();
  for (std::uint16_t port = 0; port < config_.interfaces.size(); ++port) {
    if (auto counters = source_->port_counters(port)) {
      ports.push_back(port_report(port, config_.interfaces[port], *counters));
    }
  }
  const auto& own = *producers_.at(own_archive_);
  return status_report({.sensor = config_.name,
                        .at_ns = clock_.utc_ns(),
                        .runs = table_.size(),
                        .flows = table_.desired().size() / 2,
                        .accepted = accepted_,
                        .unclaimed = recorder_.unclaimed(),
                        .refused = refused_,
                        .ports = std::move(ports),
                        .stream = own.counters(),
                        .state = name_of(own.state())});
}

std::string Sensor::summary() const {
  return "sensor " + config_.name + ": " + std::to_string(table_.size()) + " runs, archive " +
         name_of(producers_.at(own_archive_)->state());
}

asio::awaitable<void> Sensor::stop(std::uint64_t timeout_ns) {
  stopping_ = true;
  boost::system::error_code ignored;
  triggers_.cancel(ignored);
  expiry_timer_.cancel();
  renew_timer_.cancel();
  for (const RunId& run : table_.expire(UINT64_MAX)) end_run(run, "shutdown");
  asio::steady_timer wait(io_);
  while (!ending_.empty()) {
    wait.expires_after(std::chrono::milliseconds(1));
    co_await wait.async_wait(asio::use_awaitable);
  }
  second_timer_.cancel();
  drain_timer_.cancel();
  for (auto& [key, producer] : producers_) {
    bool all = co_await producer->close(timeout_ns);
    if (!all) {
      spdlog::warn("archive {}: {} records were not acknowledged before the end",
                   stream::to_string(key), producer->counters().spooled_items);
    }
  }
}

}  // namespace fieldline::app
