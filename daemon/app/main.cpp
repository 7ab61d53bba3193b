// SPDX-License-Identifier: Apache-2.0
// fieldlined: starts the roles that its configuration names, tells systemd, obeys signals.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>

#include "app/archive_role.h"
#include "app/config.h"
#include "app/host.h"
#include "app/sensor.h"

namespace fieldline::app {
namespace {

namespace asio = boost::asio;

constexpr std::uint64_t kStopNs = 5 * kNanosPerSecond;  // to deliver what is spooled

void set_up_log(const std::string& level) {
  auto logger = std::getenv("JOURNAL_STREAM") != nullptr ? spdlog::systemd_logger_mt("fieldlined")
                                                         : spdlog::stderr_color_mt("fieldlined");
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level));
}

class Daemon {
 public:
  Daemon(std::string path, Config config) : path_(std::move(path)), config_(std::move(config)) {}

  Result<void> start() {
    if (config_.archive) {
      auto started = ArchiveRole::start(io_, *config_.archive);
      if (!started) return started.error();
      archive_ = std::move(*started);
    }
    if (config_.sensor) {
      auto started = Sensor::start(io_, *config_.sensor);
      if (!started) return started.error();
      sensor_ = std::move(*started);
    }
    if (config_.host) {
      auto started = Host::start(io_, *config_.host);
      if (!started) return started.error();
      host_ = std::move(*started);
    }
    return {};
  }

  void run() {
    wait_for_signal();
    tell_systemd();
    sd_notify(0, "READY=1");
    spdlog::info("ready");
    io_.run();
  }

 private:
  void wait_for_signal() {
    signals_.async_wait([this](boost::system::error_code error, int signal) {
      if (error) return;
      if (signal != SIGHUP) return stop();
      reload();
      wait_for_signal();
    });
  }

  void reload() {
    sd_notify(0, "RELOADING=1");
    auto config = Config::load(path_);
    if (!config) {
      spdlog::error("not reloaded, the old settings stay in force: {}", config.error().text());
    } else {
      if (sensor_ && config->sensor) say("sensor", sensor_->reload(*config->sensor));
      if (host_ && config->host) say("host", host_->reload(*config->host));
      if (archive_ && config->archive) say("archive", archive_->reload(*config->archive));
    }
    sd_notify(0, "READY=1");
  }

  static void say(const char* role, const Result<void>& reloaded) {
    if (reloaded) {
      spdlog::info("{}: reloaded trust and policy; all else needs a restart", role);
    } else {
      spdlog::error("{}: not reloaded, the old settings stay in force: {}", role,
                    reloaded.error().text());
    }
  }

  void stop() {
    sd_notify(0, "STOPPING=1");
    spdlog::info("stopping");
    heartbeat_.cancel();
    // The producers first: they may stream to the archive in this very process.
    auto stopping = [this]() -> asio::awaitable<void> {
      if (sensor_) co_await sensor_->stop(kStopNs);
      if (host_) co_await host_->stop(kStopNs);
      if (archive_) co_await archive_->stop();
      io_.stop();
    };
    asio::co_spawn(io_, stopping, [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
  }

  // Status and watchdog, at half the watchdog's period.
  void tell_systemd() {
    std::string status;
    auto add = [&](const std::string& role) {
      status += (status.empty() ? "STATUS=" : "; ") + role;
    };
    if (sensor_) add(sensor_->summary());
    if (host_) add(host_->summary());
    if (archive_) add(archive_->summary());
    sd_notify(0, (status + "\nWATCHDOG=1").c_str());
    std::uint64_t watchdog_us = 0;
    bool watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
    heartbeat_.expires_after(std::chrono::microseconds(watched ? watchdog_us / 2 : 10'000'000));
    heartbeat_.async_wait([this](boost::system::error_code error) {
      if (!error) tell_systemd();
    });
  }

  std::string path_;
  Config config_;
  asio::io_context io_{1};
  asio::signal_set signals_{io_, SIGHUP, SIGTERM, SIGINT};
  asio::steady_timer heartbeat_{io_};
  std::unique_ptr<ArchiveRole> archive_;
  std::unique_ptr<Sensor> sensor_;
  std::unique_ptr<Host> host_;
};

// Prints the key by which others pin this daemon; makes it if there is none yet.
int print_fingerprints(const Config& config) {
  auto print = [](const char* role, const std::string& path, const std::string& name) {
    auto identity = stream::load_or_create_identity(path, name);
    if (!identity) {
      std::fprintf(stderr, "fieldlined: %s\n", identity.error().text().c_str());
      return false;
    }
    std::printf("%s %s\n", role, stream::to_string(identity->fingerprint).c_str());
    return true;
  };
  bool ok = true;
  if (config.sensor) ok = print("sensor", config.sensor->identity, config.sensor->name) && ok;
  if (config.host) ok = print("host", config.host->identity, config.host->name) && ok;
  if (config.archive) ok = print("archive", config.archive->identity, "archive") && ok;
  return ok ? 0 : 1;
}

int run(int argc, char** argv) {
  CLI::App app{
      "Fieldline's daemon: a sensor on passive taps, a host of its own sockets, an archive, or "
      "several of them."};
  std::string path = "/etc/fieldline/fieldlined.toml";
  bool check = false, fingerprint = false;
  app.add_option("-c,--config", path, "TOML file")->capture_default_str();
  app.add_flag("--check-config", check, "read the configuration, report every problem, and exit");
  app.add_flag("--fingerprint", fingerprint,
               "print the keys by which others pin this daemon, and exit");
  app.set_version_flag("--version", FIELDLINE_VERSION);
  app.footer("SIGHUP reloads trust and policy. The example is packaging/fieldlined.toml.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // --help and --version are no error
  }

  auto config = Config::load(path);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().text().c_str());
    return 2;
  }
  if (check) return std::puts("configuration is fine") < 0;
  if (fingerprint) return print_fingerprints(*config);

  set_up_log(config->log_level);
  Daemon daemon(path, std::move(*config));
  auto started = daemon.start();
  if (!started) {
    spdlog::critical("{}", started.error().text());
    return 1;
  }
  daemon.run();
  return 0;
}

}  // namespace
}  // namespace fieldline::app

int main(int argc, char** argv) {
  try {
    return fieldline::app::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fieldlined: %s\n", error.what());
    return 1;
  }
}
