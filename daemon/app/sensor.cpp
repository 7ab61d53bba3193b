// SPDX-License-Identifier: Apache-2.0
#include "app/sensor.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/use_awaitable.hpp>

#include "app/reports.h"

namespace fieldline::app {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr std::uint64_t kDrainPeriod =
    kNanosPerMilli;  // bounds what the ring must hold: 1 ms of headers

// Whose settings are kept with a run: an interface in the path is two ports.
std::vector<std::string> devices_of(const std::vector<source::PortState>& ports) {
  std::vector<std::string> devices;
  for (const auto& port : ports) {
    if (port.place != source::Place::out) devices.push_back(port.interface);
  }
  return devices;
}

void tell(const std::string& sensor, const std::vector<source::PortState>& ports) {
  for (const auto& port : ports) {
    if (port.remark.empty()) {
      spdlog::info("sensor {}: port {}: {}", sensor, port.name, port.attachment);
    } else {
      spdlog::warn("sensor {}: port {}: {}, because {}", sensor, port.name, port.attachment,
                   port.remark);
    }
  }
}

}  // namespace

Result<std::unique_ptr<Sensor>> Sensor::start(asio::io_context& io, const SensorConfig& config) {
  auto trust = load_trust(config.allowed_signers);
  if (!trust) return trust.error();
  auto identity = stream::load_or_create_identity(config.identity, config.name);
  if (!identity) return identity.error();
  auto spool = open_spool(config);
  if (!spool) return spool.error();
  source::Options options;
  options.interfaces = config.interfaces;
  options.in_path = config.in_path;
  options.time_per_poll = config.time_per_poll;
  options.header_ring_bytes = config.header_ring_bytes;
  options.max_flows = config.max_flows;
  auto source = source::Source::open(options);
  if (!source) return std::move(source.error()).in("sensor '" + config.name + "'");

  SensorConfig resolved = config;
  resolved.interfaces = devices_of((*source)->ports());
  tell(config.name, (*source)->ports());
  std::unique_ptr<Sensor> sensor(new Sensor(io, resolved, std::move(*identity), std::move(*spool),
                                            std::move(*source), std::move(*trust)));
  if (auto looked = sensor->source_->look_inside(config.policy.looks_inside()); !looked)
    return looked.error();
  spdlog::info("sensor {}: {} ports, key {}", config.name, sensor->source_->ports().size(),
               stream::to_string(sensor->streams_.identity().fingerprint));
  sensor->control_.start();
  sensor->follow_links();
  return sensor;
}

Sensor::Sensor(asio::io_context& io, const SensorConfig& config, stream::Identity identity,
               std::shared_ptr<stream::SpoolFolder> spool, std::unique_ptr<source::Source> source,
               sense::Trust trust)
    : config_(config),
      source_(std::move(source)),
      streams_(io, config, std::move(identity), std::move(spool),
               [this] {
                 json report = configuration_report(config_, streams_.session(),
                                                    tai_offset_ns(clock_) / kNanosPerSecond);
                 report["ports"] = configured_ports(source_->ports());
                 return report;
               }),
      recorder_(copies()),
      drain_timer_(io),
      links_(io, ::dup(source_->links_fd())),
      totals_(
          io, streams_, clock_, source_->ports().size(),
          [this](std::uint16_t port) { return source_->port_counters(port); }, [this] { drain(); }),
      control_(io, config, std::move(trust), streams_, *this, source_->trigger_fd()),
      counts_(control_.table(),
              [this](std::uint32_t slot) -> std::optional<fl_flow_counters> {
                auto counters = source_->flow_counters(slot);
                if (!counters) return std::nullopt;
                return *counters;
              }),
      worker_(io) {
  recorder_.set_tai_offset_ns(tai_offset_ns(clock_));
  totals_.enable(config.port_totals);
}

// A port whose interface goes takes nobody with it, and goes on when it is back.
void Sensor::follow_links() {
  links_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [this](boost::system::error_code error) {
                      if (error) return;
                      for (const auto& line : source_->follow_links())
                        spdlog::warn("sensor {}: {}", config_.name, line);
                      follow_links();
                    });
}

Result<void> Sensor::reload(const SensorConfig& config) {
  auto trust = load_trust(config.allowed_signers);
  if (!trust) return trust.error();
  control_.reload(std::move(*trust), config);
  totals_.enable(config.port_totals);
  return source_->look_inside(config.policy.looks_inside());
}

// -- packet: ring -> recorder -> stream

// What an archive is not to have is no loss of its.
std::vector<capture::Sink> Sensor::copies() {
  std::vector<capture::Sink> sinks;
  for (std::size_t copy = 0; copy <= streams_.mirrors().size(); ++copy) {
    sinks.push_back([this, copy](const RunId& run, std::uint32_t count, ByteView body) {
      auto archive = control_.archive_of(run, copy);
      return !archive || streams_.record(*archive, FL_FRAME_HEADER_RECORDS, run, count, body);
    });
  }
  return sinks;
}

// Until no run is left. Starting twice is starting once: the timer has one wait.
void Sensor::keep_draining() {
  drain_timer_.expires_after(std::chrono::nanoseconds(kDrainPeriod));
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (error || control_.table().size() == 0) return;
    drain();
    keep_draining();
  });
}

void Sensor::drain() {
  auto drained = source_->drain_headers(
      [this](const fl_lift& lift, ByteView frame) { recorder_.on_lift(lift, frame); });
  if (!drained) spdlog::error("header ring: {}", drained.error().text());
  recorder_.flush();
}

// The classifier is attached as long as it lives. What the ports carried until now is told before
// the run's begin is.
void Sensor::arm(Done done) {
  totals_.hand_over(control_.archives_in_use());
  worker_.run(source_->nic_question(),
              [this, done = std::move(done)](std::vector<source::NicDrops> nics) {
                nics_now_ = std::move(nics);
                done({});
              });
}

void Sensor::wind_up(Done done) {
  worker_.run(source_->nic_question(),
              [this](std::vector<source::NicDrops> nics) { nics_now_ = std::move(nics); });
  worker_.run([this] { return source_->quiesce(); },
              [this, done = std::move(done)](Result<void> quiet) {
                drain();
                totals_.hand_over(control_.archives_in_use());
                done(quiet);
              });
}

// For the status, which has the newest answer.
void Sensor::ask_nics() {
  if (std::exchange(asking_nics_, true)) return;
  worker_.run(source_->nic_question(), [this](std::vector<source::NicDrops> nics) {
    nics_now_ = std::move(nics);
    asking_nics_ = false;
  });
}

void Sensor::begun(const sense::Activation& activation) {
  counts_.begun(activation);
  nics_[activation.run] = nics_now_;
  keep_draining();
}

Result<void> Sensor::apply_flows() {
  std::vector<source::FlowEntry> entries;
  capture::Recorder::Claims claims;
  for (const auto& flow : control_.table().desired()) {
    entries.push_back({flow.key, flow.mask, flow.value});
    const auto& shares = control_.table().shares(flow.value.slot);
    for (const auto& share : shares) {
      // The deadline of a slot that others hold too is not this run's: it claims nothing any more.
      if (shares.size() > 1 && control_.is_ending(share.run)) continue;
      const auto* activation = control_.table().find(share.run);
      claims[flow.value.slot].push_back({share.run, share.direction, share.snaplen,
                                         share.sample_bits,
                                         activation && activation->decision.inner});
    }
  }
  recorder_.claim(claims);
  auto applied = source_->apply(entries);
  if (!applied) return applied.error();
  return {};
}

void Sensor::end_session(const std::vector<const sense::Activation*>& runs) {
  totals_.hand_over(control_.archives_in_use());
  drain();
  for (const auto* activation : runs)
    counts_.end_session(*activation, recorder_.counts(activation->run));
}

void Sensor::session_begun(const std::vector<const sense::Activation*>& runs) {
  totals_.begin_session(streams_.session());
  counts_.begin_session();
  for (const auto* activation : runs) {
    if (auto nics = nics_.find(activation->run); nics != nics_.end()) nics->second = nics_now_;
  }
  recorder_.begin_session();
}

void Sensor::forget(const RunId& run) {
  counts_.forget(run);
  nics_.erase(run);
  recorder_.forget(run);
  totals_.hand_over(control_.archives_in_use());
}

// -- what is told about it

json Sensor::counts_of(const sense::Activation& activation, bool final, std::size_t copy) {
  const auto flows = counts_.of(activation, recorder_.counts(activation.run, copy));
  json report = counts_report(config_.name, activation, clock_.utc_ns(), final, flows,
                              recorder_.fresh(activation.run, copy));
  report["gaps"] = gaps_json(recorder_.gaps(activation.run, copy));
  if (final) report["nics"] = nics_since(activation.run);
  return report;
}

json Sensor::nics_since(const RunId& run) const {
  json nics = json::array();
  const auto before = nics_.find(run);
  if (before == nics_.end()) return nics;
  for (std::uint16_t port = 0; port < before->second.size(); ++port) {
    nics.push_back(
        nic_report(port, source_->ports()[port], nics_now_[port].since(before->second[port])));
  }
  return nics;
}

json Sensor::status() {
  recorder_.set_tai_offset_ns(tai_offset_ns(clock_));
  json ports = json::array();
  for (std::uint16_t port = 0; port < source_->ports().size(); ++port) {
    if (auto counters = source_->port_counters(port)) {
      ports.push_back(port_report(port, source_->ports()[port], *counters));
      ports.back()["nic"] =
          nic_json(port < nics_now_.size() ? nics_now_[port] : source::NicDrops{});
    }
  }
  ask_nics();
  const auto& own = streams_.own();
  json report = status_report({.role = kind(),
                               .sensor = config_.name,
                               .at_ns = clock_.utc_ns(),
                               .runs = control_.table().size(),
                               .flows = control_.table().desired().size() / 2,
                               .accepted = control_.accepted(),
                               .unclaimed = recorder_.unclaimed(),
                               .refused = control_.refused(),
                               .ports = std::move(ports),
                               .stream = own.counters(),
                               .state = name_of(own.state())});
  report["port_totals"] = totals_.status();
  return report;
}

std::string Sensor::summary() {
  return "sensor " + config_.name + ": " + std::to_string(control_.table().size()) +
         " runs, archive " + name_of(streams_.own().state());
}

asio::awaitable<void> Sensor::stop(std::uint64_t timeout_ns) {
  co_await control_.stop();
  drain_timer_.cancel();
  links_.cancel();
  co_await streams_.close(timeout_ns);
}

}  // namespace fieldline::app
