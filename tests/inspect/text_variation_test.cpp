#include "core/inspect/text_variation.h"

#include <cmath>
#include <vector>

#include "tests/support/catch.h"

using namespace moe;

static std::vector<EvaluatedPart> parts_of(std::vector<double> losses) {
  std::vector<EvaluatedPart> parts;
  for (const double loss : losses) parts.push_back({.loss = 100 * loss, .tokens = 100, .correct = 100 - 10 * loss});
  return parts;
}

TEST_CASE("a difference that is the same in all parts of a text has no width over texts") {
  const auto baseline = parts_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 1});
  const auto config = parts_of({1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 1.5});
  const std::vector<PairedParts> pairs{{&config, &baseline}, {&config, &baseline}};
  const TextInterval interval = difference_over_text(pairs, false, 2);
  CHECK(interval.parts == 10);
  CHECK(interval.low == Approx(1));
  CHECK(interval.high == Approx(1));
  // The share of correct predictions is lower by 0.05.
  CHECK(difference_over_text(pairs, true, -100).low == Approx(5));
}

TEST_CASE("a difference that depends on the part of a text has an interval over texts that excludes nothing") {
  std::vector<double> same(40, 2.0), other;
  for (int i = 0; i < 40; ++i) other.push_back(2 + (i % 2 == 0 ? 0.1 : -0.1));
  const auto baseline = parts_of(same), config = parts_of(other);
  const TextInterval interval = difference_over_text(std::vector<PairedParts>{{&config, &baseline}}, false, 1);
  // deviation 0.1 over 40 parts: standard error 0.0158
  CHECK(interval.low == Approx(-0.031).margin(0.005));
  CHECK(interval.high == Approx(0.031).margin(0.005));
}

TEST_CASE("parts that are few or differ give no interval over texts") {
  const auto few = parts_of({1, 2, 3}), many = parts_of(std::vector<double>(12, 1.0));
  auto others = many;
  others[3].tokens = 99;
  CHECK(difference_over_text(std::vector<PairedParts>{{&few, &few}}, false, 1).parts == 0);
  CHECK(difference_over_text(std::vector<PairedParts>{{&many, &others}}, false, 1).parts == 0);
  CHECK(difference_over_text(std::vector<PairedParts>{{&few, &many}}, false, 1).parts == 0);
  CHECK(std::isnan(difference_over_text({}, false, 1).low));
  CHECK(difference_over_text(std::vector<PairedParts>{{&many, &many}}, false, 1).parts == 12);
}
