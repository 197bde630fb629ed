#include "tests/support/gradient_check.h"

#include <algorithm>
#include <cmath>

#include "core/base/philox.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"

namespace moe::test {

static double quotient(const std::function<double()>& loss, double& x, double step) {
  const double before = x;
  const auto at = [&](double offset) {
    x = before + offset;
    return loss();
  };
  const double far = at(2 * step) - at(-2 * step), near = at(step) - at(-step);
  x = before;
  return (8 * near - far) / (12 * step);
}

void check_gradients(const std::function<double()>& loss, const std::vector<Differentiable>& tensors,
                     GradientOptions options) {
  const RandomKey key{.seed = 5, .purpose = RandomPurpose::test};
  for (const Differentiable& tensor : tensors) {
    const int64_t n = tensor.value.size();
    REQUIRE(tensor.gradient.size() == n);
    double squares = 0;
    for (const double g : values(tensor.gradient)) squares += g * g;
    const double scale = std::sqrt(squares / static_cast<double>(std::max<int64_t>(n, 1)));
    if (n > 0 && !tensor.may_vanish && !(scale > 0)) FAIL_CHECK(tensor.name << ": the gradient is " << scale);
    const int64_t samples = std::min(n, options.samples);
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t i =
          samples == n ? s : static_cast<int64_t>(key.bits(static_cast<uint64_t>(s)) % static_cast<uint64_t>(n));
      const double analytic = get(tensor.gradient, i);
      const double numeric = quotient(loss, tensor.value.as<double>()[i], options.step);
      const double allowed = options.tolerance * std::max({std::abs(numeric), scale, 1e-3});
      INFO(tensor.name << ": element " << i << " of " << tensor.value.shape.to_string() << ", backward says "
                       << analytic << ", the difference quotient " << numeric);
      CHECK(std::abs(analytic - numeric) <= allowed);
    }
  }
}

}  // namespace moe::test
