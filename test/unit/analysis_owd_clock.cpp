// SPDX-License-Identifier: Apache-2.0
// Clocks behind queues, with the truth known: never a value outside of the stated bounds, and
// bounds that are of use.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "analysis/clock_course.h"

using namespace fieldline::analysis;

namespace {

constexpr double kSecond = 1e9, kMilli = 1e6;

struct Network {
  std::uint64_t seed = 1;
  double seconds = 30, forward_delay = 10 * kMilli, reverse_delay = 10 * kMilli;
  double forward_rate = 200, reverse_rate = 100;  // packets/s
  double loss = 0.01;
  double offset = 3 * kSecond, drift = 50e-6;
  // Queues: of mean `queue`, for stretches of time; idle in between.
  double queue = 3 * kMilli, busy = 0.5;
  double step_at = -1, step = 0;   // s, ns
  double slew_at = 1e9, slew = 0;  // s, and what is added to the drift from then on
};

struct Recorded {
  Readings forward, reverse;
};

double theta(const Network& net, double at) {
  const double step = net.step_at >= 0 && at >= net.step_at * kSecond ? net.step : 0;
  return net.offset + net.drift * at + step + net.slew * std::max(0.0, at - net.slew_at * kSecond);
}

// Stretches of 0.2 .. 2 s that are busy or not.
class Queue {
 public:
  Queue(const Network& net, std::mt19937_64& random) : random_(random) {
    std::uniform_real_distribution<double> length(0.2, 2), part(0, 1);
    for (double at = 0; at < net.seconds * kSecond + kSecond;) {
      at += length(random) * kSecond;
      ends_.push_back({at, part(random) < net.busy ? net.queue * (0.2 + part(random)) : 0});
    }
  }
  double wait(double at) {
    const auto now =
        std::lower_bound(ends_.begin(), ends_.end(), at,
                         [](const auto& end, double time) { return end.first < time; });
    const double mean = now == ends_.end() ? 0 : now->second;
    const double jitter = std::exponential_distribution<double>(1 / (5e3))(random_);
    return jitter + (mean > 0 ? std::exponential_distribution<double>(1 / mean)(random_) : 0);
  }

 private:
  std::mt19937_64& random_;
  std::vector<std::pair<double, double>> ends_;
};

Readings readings(const Network& net, std::mt19937_64& random, bool reverse) {
  Queue queue(net, random);
  Readings list;
  std::exponential_distribution<double> gap(reverse ? net.reverse_rate : net.forward_rate);
  std::uniform_real_distribution<double> part(0, 1);
  for (double at = gap(random) * kSecond; at < net.seconds * kSecond; at += gap(random) * kSecond) {
    if (part(random) < net.loss) continue;
    const double delay = (reverse ? net.reverse_delay : net.forward_delay) + queue.wait(at);
    // As the first clock has it: sent then, or arrived then.
    const double there = reverse ? at : at + delay;
    const double ahead = theta(net, there);
    list.push_back({reverse ? at + delay : at, reverse ? delay - ahead : delay + ahead});
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return list;
}

Recorded record(const Network& net) {
  std::mt19937_64 random(net.seed);
  Recorded recorded;
  recorded.forward = readings(net, random, false);
  recorded.reverse = readings(net, random, true);
  return recorded;
}

ClockCourse follow(const Network& net) {
  const Recorded recorded = record(net);
  return follow_clock(recorded.forward, recorded.reverse, kSecond / 10);
}

// Worst of all stretches, beyond the stated error; not positive: within.
double beyond(const Network& net, const ClockCourse& course) {
  double worst = -1e18;
  for (const ClockFit& fit : course.stretches) {
    if (!fit.known) continue;
    for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      const double at = fit.begin + part * (fit.end - fit.begin);
      worst = std::max(worst, std::abs(fit.theta(at) - theta(net, at)) - fit.error);
    }
    worst = std::max(worst, (std::abs(fit.drift - net.drift) - fit.drift_error) * kSecond);
    worst = std::max(worst, (net.drift - fit.drift_high) * kSecond);
    worst = std::max(worst, (fit.drift_low - net.drift) * kSecond);
  }
  return worst;
}

// Over many seeds.
struct Tried {
  std::size_t known = 0, whole = 0, steps = 0, right_steps = 0, certain = 0;
  double beyond = -1e18, error = 0, drift_error = 0;
};

Tried try_seeds(Network net, std::uint64_t seeds = 200) {
  Tried tried;
  for (net.seed = 1; net.seed <= seeds; ++net.seed) {
    const ClockCourse course = follow(net);
    tried.known += !course.stretches.empty() && course.unknown() <= 0;
    tried.whole += course.stretches.size() == 1;
    tried.beyond = std::max(tried.beyond, beyond(net, course));
    for (const ClockFit& fit : course.stretches) {
      tried.error = std::max(tried.error, fit.error);
      tried.drift_error = std::max(tried.drift_error, fit.drift_error);
    }
    for (const ClockStep& step : course.steps) {
      ++tried.steps;
      tried.certain += step.certain;
      tried.right_steps += net.step_at * kSecond >= step.from && net.step_at * kSecond <= step.to &&
                           std::abs(step.by - net.step) <= step.error;
    }
  }
  return tried;
}

}  // namespace

TEST_CASE("3 s and 50 ppm are found within the stated error, whatever the queues") {
  Network net;
  double most_error = 10.6 * kMilli, most_drift_error = 2e-6;
  SECTION("half busy") {}
  SECTION("mostly busy, 10 ms") {
    net.busy = 0.9;
    net.queue = 10 * kMilli;
    most_error = 11.5 * kMilli;
    most_drift_error = 15e-6;
  }
  SECTION("always busy, 10 ms") {
    net.busy = 1;
    net.queue = 10 * kMilli;
    most_error = 11.5 * kMilli;
    most_drift_error = 15e-6;
  }
  SECTION("one way 30 times as long as the other") {
    net.forward_delay = 1 * kMilli;
    net.reverse_delay = 30 * kMilli;
    most_error = 16.5 * kMilli;
  }
  SECTION("a third is lost") {
    net.loss = 0.33;
    most_drift_error = 4e-6;
  }
  SECTION("a link of 20 us") {
    net.forward_delay = net.reverse_delay = 20e3;
    net.queue = 100e3;
    most_error = 30e3;
  }
  SECTION("hours apart, -80 ppm") {
    net.offset = -7200 * kSecond;
    net.drift = -80e-6;
  }
  const Tried tried = try_seeds(net);
  CHECK(tried.known == 200);
  CHECK(tried.whole == 200);
  CHECK(tried.steps == 0);
  CHECK(tried.beyond <= 0);
  CHECK(tried.error < most_error);
  CHECK(tried.drift_error < most_drift_error);
}

TEST_CASE("few packets bound little, and nothing wrongly") {
  Network net;
  SECTION("3 and 2 a second, for 2 s") {
    net.forward_rate = 3;
    net.reverse_rate = 2;
    net.seconds = 2;
  }
  SECTION("3 and 2 a second, for 10 s") {
    net.forward_rate = 3;
    net.reverse_rate = 2;
    net.seconds = 10;
  }
  SECTION("half a second") {
    net.seconds = 0.5;
  }
  const Tried tried = try_seeds(net);
  CHECK(tried.beyond <= 0);
  CHECK(tried.known > 190);
  CHECK(tried.steps == 0);
  CHECK(tried.error < 20 * kMilli);
}

TEST_CASE("a clock that steps is found out, not smeared") {
  Network net;
  net.step_at = 12.345;
  bool certain = true;
  double most_error = 10.8 * kMilli;
  SECTION("forward, by 500 ms") {
    net.step = 500 * kMilli;
  }
  SECTION("back, by 1 s") {
    net.step = -1 * kSecond;
  }
  SECTION("by 25 ms, more than a round trip") {
    net.step = 25 * kMilli;
  }
  SECTION("by 4 ms, which delays could explain") {
    net.step = 4 * kMilli;
    certain = false;
  }
  SECTION("under queues of 10 ms") {
    net.busy = 0.9;
    net.queue = 10 * kMilli;
    net.step = 500 * kMilli;
    most_error = 11.5 * kMilli;
  }
  const Tried tried = try_seeds(net, 100);
  CHECK(tried.beyond <= 0);
  CHECK(tried.steps == 100);
  CHECK(tried.right_steps == 100);
  CHECK(tried.certain == (certain ? 100u : 0u));
  CHECK(tried.error < most_error);
}

TEST_CASE("a clock that is slewed shows as stretches of another drift, and as no step") {
  Network net;
  net.slew_at = 12;
  net.slew = -500e-6;
  std::size_t stretches = 0;
  for (net.seed = 1; net.seed <= 50; ++net.seed) {
    const ClockCourse course = follow(net);
    stretches += course.stretches.size();
    CHECK(course.steps.empty());
    CHECK(course.unknown() <= 0);
    for (const ClockFit& fit : course.stretches) {
      for (const double at : {fit.begin, (fit.begin + fit.end) / 2, fit.end})
        CHECK(std::abs(fit.theta(at) - theta(net, at)) <= fit.error);
      CHECK(fit.error < 11 * kMilli);
    }
  }
  CHECK(stretches >= 100);
}

TEST_CASE("what only one way shows bounds nothing") {
  const Recorded recorded = record({});
  CHECK(follow_clock(recorded.forward, {}, kSecond / 10).stretches.empty());
  CHECK(follow_clock({}, recorded.reverse, kSecond / 10).stretches.empty());
}

TEST_CASE("a packet joined with the wrong copy is left out") {
  Network net;
  Recorded recorded = record(net);
  recorded.forward[recorded.forward.size() / 3].delay -= 200 * kMilli;
  recorded.reverse[recorded.reverse.size() / 2].delay -= 15 * kMilli;
  const ClockCourse course = follow_clock(recorded.forward, recorded.reverse, kSecond / 10);
  CHECK(beyond(net, course) <= 0);
  REQUIRE(course.stretches.size() == 1);
  CHECK(course.stretches[0].known);
  CHECK(course.stretches[0].strays == 2);
}

TEST_CASE("no times or delays are too wild") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> wild(-2e19, 2e19);
  for (int round = 0; round < 50; ++round) {
    Recorded recorded = round % 2 ? record({}) : Recorded{};
    for (int i = 0; i < 40; ++i) {
      recorded.forward.push_back({wild(random), wild(random)});
      recorded.reverse.push_back({wild(random), wild(random)});
    }
    for (Readings* way : {&recorded.forward, &recorded.reverse}) {
      std::sort(way->begin(), way->end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    }
    const ClockCourse course = follow_clock(recorded.forward, recorded.reverse, kSecond / 10);
    CHECK(course.stretches.size() <= 64);
    for (const ClockFit& fit : course.stretches) CHECK(std::isfinite(fit.offset));
  }
}
