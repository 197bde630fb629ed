#include "core/nn/rms_norm.h"

#include "tests/support/catch.h"
#include "tests/support/modules.h"

namespace moe::test {

TEST_CASE("RMSNorm: gradients of input and weight; both are added to") {
  TestContext ctx(DType::f64);
  ParameterStore store;
  RMSNorm norm(store, "norm", 7, 1e-2);
  store.allocate(ctx, DType::f64);
  randomise(store, 0.3);
  const Tensor x = ctx.normal({4, 7}, 1), d_y = ctx.normal({4, 7}, 2), d_x = ctx.constant({4, 7}, 1);
  const auto loss = [&] {
    ctx.reset();
    return dot(norm.forward(ctx, x), d_y);
  };
  loss();
  set(store.parameters()[0].gradient, 0, 5);
  norm.backward(ctx, d_x, d_y);
  set(store.parameters()[0].gradient, 0, get(store.parameters()[0].gradient, 0) - 5);
  for (int64_t i = 0; i < d_x.size(); ++i) set(d_x, i, get(d_x, i) - 1);
  check_gradients(loss, {{"x", x, d_x}, parameters_of(store)[0]});
}

TEST_CASE("RMSNorm starts as the plain norm and takes no weight decay") {
  TestContext ctx;
  ParameterStore store;
  RMSNorm norm(store, "norm", 3, 0);
  store.allocate(ctx, DType::f32);
  store.initialise(ctx, 1);
  CHECK(values(store.parameters()[0].value) == std::vector<double>(3, 1));
  CHECK_FALSE(store.parameters()[0].decay);
  CHECK(get(norm.forward(ctx, ctx.constant({1, 3}, 9)), 0) == Approx(1));
}

}  // namespace moe::test
