#include "core/nn/linear.h"

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/modules.h"

namespace moe::test {

TEST_CASE("Linear: gradients of input and weight; the weight's gradient is accumulated") {
  TestContext ctx(DType::f64);
  ParameterStore store;
  const Linear linear(store, {}, "linear", 5, 3, 1);
  store.allocate(ctx, DType::f64);
  store.initialise(ctx, 1);
  const Tensor x = ctx.normal({4, 5}, 1), d_y = ctx.normal({4, 3}, 2), y = ctx.output({4, 3}), d_x = ctx.output({4, 5});
  const auto loss = [&] {
    linear.forward(ctx, y, x);
    return dot(y, d_y);
  };
  linear.backward(ctx, d_x, d_y, x);
  check_gradients(loss, {{"x", x, d_x}, parameters_of(store)[0]});
  const auto once = values(linear.weight().gradient);
  linear.backward(ctx, d_x, d_y, x);
  for (int64_t i = 0; i < 15; ++i) CHECK(get(linear.weight().gradient, i) == Approx(2 * once[as_index(i)]));
}

}  // namespace moe::test
