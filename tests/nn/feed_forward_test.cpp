#include "core/nn/feed_forward.h"

#include "tests/support/catch.h"
#include "tests/support/modules.h"

namespace moe::test {

TEST_CASE("DenseFeedForward: gradients of input and parameters") {
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh, Activation::swiglu}) {
    INFO("activation " << int(activation));
    TestContext ctx(DType::f64);
    ParameterStore store;
    DenseFeedForward layer(store, "feed_forward", {.d_model = 5, .d_ff = 7, .activation = activation}, {});
    store.allocate(ctx, DType::f64);
    randomise(store, 0.5);
    const TokenBatch batch = make_batch(ctx, 2, 3);
    const Tensor x = ctx.normal({6, 5}, 1), d_y = ctx.normal({6, 5}, 2), d_x = ctx.output({6, 5});
    const auto loss = [&] {
      ctx.reset();
      return dot(layer.forward(ctx, batch, x), d_y);
    };
    loss();
    layer.backward(ctx, batch, d_x, d_y);
    auto tensors = parameters_of(store);
    tensors.push_back({"x", x, d_x});
    check_gradients(loss, tensors, {.samples = 30});
    CHECK(store.parameters()[0].shape == Shape{7 * width_factor(activation), 5});
    CHECK(store.parameters()[1].shape == Shape{5, 7});
  }
}

}  // namespace moe::test
