#include "core/base/fast_normal.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/philox.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("fast_log and fast_turn have the documented accuracy") {
  constexpr int kSteps = 1 << 24, kStride = 101;
  double log_error = 0, turn_error = 0;
  for (int i = 0; i < kSteps; i += kStride) {
    const float u = (static_cast<float>(i) + 0.5f) * 0x1p-24f;
    const double exact = std::log(static_cast<double>(u));
    log_error = std::max(log_error, std::abs(static_cast<double>(fast_log(u)) / exact - 1));
    const float turns = static_cast<float>(i) * 0x1p-24f;
    const double angle = 2 * std::numbers::pi * static_cast<double>(turns);
    const SineCosine result = fast_turn(turns);
    turn_error = std::max({turn_error, std::abs(static_cast<double>(result.sine) - std::sin(angle)),
                           std::abs(static_cast<double>(result.cosine) - std::cos(angle))});
  }
  CHECK(log_error < 2e-7);
  CHECK(turn_error < 2e-7);
  CHECK(fast_log(1.0f) == 0);
  CHECK(fast_log(3e-38f) == Approx(std::log(3e-38)));
}

TEST_CASE("fast normal numbers are Box and Muller's") {
  const RandomKey key{5, RandomPurpose::test};
  const int n = 40000;
  double sums[2] = {}, squares[2] = {}, product = 0, fourth = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const auto w = key.words(i);
    const NormalPair pair = fast_normal_pair(w[0], w[1]);
    const float u = (static_cast<float>(w[0] >> 8) + 0.5f) * 0x1p-24f;  // rounded near 1
    const double radius = std::sqrt(-2 * std::log(static_cast<double>(u)));
    const double angle = 2 * std::numbers::pi * static_cast<double>(w[1] >> 8) * 0x1p-24;
    REQUIRE(static_cast<double>(pair.first) == Approx(radius * std::cos(angle)).margin(2e-6));
    REQUIRE(static_cast<double>(pair.second) == Approx(radius * std::sin(angle)).margin(2e-6));
    const double both[2] = {static_cast<double>(pair.first), static_cast<double>(pair.second)};
    for (int j = 0; j < 2; ++j) sums[j] += both[j], squares[j] += both[j] * both[j];
    product += both[0] * both[1];
    fourth += std::pow(both[0], 4);
  }
  for (int j = 0; j < 2; ++j) {
    CHECK(std::abs(sums[j] / n) < 0.02);
    CHECK(squares[j] / n == Approx(1).epsilon(0.03));
  }
  CHECK(std::abs(product / n) < 0.02);
  CHECK(fourth / n == Approx(3).epsilon(0.1));
  CHECK(std::isfinite(fast_normal_pair(0, 0).first));
  CHECK(std::isfinite(fast_normal_pair(~0u, ~0u).first));
}

}  // namespace moe
