// SPDX-License-Identifier: Apache-2.0
// An hour of a sensor in simulated time: 10,000 runs come and go on flows that they share, signed,
// judged, written to a flow table, looked up, lifted, recorded and counted. Every count is compared
// with what a plain reading of the grants says, and at the end nothing is left.
#include <malloc.h>

#include <catch2/catch.hpp>

#include <cstring>
#include <map>
#include <random>

#include "app/run_counts.h"
#include "proto/digest.h"
#include "sense_support.h"
#include "source/flow_plan.h"

namespace fieldline::app {
namespace {

using test::kNow;
using test::kSecond;

constexpr std::uint32_t kRuns = 10'000, kPacketsEachStep = 12;
constexpr std::uint64_t kStep = 3600 * kSecond / kRuns;

// As bpf/flow.h, over entries written as source::FlowTable writes them.
class Kernel {
 public:
  void apply(const std::vector<source::FlowEntry>& desired) {
    auto plan = source::plan_flows(held_, desired, 2 * FL_FLOWS_DEFAULT);
    REQUIRE(plan.has_value());
    for (const auto& entry : plan->remove) held_.erase(source::EntryId(entry));
    for (const auto& entry : plan->update) held_[source::EntryId(entry)] = entry;
    for (const auto& entry : plan->add) {
      held_[source::EntryId(entry)] = entry;
      counters_[entry.value.slot] = {};
    }
    masks_ = std::move(plan->masks);
  }

  // Lifted, if any entry wants it.
  std::optional<fl_lift> see(const fl_flow_key& key, std::uint64_t digest, std::uint32_t wire_len,
                             std::uint64_t now_mono_ns) {
    fl_lift lift{};
    lift.digest = digest;
    lift.wire_len = wire_len;
    std::uint8_t bits = FL_SAMPLE_NONE;
    for (const fl_flow_key& mask : masks_) {
      auto found = held_.find(masked(key, mask));
      if (found == held_.end() || found->second.value.deadline_ns <= now_mono_ns) continue;
      lift.slots[lift.hits++] = found->second.value.slot;
      bits = std::min(bits, found->second.value.sample_bits);
    }
    const bool keeps = fl_sample_keeps(digest, bits);
    for (unsigned i = 0; i < lift.hits; ++i) {
      fl_flow_counters& counters = counters_[lift.slots[i]];
      ++counters.packets;
      counters.bytes += wire_len;
      ++(keeps ? counters.lifted : counters.sampled_out);
      if (!keeps) counters.sampled_out_bytes += wire_len;
    }
    (keeps ? lifted : left) += lift.hits > 0;
    if (!keeps || lift.hits == 0) return {};
    return lift;
  }
  fl_flow_counters counters(std::uint32_t slot) const { return counters_.at(slot); }
  bool is_empty() const { return held_.empty() && masks_.empty(); }

  std::uint64_t lifted = 0, left = 0;

 private:
  static source::EntryId masked(const fl_flow_key& key, const fl_flow_key& mask) {
    source::FlowEntry entry;
    entry.mask = mask;
    auto* to = reinterpret_cast<std::uint8_t*>(&entry.key);
    for (std::size_t i = 0; i < sizeof key; ++i) to[i] = view_of(key)[i] & view_of(mask)[i];
    return source::EntryId(entry);
  }

  source::HeldEntries held_;
  std::vector<fl_flow_key> masks_;
  std::unordered_map<std::uint32_t, fl_flow_counters> counters_;
};

struct Expected {
  test::Sender sender;
  std::uint8_t bits = 0;
  std::uint64_t until = 0, renew_at = 0, end_at = 0;  // UTC; 0: never
  std::uint32_t pulses = 0;
  std::array<std::uint64_t, 2> packets{}, bytes{}, recorded{};
  // What the final counts of all sessions say together.
  RunCounts::Directions flows{};
  std::array<std::uint64_t, 2> told{};
};

struct Packet {
  fl_flow_key key;
  std::uint64_t digest;
  std::uint32_t wire_len;
};

bool goes(const sense::Grant& grant, const fl_flow_key& key, bool reverse) {
  Address from, to;
  std::copy(std::begin(key.src), std::end(key.src), from.bytes.begin());
  std::copy(std::begin(key.dst), std::end(key.dst), to.bytes.begin());
  std::uint16_t sport = big_endian(key.sport), dport = big_endian(key.dport);
  if (reverse) std::swap(from, to);
  if (reverse) std::swap(sport, dport);
  if (grant.protocol != key.protocol) return false;
  if (!grant.host_a.contains(from) || !grant.host_b.contains(to)) return false;
  return std::any_of(grant.pairs.begin(), grant.pairs.end(), [&](const sense::PortPair& pair) {
    return (pair.a == 0 || pair.a == sport) && (pair.b == 0 || pair.b == dport);
  });
}

bool is_ascending(const fl_flow_key& key) {
  const int order = std::memcmp(key.src, key.dst, sizeof key.src);
  return order < 0 || (order == 0 && big_endian(key.sport) < big_endian(key.dport));
}

class Hour {
 public:
  Hour()
      : world_(test::TestKey::from_seed(1).line("ops") + test::TestKey::from_seed(2).line("noc") +
                   test::TestKey::from_seed(3).line("net") +
                   test::TestKey::from_seed(4).line("guest"),
               policy()),
        counts_(table_, [this](std::uint32_t slot) { return kernel_.counters(slot); }),
        recorder_([this](const RunId& run, std::uint32_t count, ByteView) {
          taken_[run] += count;
          return true;
        }) {}

  void step() {
    now_ += kStep;
    mono_ += kStep;
    wind_up(table_.expire(mono_));
    for (std::uint32_t run : due()) pulse(runs_.at(test::run_id(run)));
    for (std::uint32_t i = 0; i < kPacketsEachStep; ++i) see(random_packet());
    recorder_.flush();
    world_.gate.expire(now_);
  }
  void start(std::uint32_t number) {
    Expected run = random_run(number);
    const RunId id = run.sender.grant.run;
    runs_.emplace(id, std::move(run));
    pulse(runs_.at(id));
  }
  bool is_idle() const { return runs_.empty(); }

  void require_empty() {
    CHECK(table_.size() == 0);
    CHECK(table_.desired().empty());
    CHECK(table_.all().empty());
    CHECK(recorder_.size() == 0);
    CHECK(counts_.size() == 0);
    CHECK(kernel_.is_empty());
    CHECK(taken_.empty());
    world_.gate.expire(now_ + 600 * kSecond);
    CHECK(world_.gate.cached_grants() == 0);
    CHECK(world_.gate.buckets() == 0);
    CHECK(recorder_.unclaimed() == 0);
  }

  std::uint64_t judged = 0, packets = 0, recorded = 0, renewed = 0, ended = 0, refused = 0;
  std::size_t most = 0, sessions = 0;
  const Kernel& kernel() const { return kernel_; }

  // As Control::begin_session(), but at the worst moment: what the recorder has in hand is told in
  // the later one, and packets come while the earlier one's counts are told.
  void begin_session() {
    for (auto& [id, run] : runs_) {
      const auto* activation = table_.find(id);
      if (activation != nullptr) counts_.end_session(*activation, recorder_.counts(id));
    }
    std::map<RunId, std::array<std::uint64_t, 2>> given;
    for (auto& [id, run] : runs_) given[id] = kept(id);
    for (std::uint32_t i = 0; i < kPacketsEachStep; ++i) see(random_packet());
    for (auto& [id, run] : runs_) {
      const auto* activation = table_.find(id);
      if (activation == nullptr) continue;
      tell(run, *activation);
      for (std::uint8_t way : {FL_FORWARD, FL_REVERSE})
        CHECK(run.flows[way].lifted == given[id][way]);
    }
    counts_.begin_session();
    recorder_.begin_session();
    ++sessions;
  }

 private:
  static sense::Policy policy() {
    sense::Policy policy = test::World::open_policy();
    sense::Rule net = policy.allow[0], guest = policy.allow[0];
    net.name = "net";
    net.principals = {"net"};
    net.min_sample = 4;
    guest.name = "guest";
    guest.principals = {"guest"};
    guest.capture = false;
    policy.allow.insert(policy.allow.begin(), {net, guest});
    return policy;
  }

  std::uint32_t below(std::uint32_t bound) {
    return std::uniform_int_distribution<std::uint32_t>(0, bound - 1)(random_);
  }

  // Of few hosts and ports, so that runs share entries and cover one another.
  Expected random_run(std::uint32_t number) {
    const auto who = static_cast<std::uint8_t>(1 + below(4));
    Expected run{test::Sender(who, number)};
    sense::Grant& grant = run.sender.grant;
    grant.protocol = IPPROTO_UDP;
    grant.issued_at_ns = now_;
    grant.not_after_ns = now_ + 40 * kSecond;
    grant.pairs = {
        {static_cast<std::uint16_t>(1 + below(3)), static_cast<std::uint16_t>(101 + below(3))}};
    const std::uint32_t shape = below(10);
    if (shape < 3) grant.pairs[0].a = 0;
    if (shape == 3) grant.pairs[0] = {0, 0};
    if (shape == 4) grant.pairs.push_back({0, 103});
    if (shape == 5) grant.pairs = {{0, 101}, {2, 0}};  // a packet may be of both
    if (shape == 6) grant.host_a = grant.host_b = test::prefix("10.0.0.0/16");
    if (shape == 7) {
      grant.host_a = grant.host_b = test::prefix("10.0.0.0/16");
      grant.pairs = {{0, 0}};
    }
    run.bits = 0;
    if (who == 4) {
      grant.verb = FL_VERB_COUNT;
      run.bits = FL_SAMPLE_NONE;
    } else if (below(3) == 0) {
      grant.sample_n = 8;
      run.bits = 3;
    }
    if (who == 3) run.bits = std::max<std::uint8_t>(run.bits, 2);
    if (below(2) == 0) run.renew_at = now_ + (2 + below(6)) * kSecond;
    if (below(3) == 0) run.end_at = now_ + (1 + below(12)) * kSecond;
    return run;
  }

  // What the recorder gave the run in all.
  std::array<std::uint64_t, 2> kept(const RunId& run) const {
    std::array<std::uint64_t, 2> sum{};
    for (const auto& [point, counts] : recorder_.counts(run))
      sum[point.second] += counts.matched - counts.sampled_out;
    return sum;
  }

  std::vector<std::uint32_t> due() {
    std::vector<std::uint32_t> numbers;
    for (const auto& [id, run] : runs_) {
      const bool is_due =
          (run.renew_at != 0 && run.renew_at <= now_) || (run.end_at != 0 && run.end_at <= now_);
      std::uint32_t number = 0;
      std::memcpy(&number, id.bytes.data(), sizeof number);
      if (is_due) numbers.push_back(number);
    }
    return numbers;
  }

  void pulse(Expected& run) {
    const bool ends = run.end_at != 0 && run.end_at <= now_;
    const std::uint64_t lasts = ends ? 0 : 9 * kSecond;
    if (run.renew_at <= now_) run.renew_at = 0;
    const sense::Grant grant = run.sender.grant;
    auto outcome = world_.pass(run.sender.trigger(++run.pulses, now_, lasts), now_);
    REQUIRE(test::name_of(outcome) == "accepted");
    auto applied = table_.apply(std::get<sense::Accepted>(outcome), now_, mono_);
    if (std::holds_alternative<sense::Refusal>(applied)) {  // the masks may be all in use
      REQUIRE(run.pulses == 1);
      world_.gate.forget(grant.run);
      runs_.erase(grant.run);
      ++refused;
      return;
    }
    switch (std::get<sense::ActivationTable::Change>(applied)) {
      case sense::ActivationTable::Change::started:
        apply_flows();
        counts_.begun(*table_.find(grant.run));
        most = std::max(most, table_.size());
        break;
      case sense::ActivationTable::Change::renewed:
        apply_flows();
        ++renewed;
        break;
      case sense::ActivationTable::Change::ended:
        ++ended;
        wind_up({grant.run});
        break;
    }
  }

  // As Sensor::apply_flows(). An ending run claims nothing of what others hold.
  void apply_flows() {
    std::vector<source::FlowEntry> entries;
    capture::Recorder::Claims claims;
    for (const auto& flow : table_.desired()) {
      entries.push_back({flow.key, flow.mask, flow.value});
      const auto& shares = table_.shares(flow.value.slot);
      for (const auto& share : shares) {
        if (shares.size() > 1 && table_.find(share.run)->ending) continue;
        claims[flow.value.slot].push_back(
            {share.run, share.direction, share.snaplen, share.sample_bits});
      }
    }
    recorder_.claim(claims);
    kernel_.apply(entries);
  }

  // As Control::end_run() and finish_run(): packets go on while the run is being wound up.
  void wind_up(const std::vector<RunId>& over) {
    if (over.empty()) return;
    recorder_.flush();
    apply_flows();
    std::vector<Expected> expected;
    for (const RunId& id : over) {
      expected.push_back(std::move(runs_.at(id)));
      runs_.erase(id);
    }
    for (int i = 0; i < 3; ++i) see(random_packet());
    recorder_.flush();
    for (Expected& run : expected) {
      const RunId id = run.sender.grant.run;
      judge(run, *table_.find(id));
      table_.remove(id);
      world_.gate.forget(id);
      counts_.forget(id);
      recorder_.forget(id);
      taken_.erase(id);
      apply_flows();
    }
  }

  // Adds up what each session's final counts say.
  void tell(Expected& run, const sense::Activation& activation) {
    const auto flows = counts_.of(activation, recorder_.counts(activation.run));
    for (std::size_t way = 0; way < flows.size(); ++way)
      run.flows[way] = plus(run.flows[way], flows[way]);
    for (const auto& [point, counts] : recorder_.fresh(activation.run, 0))
      run.told[point.second] += counts.recorded;
  }

  void judge(Expected& run, const sense::Activation& activation) {
    tell(run, activation);
    const auto& flows = run.flows;
    std::uint64_t all = 0;
    for (const std::uint8_t way : {FL_FORWARD, FL_REVERSE}) {
      INFO("run " << activation.run.hex() << " way " << int(way) << " bits " << int(run.bits));
      REQUIRE(flows[way].packets == run.packets[way]);
      REQUIRE(flows[way].bytes == run.bytes[way]);
      REQUIRE(run.told[way] == run.recorded[way]);
      REQUIRE(flows[way].lifted == run.recorded[way]);
      REQUIRE(flows[way].packets == run.told[way] + flows[way].sampled_out);
      all += run.recorded[way];
      packets += run.packets[way];
    }
    REQUIRE(taken_[activation.run] == all);
    recorded += all;
    ++judged;
  }

  Packet random_packet() {
    Packet packet{};
    auto host = [&](__u8* to) {
      const Address address = Address::parse(below(2) == 0   ? "10.0.0.1"
                                             : below(3) == 0 ? "10.0.7.7"
                                                             : "10.0.3.2")
                                  .value();
      std::copy(address.bytes.begin(), address.bytes.end(), to);
    };
    host(packet.key.src);
    do host(packet.key.dst);
    while (std::equal(std::begin(packet.key.src), std::end(packet.key.src), packet.key.dst));
    std::uint16_t sport = static_cast<std::uint16_t>(1 + below(4));
    std::uint16_t dport = static_cast<std::uint16_t>(101 + below(4));
    if (below(2) == 0) std::swap(sport, dport);
    packet.key.sport = big_endian(sport);
    packet.key.dport = big_endian(dport);
    packet.key.protocol = IPPROTO_UDP;
    packet.digest = std::uniform_int_distribution<std::uint64_t>()(random_);
    packet.wire_len = 60 + below(1400);
    return packet;
  }

  void see(const Packet& packet) {
    static const Bytes frame(60, 0);
    for (auto& [id, run] : runs_) {
      const sense::Grant& grant = run.sender.grant;
      const bool there = goes(grant, packet.key, false), back = goes(grant, packet.key, true);
      if (!there && !back) continue;
      const bool forward = there && back ? is_ascending(packet.key) : there;
      const std::uint8_t way = forward ? FL_FORWARD : FL_REVERSE;
      ++run.packets[way];
      run.bytes[way] += packet.wire_len;
      run.recorded[way] += static_cast<unsigned>(fl_sample_keeps(packet.digest, run.bits));
    }
    auto lift = kernel_.see(packet.key, packet.digest, packet.wire_len, mono_);
    if (!lift) return;
    if (is_ascending(packet.key)) lift->flags |= FL_LIFT_ASCENDING;
    recorder_.on_lift(*lift, frame);
  }

  std::mt19937 random_{4711};
  std::uint64_t now_ = kNow, mono_ = 1000 * kSecond;
  test::World world_;
  sense::ActivationTable table_;
  Kernel kernel_;
  RunCounts counts_;
  capture::Recorder recorder_;
  std::map<RunId, std::uint64_t> taken_;
  std::map<RunId, Expected> runs_;
};

void go_on_until_idle(Hour& hour) {
  for (int i = 0; i < 1000 && !hour.is_idle(); ++i) hour.step();
  REQUIRE(hour.is_idle());
}

}  // namespace

TEST_CASE(
    "an hour of 10,000 runs leaves tables and memory where they began, and each run its due") {
  Hour hour;
  std::uint32_t number = 0;
  // What is kept for ever, such as the buckets of a hash, is there after a first few minutes.
  while (number < 1000) {
    hour.start(++number);
    hour.step();
  }
  go_on_until_idle(hour);
  hour.require_empty();
  const std::size_t before = ::mallinfo2().uordblks;
  while (number < kRuns) {
    hour.start(++number);
    hour.step();
    if (number % 50 == 0) hour.begin_session();
  }
  go_on_until_idle(hour);
  hour.require_empty();
  const std::size_t after = ::mallinfo2().uordblks;
  CHECK(after < before + (64 << 10));

  CHECK(hour.judged + hour.refused == kRuns);
  CHECK(hour.judged > kRuns * 9 / 10);
  CHECK(hour.sessions == 180);
  CHECK(hour.most > 20);
  CHECK(hour.renewed > 1000);
  CHECK(hour.ended > 1000);
  CHECK(hour.packets > 100'000);
  CHECK(hour.recorded > 50'000);
  CHECK(hour.kernel().left > 100);  // what no run wanted, the kernel left
}

}  // namespace fieldline::app
