// SPDX-License-Identifier: Apache-2.0
// Which applications an archive takes, and what of them.
#include <catch2/catch.hpp>

#include "app/applications.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::app;
using namespace fieldline::test;

namespace {

struct Scene {
  Applications applications;
  Sender sender;
  sense::Trust trust = sense::Trust::parse(sender.user.line("ops@site-a"));

  explicit Scene(const ApplicationLimits& limits = {}) : applications(limits) {}
  stream::ProducerHello hello() const {
    stream::ProducerHello hello;
    hello.key = stream::fingerprint_of_key(sender.grant.run_key);
    hello.session = stream::session_of_key(hello.key);
    hello.name = "a";
    const Bytes grant = sense::encode(sender.grant);
    const auto signature = sender.user.sign_grant(grant);
    hello.proof = stream::RunProof{grant, Bytes(signature.begin(), signature.end())};
    return hello;
  }
  Result<archive::Owner> admit(const stream::ProducerHello& hello) {
    return applications.admit(hello, trust, kNow);
  }
  Result<void> judge(const RunId& session, std::uint8_t type, const RunId& run,
                     std::uint64_t sequence = 1) {
    stream::Item item;
    item.run = run;
    item.sequence = sequence;
    return applications.judge(session, type, item);
  }
  std::uint64_t told(const char* what) const { return applications.status()[what]; }
};

}  // namespace

TEST_CASE("an application is admitted by the run's key and the grant that names it") {
  Scene scene;
  auto owner = scene.admit(scene.hello());
  REQUIRE(owner.has_value());
  CHECK(owner->run == scene.sender.grant.run);
  CHECK(owner->principal == "ops@site-a");
  CHECK(scene.told("refused_grants") == 0);
}

TEST_CASE("GrantsSeenOnTheWireOpenSessions: without the run's key a grant is nothing") {
  Scene scene;
  auto stolen = scene.hello();
  stolen.key.fill(7);
  stolen.session = stream::session_of_key(stolen.key);
  CHECK(scene.admit(stolen).error().code == Code::denied);
  stolen = scene.hello();
  stolen.session.bytes[0] ^= 1;  // a second session, for a second count of events
  CHECK(scene.admit(stolen).error().code == Code::invalid);
  scene.trust = {};
  CHECK(scene.admit(scene.hello()).error().code == Code::denied);
  CHECK(scene.told("refused_grants") == 3);
}

TEST_CASE("an application writes events of its run, so many, and nothing else; others write none") {
  Scene scene({.connections = 4, .events = 10});
  const auto hello = scene.hello();
  const RunId run = scene.admit(hello).value().run, sensor = run_id(99);
  scene.applications.opened(hello.session, run);
  CHECK(scene.judge(hello.session, FL_FRAME_APPLICATION_EVENT, run).has_value());
  CHECK(scene.judge(hello.session, FL_FRAME_APPLICATION_EVENT, run, 10).has_value());
  CHECK(scene.judge(hello.session, FL_FRAME_APPLICATION_EVENT, run, 11).error().code ==
        Code::exhausted);
  CHECK(scene.judge(hello.session, FL_FRAME_APPLICATION_EVENT, run_id(2)).error().code ==
        Code::denied);
  for (int type : {FL_FRAME_HEADER_RECORDS, FL_FRAME_EVENT_RECORDS, FL_FRAME_ACTIVATION,
                   FL_FRAME_FINAL_COUNTS, FL_FRAME_CONFIGURATION})
    CHECK(scene.judge(hello.session, static_cast<std::uint8_t>(type), run).error().code ==
          Code::denied);
  CHECK(scene.applications.refuse_status(hello.session));
  CHECK_FALSE(scene.applications.refuse_status(sensor));
  CHECK(scene.judge(sensor, FL_FRAME_HEADER_RECORDS, run).has_value());
  CHECK(scene.judge(sensor, FL_FRAME_APPLICATION_EVENT, run).error().code == Code::denied);
  CHECK(scene.told("events") == 2);
  CHECK(scene.told("refused_items") == 9);
}

TEST_CASE("so many applications at a time; one that comes back is no further one") {
  Scene scene({.connections = 1, .events = 10});
  const auto first = scene.hello();
  scene.applications.opened(first.session, scene.admit(first).value().run);
  CHECK(scene.admit(first).has_value());
  scene.sender = Sender(1, 2);
  scene.sender.grant.run_key = TestKey::from_seed(55).public_key;
  CHECK(scene.admit(scene.hello()).error().code == Code::exhausted);
  scene.applications.closed(first.session);
  CHECK(scene.admit(scene.hello()).has_value());
  scene.applications.set_limits({.connections = 0, .events = 10});
  CHECK(scene.admit(scene.hello()).error().code == Code::exhausted);
}
