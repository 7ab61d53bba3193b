// SPDX-License-Identifier: Apache-2.0
// A run that an application has switched on for its socket. One thread of its own sends pulses and
// events; the application's never wait for it but in switch_off().
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "lib/pairs.h"
#include "lib/shared.h"
#include "lib/speaker.h"

namespace fieldline::lib {

struct MonitorOptions {
  std::string config, archive, identity, host, program;  // empty: as the user's settings have it
  std::uint64_t for_ns = 3600 * kNanosPerSecond;
  std::uint64_t on_timeout_ns = 5 * kNanosPerSecond, off_timeout_ns = 2 * kNanosPerSecond;
  std::uint16_t snaplen = 0, trigger_port = 0;  // port 0: the usual one
  std::uint32_t sample = 1;
  std::size_t buffer_bytes = 1 << 20;
};

// written = acknowledged + dropped + pending
struct Counts {
  std::uint64_t written = 0, acknowledged = 0, dropped = 0, pending = 0, refused = 0, pulses = 0;
  bool connected = false;
};

class Engine;

class Monitor {
 public:
  static Result<std::unique_ptr<Monitor>> switch_on(int socket, const MonitorOptions& options);
  // Ends the run if nobody has, and waits for no event.
  ~Monitor();
  Monitor(const Monitor&) = delete;

  // Any thread. exhausted: dropped and counted, or too long; invalid: not of the form.
  Result<void> write(std::string_view name, Pairs pairs);
  void refuse() { shared_->outbox.refuse(); }
  Counts counts();
  const std::string& run() const { return run_; }
  std::uint64_t off_timeout_ns() const { return off_timeout_ns_; }

  // The run's end, and what came of it: after timeout_ns and half a second at the most. A name
  // look-up that takes longer ends alone. Any thread, and again: the first asks for the end, each
  // waits for it.
  Counts switch_off(std::uint64_t timeout_ns);

 private:
  explicit Monitor(const MonitorOptions& options);
  Result<void> start(std::unique_ptr<Engine> engine);
  void wake(void (Engine::*what)());
  Counts known();

  std::shared_ptr<Shared> shared_;
  // Of what follows: the process's exit may switch off while other threads write, or do so too.
  std::mutex mutex_;
  Engine* engine_ = nullptr;  // the thread's, there until its end was asked for
  std::thread thread_;        // until it is waited for no more
  std::string run_;
  Speaker speaker_;
  std::uint64_t off_timeout_ns_ = 0;
};

}  // namespace fieldline::lib
