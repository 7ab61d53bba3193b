// SPDX-License-Identifier: Apache-2.0
// Event sources that take their time to open and close, beside an io thread that has other work.
#include "app/event_feed.h"

#include <boost/asio/executor_work_guard.hpp>
#include <catch2/catch.hpp>
#include <future>
#include <thread>

namespace fieldline::app {
namespace {

// What the sources of one test went through, in the order of time; the worker writes, too.
struct World {
  std::promise<void> gate;  // opening the module waits for it
  std::shared_future<void> opened = gate.get_future().share();
  std::atomic<bool> module_is_there{true};
  std::atomic<int> opening{0}, open{0}, armed{0}, closed_on_io{0};
  std::thread::id io = std::this_thread::get_id();
};

class FakeModule final : public magnet::EventSource {
 public:
  explicit FakeModule(World& world) : world_(world) { ++world_.open; }
  ~FakeModule() override {
    --world_.open;
    if (std::this_thread::get_id() == world_.io) ++world_.closed_on_io;
  }
  Result<std::size_t> drain(const OnBatch&) override { return std::size_t{1}; }
  const char* kind() const override { return "module"; }
  std::vector<std::string> absent() const override { return {}; }
  Result<magnet::Accounting> accounting() const override { return magnet::Accounting{7, 0, 0}; }

 private:
  World& world_;
};

class FakeEbpf final : public source::HostEvents {
 public:
  explicit FakeEbpf(World& world) : world_(world) {}
  Result<std::size_t> drain(const OnBatch&) override { return std::size_t{2}; }
  const char* kind() const override { return "ebpf"; }
  std::vector<std::string> absent() const override { return {"TCP_SEND"}; }
  Result<magnet::Accounting> accounting() const override { return magnet::Accounting{}; }
  Result<void> apply(const std::vector<source::FlowEntry>& desired) override {
    entries = desired.size();
    return {};
  }
  Result<void> arm() override {
    if (std::this_thread::get_id() == world_.io) return fail(Code::io, "on the io thread");
    ++world_.armed;
    return {};
  }
  void disarm() override { --world_.armed; }
  Result<void> quiesce() override { return {}; }

  std::size_t entries = 0;

 private:
  World& world_;
};

struct Fixture {
  World world;
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  std::shared_ptr<FakeEbpf> ebpf;
  std::unique_ptr<Worker> worker = std::make_unique<Worker>(io);
  std::unique_ptr<EventFeed> feed;
  std::vector<std::string> told;

  explicit Fixture(const std::string& wanted = "auto") {
    world.gate.set_value();  // choose() opens as well
    EventOpeners openers;
    openers.wanted = wanted;
    openers.module = [this]() -> Result<EventOpeners::Module> {
      ++world.opening;
      world.opened.wait();
      if (!world.module_is_there) return fail(Code::exhausted, "somebody else has them");
      return EventOpeners::Module{std::make_shared<FakeModule>(world), 3};
    };
    openers.ebpf = [this]() -> Result<std::shared_ptr<source::HostEvents>> {
      ebpf = std::make_shared<FakeEbpf>(world);
      return std::shared_ptr<source::HostEvents>(ebpf);
    };
    auto chosen = EventFeed::choose(*worker, openers);
    REQUIRE(chosen.has_value());
    feed = std::move(*chosen);
    world.closed_on_io = 0;
  }
  void hold() {
    world.gate = {};
    world.opened = world.gate.get_future().share();
  }
  void arm(const std::string& name) {
    feed->arm([this, name](const Result<void>& armed) {
      told.push_back(name + (armed ? "" : ": " + armed.error().text()));
    });
  }
  // Until `done`, or ten seconds have passed.
  template <class Done>
  bool run_until(Done done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < end)
      io.run_one_for(std::chrono::milliseconds(10));
    return done();
  }
  std::string state() const { return feed->state(); }
};

const std::vector<source::FlowEntry> kEntries(2);

}  // namespace

TEST_CASE("feed: devices that take their time to open do not hold up the io thread") {
  Fixture f;
  f.hold();
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("first");
  CHECK(f.state() == "arming");
  int ticks = 0;
  for (int i = 0; i < 5; ++i) boost::asio::post(f.io, [&] { ++ticks; });
  CHECK(f.run_until([&] { return ticks == 5 && f.world.opening == 2; }));
  CHECK(f.told.empty());
  CHECK(*f.feed->drain({}) == 0);
  f.arm("second");
  f.world.gate.set_value();
  REQUIRE(f.run_until([&] { return !f.told.empty(); }));
  CHECK(f.told == std::vector<std::string>{"first", "second"});
  CHECK(f.state() == "armed");
  CHECK(f.feed->skipped() == 6);
  CHECK(*f.feed->drain({}) == 1);
  f.arm("third");
  CHECK(f.told.size() == 3);
}

TEST_CASE("feed: a run that ends while the devices are being opened leaves none open") {
  Fixture f;
  f.hold();
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("run");
  bool quiet = false;
  f.feed->quiesce([&](const Result<void>&) {
    quiet = true;
    CHECK(f.told.size() == 1);  // armed before it ends
  });
  REQUIRE(f.feed->apply({}).has_value());
  f.world.gate.set_value();
  REQUIRE(f.run_until([&] { return quiet && f.state() == "idle"; }));
  CHECK(f.world.open == 0);
  CHECK(f.world.closed_on_io == 0);
  CHECK(f.feed->accounting().recorded == 7);
}

TEST_CASE("feed: a run that begins while they are being closed has them opened again") {
  Fixture f;
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("one");
  REQUIRE(f.run_until([&] { return f.told.size() == 1; }));
  REQUIRE(f.feed->apply({}).has_value());
  CHECK(f.state() == "disarming");
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("two");
  bool in_order = false;
  f.feed->quiesce([&](const Result<void>&) { in_order = f.told.size() == 2; });
  REQUIRE(f.run_until([&] { return in_order; }));
  CHECK(f.state() == "armed");
  CHECK(f.world.open == 1);
}

TEST_CASE("feed: where the devices are taken eBPF stands in until no run is left") {
  Fixture f;
  f.world.module_is_there = false;
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("run");
  REQUIRE(f.run_until([&] { return !f.told.empty(); }));
  CHECK(f.told[0] == "run");
  CHECK(f.feed->source() == FL_EVENT_EBPF);
  CHECK(f.feed->why() == "somebody else has them");
  CHECK(f.ebpf->entries == 2);
  CHECK(f.world.armed == 1);
  const std::weak_ptr<FakeEbpf> stood_in = std::exchange(f.ebpf, nullptr);
  REQUIRE(f.feed->apply({}).has_value());
  REQUIRE(f.run_until([&] { return f.state() == "idle"; }));
  CHECK(f.world.armed == 0);
  CHECK(stood_in.expired());
  CHECK(std::string(f.feed->kind()) == "module");
}

TEST_CASE("feed: entries that were renewed while eBPF was being loaded are the ones it has") {
  Fixture f;
  f.world.module_is_there = false;
  f.hold();
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("run");
  REQUIRE(f.feed->apply(std::vector<source::FlowEntry>(4)).has_value());
  f.world.gate.set_value();
  REQUIRE(f.run_until([&] { return !f.told.empty(); }));
  CHECK(f.ebpf->entries == 4);
}

TEST_CASE("feed: what cannot be armed is told to each run, and tried again for the next") {
  Fixture f("module");
  f.world.module_is_there = false;
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("one");
  f.arm("two");
  REQUIRE(f.run_until([&] { return f.told.size() == 2; }));
  CHECK(f.told[1] == "two: somebody else has them");
  CHECK(f.state() == "idle");
  f.world.module_is_there = true;
  f.arm("three");
  REQUIRE(f.run_until([&] { return f.told.size() == 3; }));
  CHECK(f.told[2] == "three");
}

TEST_CASE(
    "feed: a daemon that ends while devices are being opened waits for them and closes them") {
  Fixture f;
  f.hold();
  REQUIRE(f.feed->apply(kEntries).has_value());
  f.arm("run");
  REQUIRE(f.run_until([&] { return f.world.opening == 2; }));
  std::thread later([&] { f.world.gate.set_value(); });
  f.feed.reset();
  f.worker.reset();
  later.join();
  f.io.stop();
  CHECK(f.told.empty());
}

}  // namespace fieldline::app
