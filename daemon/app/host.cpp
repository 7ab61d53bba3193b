// SPDX-License-Identifier: Apache-2.0
#include "app/host.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "app/reports.h"
#include "app/socket_list.h"

namespace fieldline::app {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr std::uint64_t kDrainPeriod = 2 * kNanosPerMilli;
constexpr std::uint64_t kFlushPeriod =
    50 * kNanosPerMilli;  // a frame has a head: not one for each drain
constexpr std::uint64_t kSamplePeriod = 100 * kNanosPerMilli;
constexpr std::size_t kSamplesMost = 512;  // sockets a period, in turn past that: 5 us each
constexpr std::uint64_t kListPauseLeast = 20 * kNanosPerMilli;
constexpr std::uint64_t kListShare = 20;  // at most a twentieth of the time goes into the lists

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Result<std::unique_ptr<Host>> Host::start(asio::io_context& io, const HostConfig& config) {
  auto trust = load_trust(config.allowed_signers);
  if (!trust) return trust.error();
  auto identity = stream::load_or_create_identity(config.identity, config.name);
  if (!identity) return identity.error();
  auto spool = open_spool(config);
  if (!spool) return spool.error();
  auto sockets = SockDiag::open(), lister = SockDiag::open();
  if (!sockets) return sockets.error();
  if (!lister) return lister.error();
  auto worker = std::make_unique<Worker>(io);
  auto feed = EventFeed::choose(*worker, EventOpeners::of(config));
  if (!feed) return std::move(feed.error()).in("host '" + config.name + "'");
  source::HostWatchOptions options;
  options.interfaces = config.interfaces;
  auto watch = source::HostWatch::open(options);
  if (!watch) return std::move(watch.error()).in("host '" + config.name + "'");

  std::unique_ptr<Host> host(
      new Host(io, config,
               {std::move(*identity), std::move(*spool), std::move(*watch), std::move(worker),
                std::move(*feed), std::move(*sockets), std::move(*lister), std::move(*trust)}));
  spdlog::info("host {}: events by {} ({}){}; triggers by {} on {}; key {}", config.name,
               host->feed_->kind(), host->feed_->why(),
               host->feed_->absent().empty() ? "" : ", without " + join(host->feed_->absent()),
               host->watch_->attachment(), join(config.interfaces),
               stream::to_string(host->streams_.identity().fingerprint));
  host->control_.start();
  return host;
}

Host::Host(asio::io_context& io, const HostConfig& config, Parts parts)
    : config_(config),
      worker_(std::move(parts.worker)),
      watch_(std::move(parts.watch)),
      feed_(std::move(parts.feed)),
      sockets_(std::move(parts.sockets)),
      lister_(std::make_shared<SockDiag>(std::move(parts.lister))),
      streams_(io, config, std::move(parts.identity), std::move(parts.spool),
               [this] {
                 return host_configuration_report(config_, streams_.session(),
                                                  tai_offset_ns(clock_) / kNanosPerSecond,
                                                  {feed_->kind(), feed_->why(), feed_->absent()});
               }),
      recorder_(feed_->source(), streams_.session(), copies()),
      drain_timer_(io),
      sample_timer_(io),
      control_(io, config, std::move(parts.trust), streams_, *this, watch_->trigger_fd()) {
  recorder_.set_interfaces(watch_->ifindexes());
  recorder_.confirm_by([this](const DiagSocket& opened) {
    auto found = sockets_.socket(opened);
    if (found) return *found;
    tell_once(found.error().text());
    return std::optional<DiagSocket>();
  });
}

Result<void> Host::reload(const HostConfig& config) {
  auto trust = load_trust(config.allowed_signers);
  if (!trust) return trust.error();
  control_.reload(std::move(*trust), config);
  return {};
}

// -- event: ring -> recorder -> stream

// What an archive is not to have is no loss of its.
std::vector<capture::EventSink> Host::copies() {
  std::vector<capture::EventSink> sinks;
  for (std::size_t copy = 0; copy <= streams_.mirrors().size(); ++copy) {
    sinks.push_back([this, copy](const RunId& run, ByteView body) {
      auto archive = control_.archive_of(run, copy);
      return !archive || streams_.record(*archive, FL_FRAME_EVENT_RECORDS, run, 1, body);
    });
  }
  return sinks;
}

void Host::arm(Done done) {
  feed_->arm([this, done = std::move(done)](Result<void> armed) {
    recorder_.set_source(feed_->source());
    done(std::move(armed));
  });
}

void Host::begun(const sense::Activation& activation) {
  baselines_[activation.run] = feed_->accounting();
  list_due_ = true;  // for those that are open already
  list_if_due();
  keep_draining();
  keep_sampling();
}

// Until no run is left. Starting twice is starting once: each timer has one wait.
void Host::keep_draining() {
  drain_timer_.expires_after(std::chrono::nanoseconds(kDrainPeriod));
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (error || control_.table().size() == 0) return;
    drain_ring();
    list_if_due();
    const std::uint64_t now = clock_.monotonic_ns();
    if (now >= flushed_ns_ + kFlushPeriod) {
      flushed_ns_ = now;
      recorder_.flush();
    }
    keep_draining();
  });
}

void Host::drain_ring() {
  auto drained =
      feed_->drain([this](const magnet::EventSource::Batch& batch) { recorder_.on_batch(batch); });
  if (!drained) tell_once("event ring: " + drained.error().text());
}

void Host::drain() {
  drain_ring();
  list_if_due();
  recorder_.flush();
}

// What waits then is asked for once more: the run is counted next.
void Host::wind_up(Done done) {
  feed_->quiesce([this, done = std::move(done)](const Result<void>& quiet) {
    drain_ring();
    auto end = [this, done, quiet] {
      recorder_.flush();
      done(quiet);
    };
    recorder_.asks() ? list_sockets(end) : end();
  });
}

void Host::list_if_due() {
  if (listing_ > 0 || (!list_due_ && !recorder_.asks())) return;
  if (clock_.monotonic_ns() < listed_ns_ + list_pause_ns_) return;
  list_sockets([this, first = list_due_] {
    if (first) sample();
  });
}

void Host::tell_once(const std::string& trouble) {
  if (told_.size() < 16 && told_.insert(trouble).second) spdlog::error("{}", trouble);
}

// A host that has very many sockets is not asked more often than it can bear.
void Host::list_sockets(std::function<void()> then) {
  list_due_ = false;
  ++listing_;
  const std::uint64_t question = recorder_.ask();
  auto on_list = [this, question, then = std::move(then)](const SocketList& list) {
    const std::uint64_t begin = clock_.monotonic_ns();
    --listing_;
    for (const auto& trouble : list.troubles) tell_once(trouble);
    for (const DiagSocket& socket : list.sockets) recorder_.learn(socket);
    recorder_.settle(question);
    listed_ns_ = clock_.monotonic_ns();
    list_pause_ns_ = std::max(kListPauseLeast, kListShare * (list.took_ns + listed_ns_ - begin));
    then();
  };
  worker_->run([lister = lister_] { return list_all(*lister); }, std::move(on_list));
}

void Host::keep_sampling() {
  sample_timer_.expires_after(std::chrono::nanoseconds(kSamplePeriod));
  sample_timer_.async_wait([this](boost::system::error_code error) {
    if (error || control_.table().size() == 0) return;
    sample();
    keep_sampling();
  });
}

void Host::sample() {
  const auto sockets = recorder_.sampled();
  std::vector<std::uint64_t> gone;
  for (std::size_t i = 0; i < std::min(sockets.size(), kSamplesMost); ++i) {
    const capture::HostSocket& socket = *sockets[next_sampled_++ % sockets.size()];
    auto info = sockets_.tcp_info(socket.socket);
    if (!info) {
      tell_once("tcp_info: " + info.error().text());
      break;
    }
    if (*info) {
      recorder_.on_sample(socket, **info, clock_.utc_ns());
    } else {
      gone.push_back(socket.socket.cookie);
    }
  }
  for (std::uint64_t cookie : gone) recorder_.gone(cookie);
}

Result<void> Host::apply_flows() {
  std::vector<source::FlowEntry> entries;
  std::vector<capture::HostFlow> flows;
  for (const auto& flow : control_.table().desired()) {
    entries.push_back({flow.key, flow.mask, flow.value});
    capture::HostFlow held{flow.key, flow.mask, {}};
    for (const auto& share : control_.table().shares(flow.value.slot))
      held.runs.push_back(share.run);
    std::sort(held.runs.begin(), held.runs.end());
    flows.push_back(std::move(held));
  }
  std::vector<capture::HostRun> runs;
  for (const auto* run : control_.table().all()) {
    std::uint64_t until_ns = run->deadline_utc_ns;
    // Nobody else honours it where records are looked at late, or where others hold the slot too.
    if (control_.is_ending(run->run))
      until_ns = std::min(until_ns, ended_ns_.try_emplace(run->run, clock_.utc_ns()).first->second);
    runs.push_back(
        {run->run, run->started_utc_ns, until_ns, run->decision.sample_bits == FL_SAMPLE_NONE});
  }
  recorder_.set_flows(std::move(flows), std::move(runs));
  return feed_->apply(entries);
}

void Host::end_session(const std::vector<const sense::Activation*>&) {
  drain();
  ended_ = feed_->accounting();
}

void Host::session_begun(const std::vector<const sense::Activation*>& runs) {
  for (const auto* activation : runs) {
    dropped_spool_ += recorder_.counts(activation->run).dropped_spool;
    baselines_[activation->run] = *ended_;
  }
  ended_.reset();
  recorder_.begin_session(streams_.session());
}

void Host::forget(const RunId& run) {
  dropped_spool_ += recorder_.counts(run).dropped_spool;
  baselines_.erase(run);
  ended_ns_.erase(run);
  recorder_.forget(run);
}

// -- what is told about it

json Host::counts_of(const sense::Activation& activation, bool final, std::size_t copy) {
  const auto now = ended_ ? *ended_ : feed_->accounting();
  const auto base = baselines_[activation.run];
  const magnet::Accounting since{now.recorded - base.recorded, now.lost - base.lost,
                                 now.missed - base.missed};
  json report = host_counts_report(config_.name, activation, clock_.utc_ns(), final, feed_->kind(),
                                   recorder_.counts(activation.run, copy), since, feed_->absent());
  report["gaps"] = gaps_json(recorder_.gaps(activation.run, copy));
  return report;
}

json Host::status() {
  json ports = json::array();
  for (std::uint16_t port = 0; port < config_.interfaces.size(); ++port) {
    if (auto counters = watch_->port_counters(port)) {
      ports.push_back(trigger_port_report(port, config_.interfaces[port], *counters));
    }
  }
  const auto& own = streams_.own();
  json report = status_report({.role = kind(),
                               .sensor = config_.name,
                               .at_ns = clock_.utc_ns(),
                               .runs = control_.table().size(),
                               .flows = control_.table().desired().size() / 2,
                               .accepted = control_.accepted(),
                               .unclaimed = 0,
                               .refused = control_.refused(),
                               .ports = std::move(ports),
                               .stream = own.counters(),
                               .state = name_of(own.state())});
  std::uint64_t dropped = dropped_spool_;
  for (const auto* activation : control_.table().all())
    dropped += recorder_.counts(activation->run).dropped_spool;
  const auto counted = feed_->accounting();
  const auto& totals = recorder_.totals();
  report["events"] = {
      {"source", feed_->kind()},     {"state", feed_->state()},
      {"why", feed_->why()},         {"triggers_by", watch_->attachment()},
      {"absent", feed_->absent()},   {"recorded", counted.recorded},
      {"lost", counted.lost},        {"missed", counted.missed},
      {"dropped_spool", dropped},    {"of_runs", totals.taken},
      {"others", totals.others},     {"unjoined", totals.unjoined},
      {"skipped", feed_->skipped()}, {"sockets_refused", recorder_.sockets_refused()}};
  return report;
}

std::string Host::summary() {
  return "host " + config_.name + ": " + std::to_string(control_.table().size()) +
         " runs, events by " + feed_->kind() + ", archive " + name_of(streams_.own().state());
}

asio::awaitable<void> Host::stop(std::uint64_t timeout_ns) {
  co_await control_.stop();
  drain_timer_.cancel();
  sample_timer_.cancel();
  co_await streams_.close(timeout_ns);
}

}  // namespace fieldline::app
