#include "data/class_counts.h"

#include "tests/support/catch.h"

namespace moe {

TEST_CASE("classes are listed with their counts, the largest of many") {
  CHECK(ClassCounts{{"no", "yes"}, {3, 40}}.in_words() == "no 3, yes 40");
  ClassCounts many;
  for (int i = 0; i < 77; ++i) {
    many.names.push_back("class" + std::to_string(i));
    many.counts.push_back(100 + i);
  }
  CHECK_THAT(many.in_words(), Catch::Contains("class76 176, class75 175") &&
                                  Catch::Contains("class57 157, 57 more with 100 to 156") &&
                                  !Catch::Contains("class56 "));
  CHECK(many.doubts().empty());
}

TEST_CASE("doubtful classes are named") {
  struct Case {
    ClassCounts classes;
    std::vector<std::string> doubts;
  };
  const std::vector<Case> cases = {
      {{{"a", "b"}, {5, 5}}, {}},
      {{{"0", "1", "label"}, {5, 5, 1}, 2}, {"'label' has one training sample, the first of the file"}},
      {{{"0", "1", "rare"}, {5, 5, 1}, 0}, {"with one training sample: 'rare'"}},
      {{{"0", "1"}, {5, 0}}, {"without training samples: '1'"}},
      {{{"pos", "pos ", "POS", "neg"}, {5, 5, 5, 5}}, {"blanks or case alone: 'pos', 'pos ', 'POS'"}},
      {{{"very good", "very  Good", "a", "A\t"}, {5, 5, 5, 5}}, {"'a', 'A\t'", "'very good', 'very  Good'"}},
  };
  for (const Case& c : cases) {
    const std::vector<std::string> found = c.classes.doubts();
    REQUIRE(found.size() == c.doubts.size());
    for (size_t i = 0; i < found.size(); ++i) CHECK_THAT(found[i], Catch::Contains(c.doubts[i]));
  }
}

}  // namespace moe
