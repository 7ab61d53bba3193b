// SPDX-License-Identifier: Apache-2.0
#include "cli/watch.h"

#include <poll.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/live_feed.h"
#include "cli/packet_sink.h"
#include "cli/signals.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kWaitMax = 60 * kNanosPerSecond;
constexpr std::size_t kBatch = 256 << 10;
constexpr std::uint64_t kLastWords = kNanosPerSecond;  // without progress, once asked to end

nlohmann::json watch_request(const WatchOptions& options, const RunId& run) {
  nlohmann::json request = {
      {"op", "query"}, {"run", run.hex()}, {"follow", true}, {"reports", true}, {"events", false}};
  if (options.flow) request["flow"] = options.flow->to_query();
  if (!options.vantage.empty()) request["vantage"] = options.vantage;
  return request;
}

// From the feed to the sink until either ends.
class Watch {
 public:
  Watch(LiveFeed& feed, PacketSink& sink, const Fd& signals, bool says_silence)
      : feed_(feed), sink_(sink), signals_(signals), says_silence_(says_silence) {}

  // Why it ended: "ended", "interrupted", "output closed" or "silent".
  Result<std::string> run();
  std::uint64_t bytes() const { return bytes_; }

 private:
  bool refill();
  Result<void> wait_and_write();
  void look_for_silence();
  void stop(const char* why);

  LiveFeed& feed_;
  PacketSink& sink_;
  const Fd& signals_;
  const bool says_silence_;
  const SystemClock clock_;
  Bytes out_;
  std::size_t sent_ = 0;
  std::uint64_t bytes_ = 0, begun_ns_ = clock_.monotonic_ns();
  std::uint64_t wake_ns_ = 0, give_up_ns_ = UINT64_MAX;
  bool finished_ = false;
  std::string why_ = "ended";
  std::set<std::string> said_silent_;
};

void Watch::stop(const char* why) {
  why_ = why;
  give_up_ns_ = clock_.monotonic_ns() + kLastWords;
  feed_.stop();
}

// false: all is written that ever will be.
bool Watch::refill() {
  if (sent_ < out_.size()) return true;
  out_.clear();
  sent_ = 0;
  if (finished_) return false;
  // Asked first: what came before the end is then in the merge.
  const bool last = feed_.ended().has_value();
  const std::uint64_t now = clock_.monotonic_ns();
  auto take = [&](LiveMerge& merge) {
    const bool more = merge.drain(now, out_, kBatch);
    wake_ns_ = std::min(merge.due_ns().value_or(UINT64_MAX), now + kNanosPerSecond);
    if (last && !more) {
      merge.finish(out_);
      finished_ = true;
    }
  };
  feed_.with_merge(take);
  return !finished_ || !out_.empty();
}

Result<void> Watch::wait_and_write() {
  const bool pending = sent_ < out_.size();
  const std::uint64_t now = clock_.monotonic_ns();
  const std::uint64_t until = std::min(pending ? UINT64_MAX : wake_ns_, give_up_ns_);
  const std::uint64_t left = std::min(until - std::min(now, until), kNanosPerSecond);
  pollfd ready[] = {{signals_.get(), POLLIN, 0},
                    {feed_.fd(), static_cast<short>(pending ? 0 : POLLIN), 0},
                    {sink_.fd(), static_cast<short>(pending ? POLLOUT : 0), 0}};
  if (why_ == "interrupted") ready[0].fd = -1;
  ::poll(ready, 3, static_cast<int>((left + kNanosPerMilli - 1) / kNanosPerMilli));
  if (ready[0].revents != 0) stop("interrupted");
  if (ready[1].revents != 0) feed_.clear();
  if ((ready[2].revents & (POLLERR | POLLHUP)) != 0)
    return fail(Code::closed, "nobody reads the packets any more");
  if ((ready[2].revents & POLLOUT) != 0) {
    auto wrote = sink_.write_some(ByteView(out_).subspan(sent_));
    if (!wrote) return wrote.error();
    sent_ += *wrote;
    bytes_ += *wrote;
    if (*wrote > 0 && give_up_ns_ != UINT64_MAX) give_up_ns_ = clock_.monotonic_ns() + kLastWords;
  }
  return {};
}

// Who is silent is said once; whether it comes back nobody knows until the grant is over.
void Watch::look_for_silence() {
  if (give_up_ns_ != UINT64_MAX) return;
  const std::uint64_t now = clock_.monotonic_ns(), utc = clock_.utc_ns();
  auto look = [&](const LiveMerge& merge) {
    const RunLife& life = merge.life();
    for (const std::string& name : life.silent(now)) {
      if (says_silence_ && said_silent_.insert(name).second) note(life.silence_text(name, utc));
    }
    return life.is_over(begun_ns_, now, utc);
  };
  if (feed_.with_merge(look)) stop("silent");
}

Result<std::string> Watch::run() {
  while (refill()) {
    auto written = wait_and_write();
    if (!written) {
      if (written.error().code != Code::closed) return written.error();
      feed_.stop();
      return std::string("output closed");
    }
    if (clock_.monotonic_ns() >= give_up_ns_) break;
    look_for_silence();
  }
  return why_;
}

void tell(const WatchOptions& options, const RunId& run, const std::string& why,
          std::uint64_t bytes, const LiveFeed::Ended& ended, const LiveMerge& merge) {
  const MergeCounts& counts = merge.counts();
  const auto missing = merge.life().without_final_counts();
  if (options.json) {
    return note(json_text({{"schema", "fieldline.watch/1"},
                           {"run", run.hex()},
                           {"reason", why},
                           {"interfaces", merge.interfaces()},
                           {"received", counts.received},
                           {"written", counts.written},
                           {"late", counts.late},
                           {"bytes", bytes},
                           {"skipped_bytes", ended.skipped_bytes},
                           {"without_final_counts", missing}},
                          -1));
  }
  if (why == "output closed") return;  // as anything that is piped into `head`
  note(grouped(counts.written) + " packets of " + std::to_string(merge.interfaces()) +
       " vantage points" +
       (counts.late > 0 ? "; " + grouped(counts.late) + " came late and stand out of order" : "") +
       (counts.received > counts.written ? "; " + grouped(counts.received - counts.written) +
                                               " more were not taken by the output"
                                         : "") +
       (ended.skipped_bytes > 0 ? "; " + grouped(ended.skipped_bytes) +
                                      " damaged bytes were stepped over in the archive"
                                : ""));
  if (why != "silent") return;
  for (const auto& name : missing) note("incomplete: no final counts from " + name);
}

int follow(const WatchOptions& options, std::unique_ptr<stream::Reader> reader, const RunId& run,
           PacketSink& sink, const Fd& signals) {
  auto feed = LiveFeed::start(std::move(reader), watch_request(options, run), {options.wait_ns});
  if (!feed) return complain(feed.error());
  Watch session(**feed, sink, signals, !options.json);
  auto why = session.run();
  const auto ended = (*feed)->ended().value_or(LiveFeed::Ended{});
  if (!why) return complain(why.error());
  if (ended.error && *why == "ended") return complain(AskError{*ended.error, true});
  (*feed)->with_merge(
      [&](const LiveMerge& merge) { tell(options, run, *why, session.bytes(), ended, merge); });
  return ended.skipped_bytes > 0 || *why == "silent" ? kPartial : kOk;
}

}  // namespace

Result<std::uint64_t> parse_wait(const std::string& text) {
  const std::uint64_t ns = parse_duration_ns(text);
  const bool is_zero = !text.empty() && text.find_first_not_of("0ms") == std::string::npos;
  if ((ns == 0 && !is_zero) || ns > kWaitMax)
    return fail(Code::invalid, "--wait " + text + ": write 0 to 60s, such as 250ms");
  return ns;
}

int watch(const WatchOptions& options, const UserSettings& settings) {
  auto signals = block_signals();
  if (!signals) return complain(signals.error());
  const bool to_stdout = options.output.empty() || options.output == "-";
  std::optional<PacketSink> sink;
  auto open = [&]() -> Result<void> {
    auto opened = PacketSink::open(options.output, "watch", signals->get());
    if (!opened) return opened.error();
    sink.emplace(std::move(*opened));
    return {};
  };
  if (to_stdout) {
    if (auto opened = open(); !opened) return complain(opened.error(), kUsage);
  }
  auto signer = Signer::open(settings.identity);
  if (!signer) return complain(AskError{signer.error(), false});
  signer->end_by(signals->get());
  auto reader = open_archive(settings, *signer);
  if (!reader) return complain(AskError{reader.error(), false});
  auto run = find_run(**reader, options.run);
  if (!run) return complain(run.error());
  // A file is made, or emptied, once there is something to put into it.
  if (!to_stdout) {
    auto opened = open();
    if (!opened) return opened.error().code == Code::closed ? kOk : complain(opened.error());
  }
  return follow(options, std::move(*reader), *run, *sink, *signals);
}

}  // namespace fieldline::cli
