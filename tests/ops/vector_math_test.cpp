#include "core/ops/kernels/vector_math.h"

#include <cmath>
#include <limits>

#include "tests/support/catch.h"

namespace moe::cpu {

TEST_CASE("fast_exp is accurate to two units in the last place") {
  double worst = 0;
  float at = 0;
  for (int i = -870'000; i <= 880'000; ++i) {
    const float x = static_cast<float>(i) * 1e-4f;
    const double exact = std::exp(static_cast<double>(x));
    const auto nearest = static_cast<float>(exact);
    const double unit = static_cast<double>(std::nextafter(nearest, std::numeric_limits<float>::max())) - nearest;
    const double error = std::abs(static_cast<double>(fast_exp(x)) - exact) / unit;
    if (error > worst) worst = error, at = x;
  }
  INFO("the worst is at " << at);
  CHECK(worst <= 2);
}

TEST_CASE("fast_exp at the limits of its range") {
  CHECK(fast_exp(0.0f) == 1);
  CHECK(fast_exp(-200.0f) <= 1.3e-38f);
  CHECK(fast_exp(-std::numeric_limits<float>::infinity()) <= 1.3e-38f);
  CHECK(fast_exp(200.0f) > 1e38f);
  CHECK(std::isfinite(fast_exp(200.0f)));
  CHECK(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(fast_exp(-std::numeric_limits<float>::quiet_NaN())));
  CHECK(fast_exp(1.5) == std::exp(1.5));
}

TEST_CASE("sigmoid and tanh by fast_exp") {
  for (float x = -20; x <= 20; x += 0.125f) {
    CHECK(static_cast<double>(sigmoid(x)) == Approx(1 / (1 + std::exp(-static_cast<double>(x)))).epsilon(1e-6));
    CHECK(static_cast<double>(fast_tanh(x)) == Approx(std::tanh(static_cast<double>(x))).epsilon(1e-6).margin(1e-6));
  }
}

}  // namespace moe::cpu
