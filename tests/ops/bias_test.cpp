#include "core/ops/bias.h"

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

// Offsets of groups, with empty groups at the start, the end and in between, and rows that belong to no group, before
// the first or after the last.
std::vector<std::vector<int32_t>> group_cases(int32_t rows) {
  return {{0, rows}, {0, 0, rows / 2, rows / 2, rows, rows}, {0, rows / 3, rows - 1}, {rows / 3, rows / 2, rows}};
}

}  // namespace

TEST_CASE("a bias is added to every row, or to those of its group") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int32_t rows : {1, 33, 100}) {
    for (const int64_t n : {1, 31, 32, 33, 257}) {
      const Tensor x = ctx.normal({rows, n}, 1), bias = ctx.normal({n}, 2), y = ctx.copy_of(x);
      bias_forward(ctx, y, bias);
      std::vector<double> expected;
      for (int64_t i = 0; i < x.size(); ++i) expected.push_back(get(x, i) + get(bias, i % n));
      check_close("all", y, expected);
      for (const std::vector<int32_t>& offsets : group_cases(rows)) {
        const auto groups = static_cast<int64_t>(offsets.size()) - 1;
        const Tensor biases = ctx.normal({groups, n}, 3), z = ctx.copy_of(x);
        bias_forward(ctx, z, biases, ctx.of_i32({groups + 1}, offsets));
        expected.clear();
        for (int64_t i = 0; i < x.size(); ++i) expected.push_back(get(x, i));
        for (int64_t g = 0; g < groups; ++g) {
          for (int64_t i = offsets[as_index(g)] * n; i < offsets[static_cast<size_t>(g) + 1] * n; ++i)
            expected[as_index(i)] += get(biases, g * n + i % n);
        }
        check_close(fmt::format("{} groups of {} rows", groups, rows), z, expected);
      }
    }
  }
}

TEST_CASE("a bias's gradient sums the rows") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int32_t rows : {1, 33, 100}) {
    for (const int64_t n : {1, 33, 70}) {
      const Tensor d_y = ctx.normal({rows, n}, 1), d_bias = ctx.wide_normal({n}, 2);
      std::vector<double> expected = values(d_bias);
      for (int64_t i = 0; i < d_y.size(); ++i) expected[as_index(i % n)] += get(d_y, i);
      bias_backward(ctx, d_bias, d_y);
      check_close("all", d_bias, expected, {1e-5, 1e-5});
      for (const std::vector<int32_t>& offsets : group_cases(rows)) {
        for (const bool accumulate : {true, false}) {
          const auto groups = static_cast<int64_t>(offsets.size()) - 1;
          const Tensor sums = ctx.wide_normal({groups, n}, 3);
          expected = accumulate ? values(sums) : std::vector<double>(static_cast<size_t>(groups * n));
          for (int64_t g = 0; g < groups; ++g) {
            for (int64_t i = offsets[as_index(g)] * n; i < offsets[static_cast<size_t>(g) + 1] * n; ++i)
              expected[as_index(g * n + i % n)] += get(d_y, i);
          }
          bias_backward(ctx, sums, d_y, ctx.of_i32({groups + 1}, offsets), accumulate);
          check_close(fmt::format("{} groups of {} rows", groups, rows), sums, expected, {1e-5, 1e-5});
        }
      }
    }
  }
}

TEST_CASE("a narrow bias is added to wide rows") {
  TestContext ctx(DType::bf16);
  if (on_cpu()) return;
  const Tensor y = ctx.wide_constant({3, 40}, 0.001), bias = ctx.normal({40}, 1);
  bias_forward(ctx, y, bias);
  for (int64_t i = 0; i < y.size(); ++i) CHECK(get(y, i) == Approx(0.001 + get(bias, i % 40)).epsilon(1e-6));
}

TEST_CASE("a bias accepts no rows, and refuses invalid arguments") {
  TestContext ctx;
  bias_forward(ctx, ctx.zeros({0, 4}), ctx.zeros({4}));
  const Tensor d_bias = ctx.wide_constant({4}, 2);
  bias_backward(ctx, d_bias, ctx.zeros({0, 4}));
  CHECK(values(d_bias) == std::vector<double>(4, 2));
  CHECK_THROWS_AS(bias_forward(ctx, ctx.zeros({3, 4}), ctx.zeros({5})), InternalError);
  CHECK_THROWS_AS(bias_forward(ctx, ctx.zeros({3, 4}), ctx.zeros({2, 4}), ctx.of_i32({2}, {0, 3})), InternalError);
}

}  // namespace moe::test
