#include "core/ops/cached_attention.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "core/ops/attention.h"
#include "core/ops/rope.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {
namespace {

// Rows [first, first + count) of each sequence of x (sequences * time, width).
Tensor part_of(TestContext& ctx, ConstTensor x, int64_t time, int64_t first, int64_t count) {
  const int64_t sequences = x.dim(0) / time, width = x.dim(1);
  std::vector<double> part;
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t i = 0; i < count * width; ++i) part.push_back(get(x, (s * time + first) * width + i));
  }
  return ctx.of(Shape{sequences * count, width}, part);
}

Tensor numbers(TestContext& ctx, const std::vector<int32_t>& values) {
  return ctx.of_i32(Shape{std::ssize(values)}, values);
}

const AttentionLayout kLayouts[] = {{1, 1, 1, 3}, {40, 2, 2, 16}, {23, 6, 2, 33}, {130, 4, 2, 33}, {300, 6, 1, 8}};

}  // namespace

// The text is read in pieces of all lengths; the rows of the cache are not in order, and one is left out.
TEST_CASE("attention with a cache equals attention over the whole sequence") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const bool is_exact = ctx.device == Device::cpu && ctx.dtype == DType::f32;
  for (const AttentionLayout& layout : kLayouts) {
    if (ctx.device != Device::cpu && layout.time > 40) continue;  // the emulated device would take half a minute
    const int64_t time = layout.time, tokens = 2 * time;
    const Tensor qkv = ctx.normal({tokens, layout.width()}, 1);
    const Tensor whole = ctx.output({tokens, layout.heads * layout.d_head});
    attention_forward(ctx, whole, ctx.wide_output({tokens, layout.heads}), qkv, layout);
    const Tensor rows = numbers(ctx, {2, 0});
    for (const int64_t piece : {int64_t{1}, int64_t{7}, int64_t{97}, time}) {
      const Tensor cache = ctx.constant({3, time + 2, layout.memory_width()}, 5);
      for (int64_t start = 0; start < time; start += piece) {
        AttentionLayout now = layout;
        now.time = std::min(piece, time - start);
        const Tensor out = ctx.output({2 * now.time, layout.heads * layout.d_head});
        const auto first = static_cast<int32_t>(start);
        cached_attention_forward(ctx, out, cache, part_of(ctx, qkv, time, start, now.time), rows,
                                 numbers(ctx, {first, first}), now);
        const Tensor expected = part_of(ctx, whole, time, start, now.time);
        if (is_exact)
          check_same_bits("out", out, expected);
        else
          check_close("out", out, expected);
      }
    }
  }
}

TEST_CASE("sequences of different lengths share a cache") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const AttentionLayout layout{1, 4, 2, 16};
  const std::vector<int32_t> starts = {0, 17, 5};
  const Tensor cache = ctx.normal({4, 20, layout.memory_width()}, 1);
  const Tensor qkv = ctx.normal({3, layout.width()}, 2);
  const Tensor out = ctx.output({3, layout.heads * layout.d_head});
  const std::vector<double> before = values(cache);
  cached_attention_forward(ctx, out, cache, qkv, numbers(ctx, {3, 1, 0}), numbers(ctx, starts), layout);
  for (int64_t s = 0; s < 3; ++s) {
    const Tensor alone = ctx.of(cache.shape, before), one = ctx.output({1, layout.heads * layout.d_head});
    const int32_t row = s == 0 ? 3 : s == 1 ? 1 : 0;
    cached_attention_forward(ctx, one, alone, part_of(ctx, qkv, 3, s, 1), numbers(ctx, {row}),
                             numbers(ctx, {starts[as_index(s)]}), layout);
    check_same_bits("out", part_of(ctx, out, 3, s, 1), one);
  }
}

TEST_CASE("attention with a cache gives the same bits with any number of threads", "[cpu]") {
  TestContext ctx(DType::f32);
  const AttentionLayout layout{9, 4, 2, 24};
  const Tensor qkv = ctx.normal({18, layout.width()}, 2), rows = numbers(ctx, {0, 1}), starts = numbers(ctx, {30, 3});
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 5}) {
    const ThreadCount count(threads);
    const Tensor cache = ctx.normal({2, 50, layout.memory_width()}, 1);
    results.push_back(ctx.output({18, layout.heads * layout.d_head}));
    cached_attention_forward(ctx, results.back(), cache, qkv, rows, starts, layout);
  }
  for (const Tensor& result : results) check_same_bits("out", result, results.front());
}

TEST_CASE("a cache that is too small is refused", "[cpu]") {
  TestContext ctx(DType::f32);
  const AttentionLayout layout{3, 2, 2, 8};
  const Tensor qkv = ctx.normal({3, layout.width()}, 2), out = ctx.output({3, 16});
  const Tensor cache = ctx.zeros({1, 10, layout.memory_width()});
  CHECK_THROWS_AS(cached_attention_forward(ctx, out, cache, qkv, numbers(ctx, {0}), numbers(ctx, {8}), layout),
                  InternalError);
  CHECK_THROWS_AS(cached_attention_forward(ctx, out, cache, qkv, numbers(ctx, {1}), numbers(ctx, {0}), layout),
                  InternalError);
}

// In pieces, and with sequences that start at different positions.
TEST_CASE("rope of a piece at a start equals rope of the whole sequence") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const AttentionLayout layout{24, 2, 1, 8};
  const RopeFrequencies frequencies{8, 100};
  const Tensor qkv = ctx.normal({48, layout.width()}, 1);
  const Tensor whole = ctx.of(qkv.shape, values(qkv));
  rope_forward(ctx, whole, layout, frequencies);
  AttentionLayout piece = layout;
  piece.time = 5;
  for (const auto& [first, second] : {std::pair{0, 0}, {3, 11}, {19, 2}}) {
    std::vector<double> rows, expected;
    for (int64_t s = 0; s < 2; ++s) {
      const int64_t start = s == 0 ? first : second;
      for (int64_t i = 0; i < 5 * layout.width(); ++i) {
        rows.push_back(get(qkv, (s * 24 + start) * layout.width() + i));
        expected.push_back(get(whole, (s * 24 + start) * layout.width() + i));
      }
    }
    const Tensor part = ctx.of(Shape{10, layout.width()}, rows);
    rope_forward(ctx, part, piece, frequencies, numbers(ctx, {first, second}));
    check_same_bits("out", part, ctx.of(part.shape, expected));
  }
}

}  // namespace moe::test
