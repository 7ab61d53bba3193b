// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

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
