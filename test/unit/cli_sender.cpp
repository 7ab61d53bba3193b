// SPDX-License-Identifier: Apache-2.0
#include "cli/sender.h"

#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/run_grant.h"
#include "cli_keys.h"
#include "cli_skip.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

struct Received {
  Bytes bytes;
  Address from;
  int traffic_class = -1;
};

// The next datagram within 5 s that `wanted` accepts.
template <class Wanted>
Received receive(int fd, Wanted&& wanted) {
  SystemClock clock;
  for (auto deadline = clock.monotonic_ns() + 5 * kNanosPerSecond;
       clock.monotonic_ns() < deadline;) {
    pollfd one{fd, POLLIN, 0};
    if (::poll(&one, 1, 100) <= 0) continue;
    Bytes buffer(2048);
    alignas(cmsghdr) char control[128];
    SocketAddress from;
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_name = from.get();
    message.msg_namelen = from.size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = ::recvmsg(fd, &message, 0);
    REQUIRE(n >= 0);
    buffer.resize(static_cast<std::size_t>(n));
    Received got{std::move(buffer), from.address(), -1};
    for (auto* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
      if (at->cmsg_type == IP_TOS && at->cmsg_level == IPPROTO_IP)
        got.traffic_class = *CMSG_DATA(at);
      if (at->cmsg_type == IPV6_TCLASS && at->cmsg_level == IPPROTO_IPV6)
        got.traffic_class = *CMSG_DATA(at);
    }
    if (wanted(got)) return got;
  }
  FAIL("nothing arrived");
  return {};
}

Plan loopback_plan(const char* address) {
  Plan plan;
  plan.protocol = IPPROTO_TCP;
  plan.local = plan.remote = *Address::parse(address);
  plan.pairs = {{0, 5201}, {43122, 80}};
  return plan;
}

RunGrant make_grant(const Plan& plan, const Signer& signer, std::uint64_t now,
                    std::uint64_t length) {
  GrantLimits limits{now, now + length, 96, {}};
  limits.archive[0] = 7;
  auto made = RunGrant::make(plan, limits, signer);
  REQUIRE(made);
  return std::move(*made);
}

std::uint16_t sum_of(ByteView bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i]) << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace

TEST_CASE("What arrives over UDP decodes, verifies, and says what was asked for") {
  KeyFolder folder;
  auto signer = Signer::open(folder.make("key"));
  REQUIRE(signer);
  for (const char* address : {"127.0.0.1", "::1"}) {
    CAPTURE(address);
    auto plan = loopback_plan(address);
    auto at = socket_address(plan.remote, 0);
    Fd listener(::socket(at.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listener.get(), at.get(), at.size) == 0);
    int on = 1;
    bool v4 = plan.remote.is_v4();
    ::setsockopt(listener.get(), v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
                 v4 ? IP_RECVTOS : IPV6_RECVTCLASS, &on, sizeof on);
    REQUIRE(::getsockname(listener.get(), at.get(), &at.size) == 0);

    std::uint64_t now = SystemClock().utc_ns();
    auto grant = make_grant(plan, *signer, now, 60 * kNanosPerSecond);
    auto sender = Sender::open(plan.local, plan.remote, {false, at.port(), 0x28});
    REQUIRE(sender);
    REQUIRE(sender->send(grant.pulse(now)));
    auto got = receive(listener.get(), [](const Received&) { return true; });
    CHECK(got.from == plan.local);
    CHECK(got.traffic_class == 0x28);
    CHECK(got.bytes.size() <= FL_TRIGGER_MAX);

    auto trigger = sense::decode_trigger(got.bytes);
    REQUIRE(trigger);
    CHECK(sense::verify_grant(signer->key(), *trigger));
    CHECK(sense::verify_pulse(*trigger));
    CHECK(trigger->grant.run == grant.run());
    CHECK(trigger->grant.protocol == IPPROTO_TCP);
    CHECK(trigger->grant.pairs == plan.pairs);
    CHECK(trigger->grant.host_a == Prefix{plan.local, 128});
    CHECK(trigger->grant.not_after_ns == now + 60 * kNanosPerSecond);
    CHECK(trigger->grant.snaplen == 96);
    CHECK(trigger->grant.archive[0] == 7);
    CHECK(trigger->grant.key_id == sense::key_id_of(signer->key()));
    CHECK(trigger->pulse.sequence == 1);
    CHECK(trigger->pulse.expiry_ns == now + kPulseLife);
  }
}

TEST_CASE("A host that refuses the port does not stop the next pulse") {
  auto loopback = *Address::parse("127.0.0.1");
  auto at = socket_address(loopback, 0);
  Fd listener(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(listener.get(), at.get(), at.size) == 0);
  REQUIRE(::getsockname(listener.get(), at.get(), &at.size) == 0);
  listener.reset();
  auto sender = Sender::open(loopback, loopback, {false, at.port(), 0});
  REQUIRE(sender);
  Bytes any(64, 1);
  for (int i = 0; i < 10; ++i) REQUIRE(sender->send(any));
}

TEST_CASE("An address of another host is no source") {
  auto sender = Sender::open(*Address::parse("192.0.2.1"), *Address::parse("127.0.0.1"), {});
  REQUIRE_FALSE(sender);
  CHECK_THAT(sender.error().context, Catch::Contains("192.0.2.1"));
}

TEST_CASE("Pulses rise, end with the grant, and the last one ends the run") {
  KeyFolder folder;
  auto signer = Signer::open(folder.make("key"));
  REQUIRE(signer);
  std::uint64_t now = SystemClock().utc_ns();
  auto grant = make_grant(loopback_plan("127.0.0.1"), *signer, now, 15 * kNanosPerSecond);
  auto first = sense::decode_trigger(grant.pulse(now)),
       late = sense::decode_trigger(grant.pulse(now + 9 * kNanosPerSecond));
  auto end = sense::decode_trigger(grant.ending(now + 9 * kNanosPerSecond));
  auto again = sense::decode_trigger(grant.ending(now + 9 * kNanosPerSecond));
  REQUIRE((first && late && end && again));
  CHECK(late->pulse.expiry_ns == now + 15 * kNanosPerSecond);
  CHECK(first->grant_bytes == again->grant_bytes);
  CHECK(first->grant_signature == again->grant_signature);  // signed once
  CHECK(first->pulse.sequence == 1);
  CHECK(late->pulse.sequence == 2);
  CHECK(end->pulse.sequence == 3);
  CHECK(again->pulse.sequence == 4);
  CHECK_FALSE(late->pulse.ends_run());
  CHECK(end->pulse.ends_run());
  CHECK((sense::verify_pulse(*end) && sense::verify_pulse(*again)));
  auto other = make_grant(loopback_plan("127.0.0.1"), *signer, now, 15 * kNanosPerSecond);
  CHECK(other.run() != grant.run());
  CHECK(other.grant().run_key != grant.grant().run_key);
}

TEST_CASE("An echo request carries the trigger, and its reply brings the same bytes back") {
  if (::geteuid() != 0) return skip_test("ICMP on a raw socket needs root");
  KeyFolder folder;
  auto signer = Signer::open(folder.make("key"));
  REQUIRE(signer);
  for (const char* address : {"127.0.0.1", "::1"}) {
    CAPTURE(address);
    auto plan = loopback_plan(address);
    bool v4 = plan.remote.is_v4();
    Fd raw(::socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
                    v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}));
    REQUIRE(raw);
    std::uint64_t now = SystemClock().utc_ns();
    auto grant = make_grant(plan, *signer, now, 60 * kNanosPerSecond);
    auto sender = Sender::open(plan.local, plan.remote, {true, 0, 0});
    REQUIRE(sender);
    Bytes trigger = grant.pulse(now);
    REQUIRE(sender->send(trigger));
    std::size_t ip = v4 ? sizeof(iphdr) : 0;
    for (int type : v4 ? std::vector<int>{ICMP_ECHO, ICMP_ECHOREPLY} : std::vector<int>{128, 129}) {
      CAPTURE(type);
      auto got = receive(raw.get(), [&](const Received& one) {
        bool ours = one.bytes.size() == ip + 8 + trigger.size() && one.bytes[ip] == type;
        return ours && std::equal(trigger.begin(), trigger.end(),
                                  one.bytes.end() - static_cast<long>(trigger.size()));
      });
      if (v4) CHECK(sum_of(ByteView(got.bytes).subspan(ip)) == 0xffff);
      auto decoded = sense::decode_trigger(ByteView(got.bytes).subspan(ip + 8));
      REQUIRE(decoded);
      CHECK(sense::verify_grant(signer->key(), *decoded));
    }
  }
}
