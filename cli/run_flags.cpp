// SPDX-License-Identifier: Apache-2.0
#include "cli/run_flags.h"

#include <bit>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "cli/ping.h"
#include "cli/spray.h"
#include "cli/text.h"
#include "proto/digest.h"

namespace fieldline::cli {

void RunFlags::declare(CLI::App& command) {
  command.option_defaults()->group("What sensors are asked for");
  command.add_option("--for", duration_, "at most so long: 90s, 10m, 1h30m, up to 30d")
      ->capture_default_str()
      ->type_name("TIME");
  command.add_option("--renew", renew_, "time between pulses, 100ms to 4s")
      ->capture_default_str()
      ->type_name("TIME");
  auto* icmp = command.add_flag("--icmp", terms_.icmp,
                                "send triggers as echo requests; the reply covers the way back");
  auto* spray = command.add_option(
      "--spray", terms_.spray, "send each trigger from N source ports, for paths of equal cost");
  spray->check(CLI::Range(1u, kSprayMax))->capture_default_str()->excludes(icmp)->type_name("N");
  command.add_option("--port", terms_.port, "UDP port of the triggers")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--snaplen", terms_.snaplen, "bytes of each packet; 0: its headers")
      ->check(CLI::Range(0, FL_SNAPLEN_MAX))
      ->capture_default_str()
      ->type_name("N");
  auto* sample = command.add_option("--sample", terms_.sample_n,
                                    "record one of N packets, the same ones at every sensor; N "
                                    "is 1, 2, 4, 8 ...");
  // Spraying tells who saw data by the records of each port.
  sample->check(CLI::Range(std::uint32_t{1}, std::uint32_t{1} << FL_SAMPLE_BITS_MAX))
      ->capture_default_str()
      ->excludes(spray)
      ->type_name("N");
  command.add_flag("--count", terms_.count, "counters alone: no packet is recorded")
      ->excludes(sample)
      ->excludes(spray);
  command
      .add_option("--archive-select", archive_,
                  "where sensors send: own (each to its own), SHA256:... of one they know, or "
                  "requester: to that of --archive, on the host that sends the triggers")
      ->capture_default_str()
      ->type_name("own|requester|KEY");
  command.option_defaults()->group("Options");
}

Result<RunTerms> RunFlags::check(const UserSettings* settings) const {
  RunTerms terms = terms_;
  auto duration = duration_in("--for", duration_, kNanosPerSecond / 2,
                              30ull * 86400 * kNanosPerSecond, "90s, 10m or 1h30m, up to 30d");
  if (!duration) return duration.error();
  terms.for_ns = *duration;
  auto renew = duration_in("--renew", renew_, kRenewMin, kRenewMax,
                           "500ms, 100ms to 4s; a pulse holds for 10 s, and one that is lost "
                           "must leave no gap");
  if (!renew) return renew.error();
  terms.renew_ns = *renew;
  if (!std::has_single_bit(terms.sample_n)) {
    return fail(Code::invalid, "--sample " + std::to_string(terms.sample_n) +
                                   ": write a power of two, so that samples of different runs and "
                                   "sensors hold each other");
  }
  if (at_requester()) {
    if (settings && !settings->archive) {
      return fail(Code::invalid,
                  "--archive-select requester selects the archive that --archive names; name one");
    }
    if (settings) terms.archive = *settings->archive->key;
  } else if (archive_ != "own") {
    auto key = stream::parse_fingerprint(archive_);
    if (!key)
      return std::move(key.error()).in("--archive-select: own, requester, or an archive's key");
    terms.archive = *key;
  }
  return terms;
}

}  // namespace fieldline::cli
