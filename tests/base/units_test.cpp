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

TEST_CASE("a duration survives a round trip through text") {
  for (const char* text : {"2000", "5000000t", "1.5e", "10%"}) CHECK(Duration::parse(text).to_string() == text);
}

TEST_CASE("durations become updates of a run") {
  const RunLength run{1000, 4096, 50};
  CHECK(to_updates(Duration::percent(10), run) == 100);
  CHECK(to_updates(Duration::parse("8192t"), run) == 2);
  CHECK(to_updates(Duration::parse("2e"), run) == 100);
  CHECK_THROWS_AS(to_updates(Duration::parse("2e"), RunLength{1000, 4096, 0}), UsageError);
}

TEST_CASE("numbers are formatted for reading") {
  CHECK(format_count(999) == "999");
  CHECK(format_count(52'428'800) == "52.4M");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_seconds(8040) == "2h14m");
}

}  // namespace moe
