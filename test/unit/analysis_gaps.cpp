// SPDX-License-Identifier: Apache-2.0
#include "analysis/gaps.h"

#include <catch2/catch.hpp>

using namespace fieldline::analysis;
using nlohmann::json;

namespace {

using Lines = std::vector<std::string>;

// Each word of a session has the next number, as in a stream.
struct Book {
  GapBook book;
  std::map<std::string, std::uint64_t> numbers;

  GapBook::Word word(const std::string& session, const json& document) {
    static const std::string kSensor = "s1";
    return {kSensor, session, ++numbers[session], document};
  }
  void started(const std::string& session, std::uint64_t at_ns, const char* continues = "") {
    json document = {{"at_ns", at_ns}};
    if (*continues != 0) document["continues"] = continues;
    book.started(word(session, document));
  }
  void ended(const std::string& session, std::uint64_t at_ns, const char* reason) {
    book.ended(word(session, {{"reason", reason}}), at_ns);
  }
  void counted(const std::string& session, std::uint64_t at_ns, bool final,
               const GapBook::Drops& drops = {}, json more = {{"gaps", json::array()}}) {
    more["at_ns"] = at_ns;
    more["final"] = final;
    book.counted(word(session, more), drops);
  }
  // "what cause from until count"; - for none.
  Lines gaps() const {
    Lines lines;
    for (const Gap& gap : book.gaps()) {
      CHECK(gap.sensor == "s1");
      const auto number = [](std::optional<std::uint64_t> value) {
        return value ? std::to_string(*value) : "-";
      };
      lines.push_back(std::string(name_of(gap.what)) + " " + gap.cause + " " +
                      std::to_string(gap.from_ns) + " " + number(gap.until_ns) + " " +
                      number(gap.count));
    }
    return lines;
  }
};

}  // namespace

TEST_CASE("A run that was watched to its end leaves no gap") {
  Book book;
  book.started("a", 100);
  book.counted("a", 150, false);
  book.ended("a", 200, "pulse");
  book.counted("a", 201, true);
  CHECK(book.gaps().empty());
}

TEST_CASE("A sensor that was killed saw nothing from its last word to its next begin") {
  Book book;
  book.started("b", 300);
  book.started("a", 100);  // the rest of the dead session comes later
  book.counted("a", 150, false);
  book.ended("b", 400, "pulse");
  book.counted("b", 401, true);
  CHECK(book.gaps() == Lines{"blind died 150 300 -"});
}

TEST_CASE("Reports that come twice make no gap twice, nor a begin of their own") {
  Book book;
  book.started("a", 100);
  book.counted("a", 150, false);
  book.numbers["a"] = 0;
  book.started("a", 100);
  book.counted("a", 150, false, {{"ring", 7}});
  book.counted("a", 200, true);
  CHECK(book.gaps().empty());
}

TEST_CASE("Two archives tell of the same begins under other numbers") {
  Book book;
  for (int archive = 0; archive < 2; ++archive) {
    book.started("a", 100);
    book.counted("a", 150, false);
    book.counted("a", 200, true);
  }
  CHECK(book.gaps().empty());
}

TEST_CASE("A sensor that did not come back was not heard of since") {
  Book book;
  book.started("a", 100);
  book.counted("a", 150, false);
  CHECK(book.gaps() == Lines{"blind silent 150 - -"});
  CHECK(doubts_of(book.book.gaps()).empty());
}

TEST_CASE("A sensor that ended the run itself was off, and says why") {
  Book book;
  book.started("a", 100);
  book.ended("a", 200, "expired");
  book.counted("a", 201, true);
  book.started("a", 300);
  book.ended("a", 400, "shutdown");
  book.counted("a", 401, true);
  book.started("b", 500);
  book.counted("b", 601, true);
  CHECK(book.gaps() == Lines{"blind expired 200 300 -", "blind shutdown 400 500 -"});
  CHECK(doubts_of(book.book.gaps()).size() == 2);
}

TEST_CASE("A session that was closed because it lagged behind is no gap, whichever is read first") {
  Book book;
  const json closing = {{"gaps", json::array()}, {"continued_in", "b"}};
  SECTION("the later one is read first") {
    book.started("b", 200, "a");
    book.counted("b", 400, true);
    book.started("a", 100);
    book.counted("a", 199, true, {}, closing);
    CHECK(book.gaps().empty());
  }
  SECTION("its clock was set back in between") {
    book.started("a", 1000);
    book.counted("a", 1100, true, {}, closing);
    book.started("b", 900, "a");
    book.counted("b", 950, true);
    CHECK(book.gaps().empty());
  }
  SECTION("its rest has not come, what it saw then is not known") {
    book.started("a", 100);
    book.counted("a", 150, false);
    book.started("b", 200, "a");
    book.counted("b", 400, true);
    CHECK(book.gaps() == Lines{"blind undelivered 150 200 -"});
    CHECK(book.book.off("s1").size() == 1);
    CHECK(doubts_of(book.book.gaps()).size() == 1);
    book.counted("a", 199, true, {}, closing);
    CHECK(book.gaps().empty());
  }
  SECTION("the one that it names never came") {
    book.started("a", 100);
    book.counted("a", 199, true, {}, closing);
    CHECK(book.gaps() == Lines{"blind silent 199 - -"});
    book.started("c", 300);
    book.counted("c", 400, true);
    CHECK(book.gaps() == Lines{"blind died 199 300 -"});
  }
}

TEST_CASE("A clock that is set back hides neither counts nor the end of a run") {
  Book book;
  book.started("a", 1000);
  book.counted("a", 500, false, {{"ring", 3}});
  book.ended("a", 600, "pulse");
  book.counted("a", 601, true, {{"ring", 3}});
  CHECK(book.gaps() == Lines{"dropped ring 500 1000 3"});
}

TEST_CASE("Drops and outages have their times; the newest counts say all of their session") {
  Book book;
  const json early = {
      {"gaps", {{{"cause", "spool"}, {"from_ns", 110}, {"until_ns", 120}, {"count", 5}}}},
      {"outages", {{{"from_ns", 105}, {"until_ns", nullptr}, {"why", "unreachable"}}}}};
  const json late = {
      {"continued_in", "b"},
      {"gaps",
       {{{"cause", "spool"}, {"from_ns", 110}, {"until_ns", 130}, {"count", 9}},
        {{"cause", "spool"}, {"from_ns", 170}, {"until_ns", 170}, {"count", 1}}}},
      {"outages", {{{"from_ns", 105}, {"until_ns", nullptr}, {"why", "unreachable"}}}}};
  const json healed = {
      {"gaps", json::array()},
      {"outages", {{{"from_ns", 105}, {"until_ns", 190}, {"why", "unreachable"}}}}};
  book.started("a", 100);
  book.counted("a", 125, false, {{"spool", 5}}, early);
  book.counted("a", 180, true, {{"spool", 10}}, late);
  book.started("b", 181, "a");
  book.counted("b", 300, true, {}, healed);
  CHECK(book.gaps() == Lines{"cut_off unreachable 105 190 -", "dropped spool 110 130 9",
                             "dropped spool 170 170 1"});
  const Lines doubts = doubts_of(book.book.gaps());
  REQUIRE(doubts.size() == 1);
  CHECK(doubts[0].find("s1 dropped 10 (spool), 2 times from 1970-01-01") == 0);
}

TEST_CASE("Drops without times of their own fell between the counts that differ") {
  Book book;
  book.started("a", 100);
  book.counted("a", 200, false, {{"ring", 4}});
  book.counted("a", 300, false, {{"ring", 6}, {"hook", 1}});
  book.counted("a", 400, false, {{"ring", 6}, {"hook", 1}});
  book.counted("a", 500, true, {{"ring", 7}, {"hook", 1}});
  CHECK(book.gaps() ==
        Lines{"dropped ring 100 300 6", "missed hook 200 300 1", "dropped ring 400 500 1"});
}

TEST_CASE("In reports of old the spool's drops fell between two counts too") {
  Book book;
  book.started("a", 100);
  book.counted("a", 200, true, {{"spool", 4}}, json::object());
  CHECK(book.gaps() == Lines{"dropped spool 100 200 4"});
}

TEST_CASE("Documents of other shapes, and without end, are no gaps and take no memory") {
  Book book;
  book.started("a", 100);
  for (const char* text : {R"({"gaps":7})", R"({"gaps":[7,"x",{},{"from_ns":-1}]})",
                           R"({"outages":{"from_ns":1}})", R"({"continued_in":7})"}) {
    book.counted("a", 180, true, {}, json::parse(text));
    CHECK(book.gaps().empty());
  }
  json many = json::array();
  for (int i = 0; i < 1000; ++i) many.push_back({{"cause", "spool"}, {"from_ns", i}, {"count", 1}});
  book.counted("a", 190, true, {}, {{"gaps", many}});
  CHECK(book.gaps().size() == 64);
  for (std::uint64_t i = 0; i < 1000; ++i) book.counted("a", 200 + i, true, {{"ring", i / 2 * 2}});
  CHECK(book.gaps().size() <= 64);
  for (std::uint64_t i = 0; i < 5000; ++i) book.started("c", 3000 + i);
  CHECK(book.gaps().size() < 1200);
}

TEST_CASE("Sessions that say that they go on in each other end the search") {
  Book book;
  const json closing = {{"continued_in", "b"}};
  book.started("a", 100, "b");
  book.started("b", 200, "a");
  book.counted("a", 150, true, {}, closing);
  CHECK(book.gaps().empty());
  book.started("d", 300);
  book.started("e", 400, "d");
  book.started("d", 500, "e");
  CHECK(book.gaps().size() == 1);
}
