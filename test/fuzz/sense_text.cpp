// SPDX-License-Identifier: Apache-2.0
// The two text parsers: armored signatures and allowed_signers.
#include <catch2/catch.hpp>
#include <random>

#include "test/unit/sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::TestKey;

namespace {

std::string mutated(std::string text, std::mt19937_64& random, std::string_view alphabet) {
  auto any = [&](std::size_t below) { return below == 0 ? 0 : random() % below; };
  for (auto rounds = 1 + any(4); rounds > 0 && !text.empty(); --rounds) {
    std::size_t at = any(text.size());
    char c = random() % 4 == 0 ? static_cast<char>(random()) : alphabet[any(alphabet.size())];
    switch (any(5)) {
      case 0:
        text[at] = c;
        break;
      case 1:
        text.insert(at, 1, c);
        break;
      case 2:
        text.erase(at, any(8));
        break;
      case 3:
        text.insert(at, text.substr(any(text.size()), any(40)));
        break;
      case 4:
        text.resize(any(text.size() + 1));
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("mutated armored signatures never verify as another's, and never crash") {
  std::mt19937_64 random(0x61726d6fu);
  TestKey key = TestKey::from_seed(1);
  const Bytes message(300, 7);
  const SshSignature original{key.public_key, FL_GRANT_NAMESPACE, key.sign_grant(message)};
  const std::string armored = armor_sshsig(original);
  REQUIRE(parse_sshsig(armored).has_value());
  unsigned parsed = 0, refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    auto signature = parse_sshsig(mutated(armored, random, "=\n -ABCabc/+"));
    if (!signature) {
      ++refused;
      REQUIRE_FALSE(signature.error().text().empty());
      continue;
    }
    ++parsed;
    bool same = signature->key == original.key && signature->signature == original.signature;
    if (verify(signature->key, sshsig_preimage(signature->name_space, message),
               signature->signature)) {
      REQUIRE(same);
      REQUIRE(signature->name_space == original.name_space);
    }
  }
  CHECK(refused > 50'000);
  CHECK(parsed > 0);
}

TEST_CASE("SSHSIG blobs cut or with any length field changed are refused") {
  TestKey key = TestKey::from_seed(1);
  const std::string armored =
      armor_sshsig({key.public_key, FL_GRANT_NAMESPACE, key.sign_grant({})});
  auto begin = armored.find('\n'), end = armored.rfind("\n-----END");
  const Bytes blob = from_base64(armored.substr(begin, end - begin)).value();
  auto armor = [](const Bytes& bytes) {
    return "-----BEGIN SSH SIGNATURE-----\n" + to_base64(bytes) + "\n-----END SSH SIGNATURE-----\n";
  };
  REQUIRE(parse_sshsig(armor(blob)).has_value());
  for (std::size_t length = 0; length < blob.size(); ++length) {
    REQUIRE_FALSE(
        parse_sshsig(armor(Bytes(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(length))))
            .has_value());
  }
  for (std::size_t at : {10u, 14u, 29u, 65u, 84u, 88u, 98u, 102u, 117u}) {  // the strings' lengths
    for (unsigned high : {0u, 1u, 0x7fu, 0x80u, 0xffu}) {
      Bytes bytes = blob;
      bytes[at] = static_cast<std::uint8_t>(high);
      bytes[at + 3] = static_cast<std::uint8_t>(bytes[at + 3] ^ 1);
      REQUIRE_FALSE(parse_sshsig(armor(bytes)).has_value());
    }
  }
}

TEST_CASE("mutated allowed_signers trust no key that was not there, and name every refused line") {
  std::mt19937_64 random(0x7369676eu);
  std::string file = "# comment\n";
  std::vector<PublicKey> known;
  for (std::uint8_t seed = 1; seed <= 4; ++seed) {
    TestKey key = TestKey::from_seed(seed);
    known.push_back(key.public_key);
    file += key.line("user" + std::to_string(seed),
                     seed % 2 ? "" : "namespaces=\"grant@*,file\",valid-before=\"20300101Z\"");
  }
  REQUIRE(Trust::parse(file).signers.size() == 4);
  std::uint64_t signers = 0, refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string text = mutated(file, random, "\"\\,=!*? \t\n#Z0");
    Trust trust = Trust::parse(text);
    auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
    REQUIRE(trust.signers.size() + trust.refused.size() <= lines);
    for (const auto& line : trust.refused) {
      REQUIRE_FALSE(line.reason.empty());
      REQUIRE((line.line >= 1 && line.line <= lines));
    }
    for (const auto& signer : trust.signers) {
      REQUIRE_FALSE(signer.principals.empty());
      REQUIRE(signer.key_id == key_id_of(signer.key));
      // A damaged key may be some other sound point, but never one that stands for the original's
      // id.
      bool is_known = std::find(known.begin(), known.end(), signer.key) != known.end();
      if (!is_known) REQUIRE(is_sound(signer.key));
    }
    signers += trust.signers.size();
    refused += trust.refused.size();
  }
  CHECK(signers > 10'000);
  CHECK(refused > 2'000);
}
