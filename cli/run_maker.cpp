// SPDX-License-Identifier: Apache-2.0
#include "cli/run_maker.h"

#include <sys/eventfd.h>

#include "base/clock.h"
#include "cli/archive_link.h"

namespace fieldline::cli {

Result<MadeRun> make_run(const Plan& plan, const RunTerms& terms, const Signer& signer) {
  auto sender = terms.host->open_sender(plan.local, plan.remote,
                                        {terms.icmp, terms.port, plan.traffic_class, terms.spray});
  if (!sender) return sender.error();
  std::unique_ptr<stream::Reader> reader;
  std::optional<Error> archive_error;
  if (terms.watch_at) {
    auto opened = open_archive(*terms.watch_at, signer);
    if (opened) {
      reader = std::move(*opened);
    } else {
      archive_error = opened.error();
    }
  }
  std::uint64_t now = SystemClock().utc_ns();
  std::uint64_t not_after = terms.not_after_ns != 0 ? terms.not_after_ns : now + terms.for_ns;
  if (now >= not_after)
    return fail(Code::timeout, "the time is over before the next grant was signed");
  const std::uint8_t verb = terms.count ? FL_VERB_COUNT : FL_VERB_CAPTURE;
  const GrantLimits limits{now, not_after, terms.snaplen, terms.archive, verb, terms.sample_n};
  auto grant = RunGrant::make(plan, limits, signer);
  if (!grant) return grant.error();
  return MadeRun{plan, std::move(*grant), std::move(*sender), std::move(reader),
                 std::move(archive_error)};
}

Result<std::unique_ptr<RunMaker>> RunMaker::create() {
  std::unique_ptr<RunMaker> maker(new RunMaker);
  for (Fd* fd : {&maker->done_, &maker->stop_}) {
    *fd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!*fd) return fail_errno("making an eventfd");
  }
  return maker;
}

RunMaker::~RunMaker() {
  stop();
}

void RunMaker::start(Plan plan, RunTerms terms, Signer signer) {
  signer.end_by(stop_.get());
  auto make = [plan = std::move(plan), terms = std::move(terms), signer = std::move(signer),
               done = done_.get()] {
    auto made = make_run(plan, terms, signer);
    ::eventfd_write(done, 1);
    return made;
  };
  made_ = std::async(std::launch::async, std::move(make));
}

// get() may wait for the thread's last step, from its eventfd_write() to its return.
std::optional<Result<MadeRun>> RunMaker::take() {
  eventfd_t count = 0;
  if (!busy() || ::eventfd_read(done_.get(), &count) != 0) return {};
  return made_.get();
}

void RunMaker::stop() {
  stopped_ = true;
  ::eventfd_write(stop_.get(), 1);
}

}  // namespace fieldline::cli
