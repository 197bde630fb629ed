#include <tuple>

#include "core/nn/attention.h"

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/modules.h"

namespace moe::test {

static ModelConfig small_model(const std::string& position, const std::string& qk_norm, int64_t heads, int64_t kv_heads,
                               int64_t d_head) {
  ModelConfig config;
  config.d_model = 6;
  config.attention.position = position;
  config.attention.qk_norm = qk_norm;
  config.attention.heads = heads;
  config.attention.kv_heads = kv_heads;
  config.attention.d_head = d_head;
  config.attention.rope_theta = 20;
  config.norm_eps = 1e-2;
  return config;
}

TEST_CASE("Attention: gradients of input and parameters") {
  for (const char* position : {"rope", "none"}) {
    for (const char* qk_norm : {"none", "head", "full"}) {
      for (const auto& [heads, kv_heads, d_head] : {std::tuple{2, 0, 4}, std::tuple{4, 2, 3}, std::tuple{3, 1, 1}}) {
        INFO(position << ", q/k norm " << qk_norm << ", heads " << heads << "/" << kv_heads << " of " << d_head);
        TestContext ctx(DType::f64);
        ParameterStore store;
        Attention attention(store, "attention", small_model(position, qk_norm, heads, kv_heads, d_head), RunLength{});
        store.allocate(ctx, DType::f64);
        randomise(store, 0.5);
        const TokenBatch batch = make_batch(ctx, 2, 5);
        const Tensor x = ctx.normal({10, 6}, 1), d_y = ctx.normal({10, 6}, 2), d_x = ctx.output({10, 6});
        const auto loss = [&] {
          ctx.reset();
          return dot(attention.forward(ctx, batch, x), d_y);
        };
        loss();
        attention.backward(ctx, d_x, d_y);
        auto tensors = parameters_of(store);
        tensors.push_back({"x", x, d_x});
        check_gradients(loss, tensors, {.samples = 12, .step = 2e-5});
      }
    }
  }
}

TEST_CASE("Attention distinguishes positions only with rope") {
  for (const char* position : {"rope", "none"}) {
    TestContext ctx(DType::f64);
    ParameterStore store;
    Attention attention(store, "attention", small_model(position, "none", 2, 0, 3), RunLength{});
    store.allocate(ctx, DType::f64);
    randomise(store, 0.5);
    // The last token attends to the same earlier tokens, in another order.
    const Tensor x = ctx.normal({3, 6}, 1), swapped = ctx.copy_of(x);
    for (int64_t i = 0; i < 6; ++i) set(swapped, i, get(x, 6 + i)), set(swapped, 6 + i, get(x, i));
    const TokenBatch batch = make_batch(ctx, 1, 3);
    const double y = get(attention.forward(ctx, batch, x), 12), other = get(attention.forward(ctx, batch, swapped), 12);
    CHECK((y == Approx(other)) == (std::string(position) == "none"));
  }
}

TEST_CASE("Attention accepts a batch without sequences") {
  const std::string qk_norm = GENERATE("head", "full");
  TestContext ctx;
  ParameterStore store;
  Attention attention(store, "attention", small_model("rope", qk_norm, 2, 1, 3), RunLength{});
  store.allocate(ctx, DType::f32);
  store.initialise(ctx, 1);
  const TokenBatch batch = make_batch(ctx, 0, 4);
  CHECK(attention.forward(ctx, batch, ctx.zeros({0, 6})).size() == 0);
  attention.backward(ctx, ctx.output({0, 6}), ctx.zeros({0, 6}));
  for (const Parameter& p : store.parameters()) {
    CHECK(values(p.gradient) == std::vector<double>(static_cast<size_t>(p.shape.size())));
  }
}

}  // namespace moe::test
