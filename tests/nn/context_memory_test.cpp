#include <algorithm>

#include "core/nn/context_memory.h"

#include "core/base/integer.h"
#include "core/nn/attention.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/modules.h"

namespace moe::test {

static ModelConfig model(const std::string& position, int64_t memory, const std::string& qk_norm) {
  ModelConfig config;
  config.layers = 1;
  config.d_model = 6;
  config.attention.position = position;
  config.attention.memory = memory;
  config.attention.qk_norm = qk_norm;
  config.attention.heads = 4;
  config.attention.kv_heads = 2;
  config.attention.d_head = 3;
  config.attention.rope_theta = 20;
  if (memory >= 12 && position == "rope") config.attention.rope_scaling.select("linear");
  return config;
}

// An attention layer with a context memory, and rows to pass through it.
struct Layer {
  Layer(TestContext& ctx, const std::string& position, int64_t size, const std::string& qk_norm = "none")
      : config(model(position, size, qk_norm)),
        positions(position == "relative" ? &store.add({}, lookup_table("positions", size, 3, 1)) : nullptr),
        attention(store, "attention", config, RunLength{}, 0, positions),
        memory(ctx, MemoryShape::of(config), 2) {
    store.allocate(ctx, ctx.dtype);
    randomise(store, 0.5);
  }
  TokenBatch batch(TestContext& ctx, int64_t time) const {
    TokenBatch result = make_batch(ctx, 2, time);
    result.memory = &memory;
    return result;
  }
  void pass(TestContext& ctx, int64_t time, uint32_t stream) {
    const TokenBatch segment = batch(ctx, time);
    attention.forward(ctx, segment, ctx.normal({2 * time, 6}, stream));
    attention.remember(ctx, segment);
    memory.advance(time);
  }

  ModelConfig config;
  ParameterStore store;
  Parameter* positions;
  Attention attention;
  ContextMemory memory;
};

TEST_CASE("Attention with a context memory: gradients with the memory as a constant") {
  for (const char* position : {"rope", "none", "relative"}) {
    for (const int64_t size : {2, 5, 12}) {
      for (const int64_t before : {0, 4, 20}) {
        INFO(position << ", memory " << size << ", " << before << " tokens before");
        TestContext ctx(DType::f64);
        Layer layer(ctx, position, size, size == 5 ? "head" : size == 12 ? "full" : "none");
        for (int64_t t = 0; t < before; t += 4) layer.pass(ctx, 4, static_cast<uint32_t>(20 + t));
        CHECK(layer.memory.filled() == std::min(size, before));
        const TokenBatch batch = layer.batch(ctx, 5);
        const Tensor x = ctx.normal({10, 6}, 1), d_y = ctx.normal({10, 6}, 2), d_x = ctx.output({10, 6});
        const auto loss = [&] {
          ctx.reset();
          return dot(layer.attention.forward(ctx, batch, x), d_y);
        };
        loss();
        layer.attention.backward(ctx, d_x, d_y);
        auto tensors = parameters_of(layer.store);
        tensors.push_back({"x", x, d_x});
        check_gradients(loss, tensors, {.samples = 12, .step = 2e-5});
      }
    }
  }
}

TEST_CASE("Attention in segments equals attention in one piece with the same window") {
  for (const char* position : {"rope", "none", "relative"}) {
    for (const int64_t size : {1, 3, 7, 40}) {
      for (const int64_t segment : {1, 4, 12}) {
        INFO(position << ", memory " << size << ", segments of " << segment);
        TestContext ctx(DType::f64);
        Layer layer(ctx, position, size, size == 7 ? "full" : "head");
        const Tensor x = ctx.normal({48, 6}, 1);  // two rows of 24
        const std::vector<double> whole = values(layer.attention.forward(ctx, layer.batch(ctx, 24), x));
        for (int64_t first = 0; first < 24; first += segment) {
          const Tensor part = ctx.output({2 * segment, 6});
          for (int64_t row = 0; row < 2; ++row) {
            for (int64_t i = 0; i < segment * 6; ++i)
              set(part, row * segment * 6 + i, get(x, (row * 24 + first) * 6 + i));
          }
          const TokenBatch batch = layer.batch(ctx, segment);
          const Tensor y = layer.attention.forward(ctx, batch, part);
          for (int64_t i = 0; i < y.size(); ++i) {
            const int64_t row = i / (segment * 6);
            REQUIRE(get(y, i) == Approx(whole[as_index((row * 24 + first) * 6 + i % (segment * 6))]).margin(1e-12));
          }
          layer.attention.remember(ctx, batch);
          layer.memory.advance(segment);
        }
      }
    }
  }
}

TEST_CASE("a context memory counts its bytes, can be cleared, and can be absent") {
  TestContext ctx;
  const ContextMemory none(ctx, MemoryShape::of(model("rope", 0, "none")), 3);
  CHECK_FALSE(none);
  CHECK(none.bytes() == 0);
  ContextMemory memory(ctx, MemoryShape::of(model("rope", 7, "none")), 3);
  CHECK(memory);
  CHECK(memory.bytes() >= 3 * 7 * 12 * sizeof(float));
  CHECK(memory.bytes() < 3 * 7 * 12 * sizeof(float) + 64);
  CHECK(memory.layer(0, 1, 2).shape == (Shape{2, 7, 12}));
  CHECK(memory.filled() == 0);
  memory.advance(5);
  CHECK(memory.filled() == 5);
  memory.advance(5);
  CHECK(memory.filled() == 7);
  memory.clear();
  CHECK(memory.filled() == 0);
}

}  // namespace moe::test
