#include "core/ops/initialise.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("initial values have the configured distribution") {
  TestContext ctx;
  const RandomKey key{.seed = 1, .purpose = RandomPurpose::initialisation};
  const int64_t n = 50'000;
  const Tensor x = ctx.output({n});
  const auto moments = [&] {
    double sum = 0, squares = 0, largest = 0;
    for (const double value : values(x)) {
      sum += value;
      squares += value * value;
      largest = std::max(largest, std::abs(value));
    }
    return std::array{sum / double(n), std::sqrt(squares / double(n)), largest};
  };
  fill_normal(ctx, x, 0.02, key);
  const auto normal = moments();
  CHECK(normal[0] == Approx(0).margin(5e-4));
  CHECK(normal[1] == Approx(0.02).epsilon(0.02));
  CHECK(normal[2] > 0.06);
  fill_uniform(ctx, x, 0.5, key);
  const auto uniform = moments();
  CHECK(uniform[0] == Approx(0).margin(5e-3));
  CHECK(uniform[1] == Approx(0.5 / std::sqrt(3)).epsilon(0.02));
  CHECK(uniform[2] <= 0.5);
  fill_constant(ctx, x, 3);
  CHECK(values(x) == std::vector<double>(static_cast<size_t>(n), 3));
}

TEST_CASE("an element's initial value does not depend on how the tensor is split") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    TestContext ctx(dtype);
    const RandomKey key{.seed = 1, .purpose = RandomPurpose::initialisation, .stream = 7};
    const Tensor whole = ctx.output({33}), parts = ctx.output({33});
    fill_normal(ctx, whole, 1, key);
    fill_normal(ctx, parts.slice(0, 10), 1, key);
    fill_normal(ctx, parts.slice(10, 23), 1, key, 10);
    check_same_bits("normal", parts, whole);
    fill_uniform(ctx, whole, 1, key);
    fill_uniform(ctx, parts.slice(0, 10), 1, key);
    fill_uniform(ctx, parts.slice(10, 23), 1, key, 10);
    check_same_bits("uniform", parts, whole);
  }
}

}  // namespace moe::test
