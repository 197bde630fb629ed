#include "core/nn/norm.h"

#include "tests/support/catch.h"
#include "tests/support/modules.h"

namespace moe::test {

TEST_CASE("Norm: gradients of input and parameters; both are accumulated") {
  const char* kind = GENERATE("rms", "layer");
  TestContext ctx(DType::f64);
  ParameterStore store;
  Norm norm(store, "norm", 7, 1e-2, kind);
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
  auto tensors = parameters_of(store);
  CHECK(tensors.size() == (std::string(kind) == "layer" ? 2 : 1));
  tensors.push_back({"x", x, d_x});
  check_gradients(loss, tensors);
}

TEST_CASE("Norm starts as the plain norm and has no weight decay") {
  TestContext ctx;
  ParameterStore store;
  Norm norm(store, "norm", 3, 0);
  store.allocate(ctx, DType::f32);
  store.initialise(ctx, 1);
  CHECK(values(store.parameters()[0].value) == std::vector<double>(3, 1));
  CHECK_FALSE(store.parameters()[0].decay);
  CHECK(get(norm.forward(ctx, ctx.constant({1, 3}, 9)), 0) == Approx(1));
  ParameterStore other;
  Norm layer(other, "norm", 2, 0, "layer");
  other.allocate(ctx, DType::f32);
  other.initialise(ctx, 1);
  CHECK(values(layer.forward(ctx, ctx.of({1, 2}, {3, 7}))) == std::vector<double>{-1, 1});
}

}  // namespace moe::test
