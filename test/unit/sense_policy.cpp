// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "proto/digest.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::kSecond;

namespace {

Grant grant_between(const std::string& a, const std::string& b) {
  Grant grant = test::Sender().grant;
  grant.host_a = test::prefix(a);
  grant.host_b = test::prefix(b);
  return grant;
}

Rule rule_for(std::vector<std::string> principals, const std::vector<std::string>& hosts) {
  Rule rule;
  rule.name = "a rule";
  rule.principals = std::move(principals);
  rule.min_prefix_v4 = rule.min_prefix_v6 = 0;
  for (const auto& host : hosts) rule.hosts.push_back(test::prefix(host));
  return rule;
}

std::string answer(const Policy& policy, const Grant& grant,
                   const std::vector<std::string>& principals = {"ops"}) {
  auto decided = decide(policy, principals, grant);
  if (auto* refusal = std::get_if<Refusal>(&decided)) {
    CHECK(refusal->principal == principals.front());
    return name_of(refusal->reason);
  }
  return "allowed";
}

}  // namespace

TEST_CASE("an empty policy denies") {
  CHECK(answer({}, grant_between("10.0.0.1", "10.0.3.2")) == "denied");
  CHECK_FALSE(could_allow({}, {"ops"}, grant_between("10.0.0.1", "10.0.3.2")));
}

TEST_CASE("both hosts must lie inside the allow rule's prefixes, whole") {
  Policy policy;
  policy.allow = {rule_for({}, {"10.0.0.0/16", "2001:db8::/32"})};
  CHECK(answer(policy, grant_between("10.0.0.1", "10.0.3.2")) == "allowed");
  CHECK(answer(policy, grant_between("10.0.0.1", "10.1.3.2")) == "denied");
  CHECK(answer(policy, grant_between("10.1.0.1", "10.0.3.2")) == "denied");
  CHECK(answer(policy, grant_between("10.0.0.0/16", "10.0.0.0/24")) == "allowed");
  CHECK(answer(policy, grant_between("10.0.0.0/15", "10.0.0.0/24")) == "denied");
  CHECK(answer(policy, grant_between("::/0", "::/0")) == "denied");
  CHECK(answer(policy, grant_between("2001:db8::1", "2001:db8:1::/48")) == "allowed");
}

TEST_CASE("deny comes first, in both directions, and a wider host does not slip past it") {
  Policy policy;
  policy.deny = {rule_for({}, {"10.9.0.0/16"})};
  policy.allow = {rule_for({}, {})};
  CHECK(answer(policy, grant_between("10.0.0.1", "10.0.3.2")) == "allowed");
  CHECK(answer(policy, grant_between("10.9.0.1", "10.0.3.2")) == "denied");
  CHECK(answer(policy, grant_between("10.0.3.2", "10.9.0.1")) == "denied");
  CHECK(answer(policy, grant_between("10.0.0.0/8", "192.0.2.1")) == "denied");
  CHECK(answer(policy, grant_between("192.0.2.1", "0.0.0.0/0")) == "denied");
  CHECK(answer(policy, grant_between("::/0", "192.0.2.1")) == "denied");
}

TEST_CASE("a v4-mapped spelling is the same host to deny and allow alike") {
  Policy policy;
  policy.deny = {rule_for({}, {"::ffff:10.9.0.0/16"})};
  policy.allow = {rule_for({}, {"::/0"})};
  CHECK(answer(policy, grant_between("10.9.0.1", "10.0.0.1")) == "denied");
  CHECK(answer(policy, grant_between("::ffff:10.9.0.1", "10.0.0.1")) == "denied");
  CHECK(answer(policy, grant_between("10.8.0.1", "10.0.0.1")) == "allowed");
}

TEST_CASE("rules look at every principal of the key") {
  Policy policy;
  policy.deny = {rule_for({"eve*"}, {})};
  policy.allow = {rule_for({"ops@*", "noc"}, {})};
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  CHECK(answer(policy, grant, {"ops@site-a"}) == "allowed");
  CHECK(answer(policy, grant, {"x", "noc"}) == "allowed");
  CHECK(answer(policy, grant, {"x"}) == "denied");
  CHECK(answer(policy, grant, {"noc", "eve@site-b"}) == "denied");
  CHECK(could_allow(policy, {"x", "noc"}, grant));
  CHECK_FALSE(could_allow(policy, {"x"}, grant));
}

TEST_CASE("the first allow that matches decides, with its limits") {
  Policy policy;
  policy.allow = {rule_for({"noc"}, {}), rule_for({"ops"}, {}), rule_for({}, {})};
  policy.allow[1].name = "operators";
  policy.allow[1].max_duration_ns = 60 * kSecond;
  policy.allow[1].max_snaplen = 128;
  policy.allow[2].max_snaplen = 512;
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  grant.snaplen = 200;
  auto decision = std::get<Decision>(decide(policy, {"ops"}, grant));
  CHECK(decision.rule == "operators");
  CHECK(decision.not_after_ns == kNow + 60 * kSecond);
  CHECK(decision.snaplen == 128);
  CHECK(decision.clamped ==
        std::vector<std::string>{"duration 10 min to 1 min", "snaplen 200 to 128"});

  grant.snaplen = 100;
  grant.not_after_ns = kNow + 30 * kSecond;
  decision = std::get<Decision>(decide(policy, {"ops"}, grant));
  CHECK(decision.clamped.empty());
  CHECK(decision.not_after_ns == grant.not_after_ns);
  CHECK(decision.snaplen == 100);
}

TEST_CASE("clamping holds at the ends of the range") {
  Policy policy;
  policy.allow = {rule_for({}, {})};
  policy.allow[0].max_duration_ns = UINT64_MAX;
  policy.allow[0].max_snaplen = 65535;
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  grant.not_after_ns = UINT64_MAX;
  grant.snaplen = 65535;
  auto decision = std::get<Decision>(decide(policy, {"ops"}, grant));
  CHECK(decision.not_after_ns == UINT64_MAX);
  CHECK(decision.snaplen == FL_SNAPLEN_MAX);
  policy.allow[0].max_duration_ns = 7200 * kSecond;
  policy.allow[0].max_snaplen = 0;
  decision = std::get<Decision>(decide(policy, {"ops"}, grant));
  CHECK(decision.not_after_ns == kNow + 7200 * kSecond);
  CHECK(decision.snaplen == FL_SNAPLEN_HEADERS);
  CHECK(decision.clamped.back() == "snaplen 65535 to headers");
}

TEST_CASE("a grant selects the sensor's own archive or one that the rule lists") {
  Policy policy;
  policy.allow = {rule_for({}, {})};
  Fingerprint listed, other;
  listed.fill(1);
  other.fill(2);
  policy.allow[0].archives = {listed};
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  CHECK(answer(policy, grant) == "allowed");
  grant.archive = listed;
  CHECK(std::get<Decision>(decide(policy, {"ops"}, grant)).archive == listed);
  grant.archive = other;
  CHECK(answer(policy, grant) == "unknown_archive");
  policy.allow[0].archives.clear();
  grant.archive = listed;
  CHECK(answer(policy, grant) == "unknown_archive");
}

TEST_CASE("a rule gives hosts alone unless it says how wide a network may be") {
  Policy policy;
  policy.allow = {Rule{}};
  CHECK(answer(policy, grant_between("10.0.0.1", "10.0.3.2")) == "allowed");
  CHECK(answer(policy, grant_between("10.0.0.0/31", "10.0.3.2")) == "denied");
  CHECK(answer(policy, grant_between("10.0.0.1", "2001:db8::/127")) == "denied");

  policy.allow[0].min_prefix_v4 = 24;
  policy.allow[0].min_prefix_v6 = 64;
  CHECK(answer(policy, grant_between("10.0.0.0/24", "10.0.3.0/24")) == "allowed");
  CHECK(answer(policy, grant_between("10.0.0.0/23", "10.0.3.0/24")) == "denied");
  CHECK(answer(policy, grant_between("10.0.0.0/24", "10.0.2.0/23")) == "denied");
  CHECK(answer(policy, grant_between("2001:db8::/64", "2001:db8:1::1")) == "allowed");
  CHECK(answer(policy, grant_between("2001:db8::/63", "2001:db8:1::1")) == "denied");
  // What is wide enough for IPv6 is not the way to all of IPv4.
  policy.allow[0].min_prefix_v6 = 0;
  CHECK(answer(policy, grant_between("::/0", "2001:db8::1")) == "denied");
  CHECK(answer(policy, grant_between("0.0.0.0/0", "10.0.3.2")) == "denied");
  CHECK(answer(policy, grant_between("8000::/1", "2001:db8::1")) == "allowed");
  policy.allow[0].min_prefix_v4 = 0;
  CHECK(answer(policy, grant_between("::/0", "2001:db8::1")) == "allowed");

  auto refused =
      std::get<Refusal>(decide({{}, {Rule{}}}, {"ops"}, grant_between("10.0.0.0/24", "10.0.3.2")));
  CHECK(refused.detail.find("10.0.0.0/24 is wider than its min_prefix_v4 = 32") !=
        std::string::npos);
}

TEST_CASE("a rule says at how many ends the port may be left open") {
  Policy policy;
  policy.allow = {Rule{}};
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  auto asked = [&](AnyPort allowed, std::vector<PortPair> pairs) {
    policy.allow[0].any_port = allowed;
    grant.pairs = std::move(pairs);
    return answer(policy, grant);
  };
  CHECK(asked(AnyPort::both, {{0, 0}}) == "allowed");
  CHECK(asked(AnyPort::one, {{1, 2}, {0, 5201}}) == "allowed");
  CHECK(asked(AnyPort::one, {{0, 5201}, {0, 0}}) == "denied");
  CHECK(asked(AnyPort::none, {{40000, 5201}}) == "allowed");
  CHECK(asked(AnyPort::none, {{40000, 5201}, {40000, 0}}) == "denied");
  for (const int protocol : {IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_ESP}) {
    grant.protocol = static_cast<std::uint8_t>(protocol);
    CHECK(asked(AnyPort::none, {{0, 0}}) == "denied");
  }
  grant.protocol = IPPROTO_ICMP;
  CHECK(asked(AnyPort::none, {{0, 0}}) == "allowed");
}

TEST_CASE("a rule forces a sampling, and tells so") {
  Policy policy;
  policy.allow = {Rule{}};
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  auto decided = [&](std::uint32_t asked, std::uint32_t least) {
    grant.sample_n = asked;
    policy.allow[0].min_sample = least;
    return std::get<Decision>(decide(policy, {"ops"}, grant));
  };
  CHECK(decided(1, 1).sample_bits == 0);
  CHECK(decided(1, 8).sample_bits == 3);
  CHECK(decided(1, 8).clamped == std::vector<std::string>{"every packet to 1 of 8 packets"});
  CHECK(decided(4, 8).clamped == std::vector<std::string>{"1 of 4 packets to 1 of 8 packets"});
  CHECK(decided(64, 8).sample_bits == 6);
  CHECK(decided(64, 8).clamped.empty());
  CHECK(decided(1u << 31, 1).sample_bits == 31);
}

TEST_CASE("a rule may give counters alone; a capture is not made one in silence") {
  Policy policy;
  policy.allow = {Rule{}};
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  CHECK(answer(policy, grant) == "allowed");
  grant.verb = FL_VERB_COUNT;
  auto decision = std::get<Decision>(decide(policy, {"ops"}, grant));
  CHECK(decision.sample_bits == FL_SAMPLE_NONE);
  CHECK(decision.clamped.empty());
  policy.allow[0].count = false;
  CHECK(answer(policy, grant) == "denied");
  policy.allow[0].count = true;
  policy.allow[0].capture = false;
  CHECK(answer(policy, grant) == "allowed");
  grant.verb = FL_VERB_CAPTURE;
  CHECK(answer(policy, grant) == "denied");
}

TEST_CASE("the rights of a rule are read from the file, and what is none is complained of") {
  auto read = [](const std::string& rule) {
    auto root = Settings::parse("[[allow]]\n" + rule, "policy.toml").value();
    Policy policy = read_policy(root);
    auto finished = root.finish();
    return std::pair{policy.allow.at(0), finished ? "" : finished.error().text()};
  };
  auto [plain, none] = read("");
  CHECK(none.empty());
  CHECK(plain.min_prefix_v4 == 32);
  CHECK(plain.min_prefix_v6 == 128);
  CHECK(plain.any_port == AnyPort::both);
  CHECK(plain.min_sample == 1);
  CHECK((plain.capture && plain.count));
  auto [rule, problems] = read(
      "min_prefix_v4 = 24\nmin_prefix_v6 = 64\nany_port = \"one\"\nmin_sample = 16\n"
      "verbs = [\"count\"]\narchives = [\"own\", \"requester\"]\n");
  CHECK(problems.empty());
  CHECK(rule.min_prefix_v4 == 24);
  CHECK(rule.min_prefix_v6 == 64);
  CHECK(rule.any_port == AnyPort::one);
  CHECK(rule.min_sample == 16);
  CHECK_FALSE(rule.capture);
  CHECK(rule.count);
  CHECK(rule.requester_archives);
  CHECK(rule.archives.size() == 1);
  CHECK_FALSE(plain.requester_archives);
  for (const char* wrong :
       {"min_prefix_v4 = 33", "min_prefix_v6 = 129", "any_port = \"two\"", "min_sample = 10",
        "min_sample = 0", "verbs = [\"test\"]", "archives = [\"requesters\"]"}) {
    CAPTURE(wrong);
    CHECK_FALSE(read(wrong).second.empty());
  }
}

TEST_CASE(
    "where the rule lets requesters bring an archive, an unlisted key is theirs, a listed one is "
    "not") {
  Policy policy;
  policy.allow = {rule_for({}, {})};
  Fingerprint listed, other;
  listed.fill(1);
  other.fill(2);
  policy.allow[0].archives = {listed};
  policy.allow[0].requester_archives = true;
  Grant grant = grant_between("10.0.0.1", "10.0.3.2");
  CHECK_FALSE(std::get<Decision>(decide(policy, {"ops"}, grant)).at_requester);
  grant.archive = listed;
  CHECK_FALSE(std::get<Decision>(decide(policy, {"ops"}, grant)).at_requester);
  grant.archive = other;
  const auto decision = std::get<Decision>(decide(policy, {"ops"}, grant));
  CHECK(decision.at_requester);
  CHECK(decision.archive == other);
}
