#include "core/base/units.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("a duration can be given in updates, tokens, epochs and shares") {
  CHECK(Duration::parse("2000") == Duration::updates(2000));
  CHECK(Duration::parse("2ku") == Duration::updates(2000));
  CHECK(Duration::parse("5Mt") == Duration{5e6, Duration::Unit::tokens});
  CHECK(Duration::parse("1.5e") == Duration{1.5, Duration::Unit::epochs});
  CHECK(Duration::parse("10 %") == Duration::percent(10));
}

TEST_CASE("an invalid duration is refused") {
  for (const char* text : {"", "many", "10x", "-5", "110%", "nan", "5 5"}) {
    INFO(text);
    CHECK_THROWS_AS(Duration::parse(text), UsageError);
  }
}

TEST_CASE("a length of time is accepted by keys that take one, and refused by others") {
  const auto seconds = [](const char* text) { return Duration::parse(text, Lengths::either); };
  CHECK(seconds("90s") == Duration::seconds(90));
  CHECK(seconds("10m") == Duration::seconds(600));
  CHECK(seconds("3h50m") == Duration::seconds(3 * 3600 + 50 * 60));
  CHECK(seconds("1d2h3m4s") == Duration::seconds(86400 + 7200 + 180 + 4));
  CHECK(seconds("1.5h") == Duration::seconds(5400));
  CHECK(seconds("2000") == Duration::updates(2000));
  CHECK(seconds("2M") == Duration::updates(2e6));  // not minutes
  for (const char* text : {"10m5h", "1h1h", "h", "5 m x", "-5m", "1h30"}) {
    INFO(text);
    CHECK_THROWS_AS(seconds(text), UsageError);
  }
  CHECK_THROWS_WITH(Duration::parse("10m"), Catch::Contains("is a length of time"));
  CHECK_THROWS_WITH(Duration::parse("2000", Lengths::wall_time), Catch::Contains("is not a length of time"));
  CHECK(Duration::parse("0", Lengths::wall_time).amount == 0);
  CHECK(seconds(Duration::seconds(13800).to_string().c_str()) == Duration::seconds(13800));
  CHECK_THROWS_AS(to_updates(Duration::seconds(5), RunLength{1000, 4096, 50}), UsageError);
}

TEST_CASE("a duration survives a round trip through text") {
  for (const char* text : {"2000", "5000000t", "1.5e", "10%"}) CHECK(Duration::parse(text).to_string() == text);
}

TEST_CASE("durations become updates of a run") {
  const RunLength run{1000, 4096, 50};
  CHECK(to_updates(Duration::percent(10), run) == 100);
  CHECK(to_updates(Duration::parse("8192t"), run) == 2);
  CHECK(to_updates(Duration::parse("2e"), run) == 100);
  CHECK_THROWS_AS(to_updates(Duration::parse("2e"), RunLength{1000, 4096, 0}), UsageError);
  CHECK(to_whole_updates(Duration::parse("10239t"), run) == 2);
  CHECK(to_whole_updates(Duration::updates(1e300), run) == int64_t{1} << 60);
}

TEST_CASE("numbers are formatted for reading") {
  CHECK(format_count(999) == "999");
  CHECK(format_count(52'428'800) == "52.4M");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_seconds(8040) == "2h14m");
}

}  // namespace moe
