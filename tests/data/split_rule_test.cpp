#include "data/split_rule.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("a split can be given as percent, shares or bytes") {
  CHECK(SplitRule{}.sizes(100'000'000) == SplitSizes{90'000'000, 5'000'000, 5'000'000});
  CHECK(SplitRule::parse("90M/5M/5M").sizes(100'000'000) == SplitSizes{90'000'000, 5'000'000, 5'000'000});
  CHECK(SplitRule::parse("80/10/10").sizes(1003) == SplitSizes{803, 100, 100});
  CHECK(SplitRule::parse("0.8/0.2/0").sizes(1000) == SplitSizes{800, 200, 0});
  CHECK(SplitRule::parse("80%/10%/10%").sizes(1003) == SplitSizes{803, 100, 100});
  CHECK(SplitRule::parse("99.5 % / 0.5 % / 0").sizes(1000) == SplitSizes{995, 5, 0});
  CHECK(SplitRule::parse("7B/2B/0").sizes(1000) == SplitSizes{7, 2, 0});
  CHECK(SplitRule::parse("1k/500B/0").sizes(2000) == SplitSizes{1000, 500, 0});
  CHECK(SplitRule::parse("0.001G/1.5k/0").sizes(2'000'000) == SplitSizes{1'000'000, 1500, 0});
}

TEST_CASE("numbers without a unit are bytes only when they add up to the input") {
  CHECK(SplitRule::parse("991/5/6").sizes(1002) == SplitSizes{991, 5, 6});
  CHECK(SplitRule::parse("991/5/6").to_string() == "991/5/6 bytes");
  for (const char* text : {"90/5/6", "7/2/0", "991/5/6", "9000/500/500", "90/5/4"}) {
    INFO(text);
    CHECK_THROWS_AS(SplitRule::parse(text).sizes(1000), UsageError);
    CHECK_THROWS_WITH(SplitRule::parse(text).sizes(1000), Catch::Contains("neither to 100 nor to the 1000 bytes"));
  }
}

TEST_CASE("an invalid split is a usage error") {
  for (const char* text :
       {"", "90", "90/10", "90/5/5/0", "a/b/c", "-1/50/51", "0.5/0.1/0.1", "90x/5/5", "90%/5%/6%", "90%/5/5", "90M/5/5",
        "90M/5%/5%", "90%/5M/5M", "0.5B/1B/1B", "0.9/0.05/0.06", "90.5/5/5", "1e30/1/1", "nan/1/1", "%/1/1"}) {
    INFO(text);
    CHECK_THROWS_AS(SplitRule::parse(text), UsageError);
  }
  CHECK_THROWS_AS(SplitRule::every(2), UsageError);
}

TEST_CASE("text too small for its split is a data error") {
  CHECK_THROWS_AS(SplitRule{}.sizes(39), DataError);
  CHECK(SplitRule{}.sizes(40) == SplitSizes{36, 2, 2});
  CHECK_THROWS_WITH(SplitRule::parse("90M/5M/5M").sizes(99'999'999), Catch::Contains("needs 100000000 bytes"));
  CHECK_THROWS_AS(SplitRule::parse("0/50/50").sizes(1000), DataError);
}

TEST_CASE("of every k entries one is validation and the next is test") {
  const SplitRule rule = SplitRule::every(5);
  std::string splits;
  for (int64_t entry = 0; entry < 11; ++entry) splits += "TVE"[rule.split_of_entry(entry)];
  CHECK(splits == "VETTTVETTTV");
}

}  // namespace moe
