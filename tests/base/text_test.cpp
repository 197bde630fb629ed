#include "core/base/text.h"

#include "core/base/table.h"
#include "tests/support/catch.h"

namespace moe::test {

TEST_CASE("text is split, joined and trimmed") {
  CHECK(split("a.b..c", '.') == std::vector<std::string>{"a", "b", "", "c"});
  CHECK(split("", '.') == std::vector<std::string>{""});
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(join({}, ", ").empty());
  CHECK(trim(" \ta b\n") == "a b");
  CHECK(trim(" \n").empty());
}

TEST_CASE("the nearest name is a similar one or none") {
  CHECK(nearest("stepps", {"steps", "stop"}) == "steps");
  CHECK(nearest("lr", {"rate", "learning_rate"}).empty());
  CHECK(nearest("coeficient", {"scope", "coefficient"}) == "coefficient");
  CHECK(nearest("x", {}).empty());
}

TEST_CASE("well-formed UTF-8 is recognised, and everything else is shown as U+FFFD") {
  for (const char* good : {"", "a", "\u00e4", "\u20ac", "\U0001F600", "\uFFFD", "\U0010FFFF"}) {
    CAPTURE(good);
    CHECK(is_utf8(good));
    CHECK(shown(good) == good);
  }
  for (const char* bad : {"\xff", "\xc3", "\xe2\x82", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80z"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_utf8(bad));
    CHECK(is_utf8(shown(bad)));
    CHECK(shown(bad).find("\uFFFD") != std::string::npos);
  }
  CHECK(shown("a\x1b[1m\tb\n\x7f\r") == "a\uFFFD[1m\tb\n\uFFFD\uFFFD");
  CHECK(shown("\u009b31m") == "\uFFFD31m");  // the control sequence introducer in one character
  CHECK(utf8_length("\u20acx") == 3);
}

TEST_CASE("a table finds its entries, or lists them") {
  struct Entry {
    const char* name;
    int value;
  };
  const Table<Entry> table{"number", {{"one", 1}, {"two", 2}}};
  CHECK(table.at("two").value == 2);
  CHECK(table.find("three") == nullptr);
  CHECK_THROWS_WITH(table.at("three"), "unknown number 'three'; known: one, two");
  CHECK_THROWS_AS(table.at(""), UsageError);
}

TEST_CASE("a failed check reports values, condition and location") {
  const int rows = 3;
  CHECK_THROWS_AS([&] { MOE_CHECK(rows == 4, "{} rows", rows); }(), InternalError);
  CHECK_THROWS_WITH([&] { MOE_CHECK(rows == 4, "{} rows", rows); }(),
                    Catch::Contains("3 rows [rows == 4, tests/base/text_test.cpp:"));
}

}  // namespace moe::test
