// SPDX-License-Identifier: Apache-2.0
// A run before its first pulse. To sign its grant may take as long as a human needs (a passphrase,
// a touch on a token), so a further run is made in a thread of its own, beside the pulses of those
// that are on.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "cli/flow_host.h"
#include "cli/plan.h"
#include "cli/run_grant.h"
#include "cli/settings.h"
#include "stream/reader.h"

namespace fieldline::cli {

// What all runs of one ping, or of one command, have in common.
struct RunTerms {
  std::shared_ptr<FlowHost> host = local_flow_host();  // where triggers are sent from
  bool icmp = false;
  std::uint16_t port = FL_TRIGGER_PORT;
  unsigned spray = 1;  // source ports
  std::uint16_t snaplen = FL_SNAPLEN_HEADERS;
  bool count = false;                      // counters instead of records
  std::uint32_t sample_n = 1;              // a power of two
  sense::Fingerprint archive{};            // what the grant selects
  std::uint64_t for_ns = 0;                // of the first run
  std::uint64_t renew_ns = 1'000'000'000;  // between pulses
  std::uint64_t not_after_ns = 0;          // UTC; 0: for_ns after the grant's making
  std::optional<UserSettings> watch_at;    // names the archive that tells what sensors see
};

struct MadeRun {
  Plan plan;
  RunGrant grant;
  std::unique_ptr<TriggerSender> sender;
  std::unique_ptr<stream::Reader> reader;  // none: nobody watches
  std::optional<Error> archive_error;      // why, if it was asked for
};

// The archive is asked first: what it or ssh-keygen says comes before the run's clock starts.
Result<MadeRun> make_run(const Plan& plan, const RunTerms& terms, const Signer& signer);

// Makes one run at a time. Its thread gets copies and gives its result back whole.
class RunMaker {
 public:
  static Result<std::unique_ptr<RunMaker>> create();
  // Waits for the thread: ssh-keygen is ended, and an archive that is just being dialled has the
  // reader's time limit.
  ~RunMaker();
  RunMaker(const RunMaker&) = delete;

  bool busy() const { return made_.valid() && !stopped_; }
  int fd() const { return busy() ? done_.get() : -1; }  // readable when take() has something

  void start(Plan plan, RunTerms terms, Signer signer);  // not while busy, not after stop()
  std::optional<Result<MadeRun>> take();                 // never waits
  // Ends an unfinished ssh-keygen; what it was for is not made any more.
  void stop();

 private:
  RunMaker() = default;

  Fd done_, stop_;  // eventfds
  bool stopped_ = false;
  std::future<Result<MadeRun>> made_;  // last: its end is the thread's, which uses the above
};

}  // namespace fieldline::cli
