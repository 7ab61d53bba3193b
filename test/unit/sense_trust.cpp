// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "sense/signer_options.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kSecond;
using test::TestKey;

namespace {

const TestKey kKey = TestKey::from_seed(1);
const std::string kBase64 = to_base64(public_key_blob(kKey.public_key));

std::string refusal_of(const std::string& line) {
  Trust trust = Trust::parse(line);
  if (!trust.signers.empty() || trust.refused.size() != 1) return "";
  return trust.refused[0].reason;
}

bool is_refused_for(const std::string& line, const std::string& why) {
  INFO(line << " -> " << refusal_of(line));
  return refusal_of(line).find(why) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "comments and blank lines are passed over, refused lines are named, the rest stays in force") {
  Trust trust =
      Trust::parse("# who may sign\n\n  \t\n" + kKey.line("ops@site-a,ops") + "bad line\n" + "\t" +
                   TestKey::from_seed(2).line("eve") + "x ssh-rsa AAAA\r\n" + "last ssh-ed25519 " +
                   to_base64(public_key_blob(TestKey::from_seed(3).public_key)) + "\r");
  REQUIRE(trust.signers.size() == 3);
  CHECK(trust.signers[0].principals == std::vector<std::string>{"ops@site-a", "ops"});
  CHECK(trust.signers[0].line == 4);
  CHECK(trust.signers[1].principals[0] == "eve");
  CHECK(trust.signers[2].principals[0] == "last");
  REQUIRE(trust.refused.size() == 2);
  CHECK(trust.refused[0].line == 5);
  CHECK(trust.refused[1].line == 7);
}

TEST_CASE("principals may stand in quotes") {
  Trust trust = Trust::parse("\"an operator,ops\" ssh-ed25519 " + kBase64);
  REQUIRE(trust.signers.size() == 1);
  CHECK(trust.signers[0].principals == std::vector<std::string>{"an operator", "ops"});
}

TEST_CASE("options stand in quotes, in any case and order") {
  Trust trust = Trust::parse(
      "ops Namespaces=\"a b,grant@*\",VALID-AFTER=\"20260101Z\",valid-before=\"20270101Z\" "
      "ssh-ed25519 " +
      kBase64);
  REQUIRE(trust.signers.size() == 1);
  const Signer& signer = trust.signers[0];
  CHECK(signer.namespaces == std::vector<std::string>{"a b", "grant@*"});
  CHECK(signer.valid_after_ns == 1767225600 * kSecond);
  CHECK(signer.valid_before_ns == 1798761600 * kSecond);
  CHECK(signer.allows_namespace("a b"));
  CHECK(signer.allows_namespace(FL_GRANT_NAMESPACE));
  CHECK_FALSE(signer.allows_namespace("query@fieldline"));
  CHECK(trust.find(kKey.public_key, FL_GRANT_NAMESPACE, 1767225600 * kSecond) != nullptr);
  CHECK(trust.find(kKey.public_key, FL_GRANT_NAMESPACE, 1767225600 * kSecond - 1) == nullptr);
  CHECK(trust.find(kKey.public_key, FL_GRANT_NAMESPACE, 1798761600 * kSecond) != nullptr);
  CHECK(trust.find(kKey.public_key, FL_GRANT_NAMESPACE, 1798761600 * kSecond + 1) == nullptr);
  CHECK(trust.find(kKey.public_key, "file", 1767225600 * kSecond) == nullptr);
}

TEST_CASE("lines that are not honoured are refused with the reason") {
  const std::string key = " ssh-ed25519 " + kBase64;
  CHECK(is_refused_for("ops cert-authority" + key, "cert-authority"));
  CHECK(is_refused_for("ops no-touch-required" + key, "unknown option"));
  CHECK(is_refused_for("ops namespaces=\"a\",mystery=\"1\"" + key, "unknown option 'mystery'"));
  CHECK(is_refused_for("ops namespaces" + key, "no value"));
  CHECK(is_refused_for("ops namespaces=a" + key, "quotes"));
  CHECK(is_refused_for("ops namespaces=\"a" + key, "no key"));
  CHECK(is_refused_for("ops namespaces=\"a\"x" + key, "comma"));
  CHECK(is_refused_for("ops namespaces=\"\"" + key, "empty"));
  CHECK(is_refused_for("ops namespaces=\"a\",namespaces=\"b\"" + key, "twice"));
  CHECK(is_refused_for("ops valid-after=\"20260101Z\",valid-after=\"20260101Z\"" + key, "twice"));
  CHECK(is_refused_for("ops namespaces=\"a\"," + key, "unknown option ''"));
  CHECK(is_refused_for("ops valid-after=\"20260101Z\",valid-before=\"20250101Z\"" + key,
                       "not after"));
  CHECK(is_refused_for("ops valid-after=\"20260101\"" + key, "no Z"));
  CHECK(is_refused_for("*" + key, "pattern"));
  CHECK(is_refused_for("ops,!eve" + key, "pattern"));
  CHECK(is_refused_for("ops,,eve" + key, "empty"));
  CHECK(is_refused_for("\"ops" + key, "quote"));
  CHECK(is_refused_for("ops", "no key"));
  CHECK(is_refused_for("ops ssh-rsa AAAA", "ssh-keygen -t ed25519"));
  CHECK(is_refused_for("ops sk-ssh-ed25519@openssh.com AAAA", "cannot sign triggers"));
  CHECK(is_refused_for("ops ssh-ed25519 !!!!", "base64"));
  CHECK(is_refused_for("ops ssh-ed25519", "needs 4 bytes"));
  CHECK(is_refused_for("ops ssh-ed25519 " + kBase64.substr(0, 40), "needs"));
  CHECK(is_refused_for("ops" + std::string(9000, ' ') + key, "longer"));
  CHECK(is_refused_for(std::string("o\0ps", 4) + key, "NUL"));
}

TEST_CASE("a weak key, or one of another type behind the right name, is refused") {
  PublicKey identity{};
  identity[0] = 1;
  CHECK(is_refused_for("ops ssh-ed25519 " + to_base64(public_key_blob(identity)), "weak"));
  CHECK(is_refused_for("ops ssh-ed25519 " + to_base64(public_key_blob(PublicKey{})), "weak"));
  Bytes blob = public_key_blob(kKey.public_key);
  blob[5] = 'S';
  CHECK(is_refused_for("ops ssh-ed25519 " + to_base64(blob), "another type"));
  blob = public_key_blob(kKey.public_key);
  blob.push_back(0);
  CHECK(is_refused_for("ops ssh-ed25519 " + to_base64(blob), "wrong length"));
}

TEST_CASE("times are days, minutes or seconds in UTC, and real dates") {
  CHECK(parse_timestamp_ns("19700101Z").value() == 0);
  CHECK(parse_timestamp_ns("20240229Z").value() == 1709164800 * kSecond);
  CHECK(parse_timestamp_ns("202402291230Z").value() == 1709209800 * kSecond);
  CHECK(parse_timestamp_ns("20240229123005Z").value() == 1709209805 * kSecond);
  for (const char* bad :
       {"", "Z", "2024Z", "20230229Z", "20241301Z", "20240132Z", "202402292460Z", "202402292400Z",
        "2024022912Z", "20240229123060Z", "2024022a1230Z", "99990101Z", "19691231Z",
        "20240229123005", "-0240229Z", "202402291230050Z"}) {
    INFO(bad);
    CHECK_FALSE(parse_timestamp_ns(bad).has_value());
  }
}

TEST_CASE("the principals of a key are those of all its lines that are valid") {
  Trust trust = Trust::parse(kKey.line("a,b") + kKey.line("b,c", "namespaces=\"file\"") +
                             kKey.line("d", "valid-before=\"20200101Z\"") + kKey.line("e,a"));
  REQUIRE(trust.with_key_id(key_id_of(kKey.public_key)).size() == 4);
  CHECK(trust.principals_of(kKey.public_key, FL_GRANT_NAMESPACE, test::kNow) ==
        std::vector<std::string>{"a", "b", "e"});
  CHECK(trust.with_key_id(KeyId{}).empty());
}

TEST_CASE("patterns know * and ?, and long ones end in time") {
  CHECK(matches_pattern("*", ""));
  CHECK(matches_pattern("", ""));
  CHECK_FALSE(matches_pattern("", "a"));
  CHECK(matches_pattern("a?c", "abc"));
  CHECK_FALSE(matches_pattern("a?c", "ac"));
  CHECK(matches_pattern("*@site-a", "ops@site-a"));
  CHECK_FALSE(matches_pattern("*@site-a", "ops@site-ab"));
  CHECK(matches_pattern("a*b*c", "a-b-b-c"));
  CHECK_FALSE(matches_pattern("a*b*c", "a-c-b"));
  CHECK(matches_pattern("**a**", "bab"));
  std::string stars;
  for (int i = 0; i < 500; ++i) stars += "*a";
  CHECK_FALSE(matches_pattern(stars + "b", std::string(2000, 'a')));
}
