#include <array>

#include "core/base/philox.h"

#include "tests/support/catch.h"

namespace moe {

TEST_CASE("philox gives the published vector of the all-zero counter and key") {
  // Salmon et al.'s known-answer test: counter 0, key 0.
  const RandomKey key{0, static_cast<RandomPurpose>(0), 0, 0};
  CHECK(key.words(0) == std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
}

TEST_CASE("streams, steps, purposes, seeds and elements all change the numbers") {
  const RandomKey base{7, RandomPurpose::test, 1, 1};
  const auto words = base.words(1);
  CHECK(words == base.words(1));
  CHECK(words != base.words(2));
  CHECK(words != RandomKey{8, RandomPurpose::test, 1, 1}.words(1));
  CHECK(words != RandomKey{7, RandomPurpose::sampling, 1, 1}.words(1));
  CHECK(words != RandomKey{7, RandomPurpose::test, 2, 1}.words(1));
  CHECK(words != RandomKey{7, RandomPurpose::test, 1, 2}.words(1));
}

TEST_CASE("normal numbers have mean 0 and variance 1") {
  const RandomKey key{1, RandomPurpose::test, 0, 0};
  double sum = 0, squares = 0;
  const int n = 100'000;
  for (int i = 0; i < n; ++i) {
    const double x = key.normal(static_cast<uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  CHECK(sum / n == Approx(0).margin(0.01));
  CHECK(squares / n == Approx(1).margin(0.02));
}

}  // namespace moe
