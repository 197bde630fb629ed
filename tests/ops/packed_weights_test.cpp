#include "core/ops/packed_weights.h"

#include <functional>
#include <optional>
#include <vector>

#include "core/ops/grouped_gemm.h"
#include "core/ops/matmul.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"

namespace moe::test {

// Bytes of the tiles of a weight in one form, where this processor keeps any.
static size_t bytes_of(int64_t out, int64_t in) {
  return cpu::can_pack_b() ? static_cast<size_t>(2 * cpu::packed_elements(out, in)) : 0;
}

TEST_CASE("weights that are kept packed change no bit of a product", "[cpu]") {
  TestContext ctx(DType::f32, Device::cpu);
  ctx.products = Products::bf16;
  PackedWeights weights(Arena("packed weights", Device::cpu, size_t{1} << 20));
  const int64_t rows = 70, out = 45, in = 67, experts = 3;
  const Tensor x = ctx.normal({rows, in}, 1), d_y = ctx.normal({rows, out}, 2);
  const Tensor weight = ctx.normal({out, in}, 3), expert_weight = ctx.normal({experts, out, in}, 4);
  const Tensor offsets = ctx.of_i32({experts + 1}, {0, 40, 40, 70});
  const auto products = [&] {
    const Tensor y = ctx.output({rows, out}), d_x = ctx.output({rows, in}), expert_y = ctx.output({rows, out}),
                 expert_d_x = ctx.output({rows, in});
    linear_forward(ctx, y, x, weight, ctx.products);
    linear_backward_input(ctx, d_x, d_y, weight, false, ctx.products);
    grouped_gemm_forward(ctx, expert_y, x, expert_weight, offsets);
    grouped_gemm_backward_input(ctx, expert_d_x, d_y, expert_weight, offsets);
    return std::vector{values(y), values(d_x), values(expert_y), values(expert_d_x)};
  };
  const auto kept = [&](int times) {
    ctx.packed_weights = &weights;
    std::vector<std::vector<double>> results;
    {
      const PackedWeightsScope scope(ctx);
      for (int i = 0; i < times; ++i) results = products();
    }
    ctx.packed_weights = nullptr;
    return results;
  };
  const auto before = products();
  CHECK(kept(2) == before);
  const size_t bytes = 2 * (1 + experts) * bytes_of(out, in);
  CHECK(weights.bytes() == bytes);

  // Another scope sees what has changed in between, and takes no further memory.
  set(weight, 0, 3);
  set(expert_weight, expert_weight.size() - 1, 3);
  const auto after = products();
  CHECK(after != before);
  CHECK(kept(2) == after);
  CHECK(weights.bytes() == bytes);
}

TEST_CASE("only products in bf16 within a scope keep weights packed", "[cpu]") {
  TestContext ctx(DType::f32, Device::cpu);
  PackedWeights weights(Arena("packed weights", Device::cpu, size_t{1} << 20));
  ctx.packed_weights = &weights;
  const Tensor x = ctx.normal({2, 8}, 1), weight = ctx.normal({3, 8}, 2), y = ctx.output({2, 3});
  linear_forward(ctx, y, x, weight, Products::bf16);
  {
    const PackedWeightsScope once(ctx, false);
    linear_forward(ctx, y, x, weight, Products::bf16);
  }
  {
    const PackedWeightsScope scope(ctx);
    linear_forward(ctx, y, x, weight);
    CHECK(weights.bytes() == 0);
    {
      const PackedWeightsScope inner(ctx);
      linear_forward(ctx, y, x, weight, Products::bf16);
    }
    CHECK(weights.bytes() == bytes_of(3, 8));
    CHECK_THROWS_AS(PackedWeights::expect_no_scope(ctx), InternalError);
  }
  CHECK_NOTHROW(PackedWeights::expect_no_scope(ctx));
}

}  // namespace moe::test
