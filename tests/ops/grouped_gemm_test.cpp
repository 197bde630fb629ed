#include "core/ops/grouped_gemm.h"

#include <array>
#include <cmath>
#include <utility>

#include "core/base/integer.h"
#include "core/ops/dispatch_rows.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/imbalance.h"
#include "tests/support/test_context.h"

namespace moe::test {

// The offsets of each expert's rows when `tokens` tokens have one choice each.
static Tensor offsets_of(TestContext& ctx, int64_t tokens, int64_t experts, const Imbalance& imbalance) {
  std::vector<int32_t> offsets(static_cast<size_t>(experts + 1));
  for (const int32_t e : imbalanced_indices(tokens, 1, experts, imbalance)) {
    if (e >= 0) ++offsets[as_index(e + 1)];
  }
  for (size_t e = 0; e < static_cast<size_t>(experts); ++e) offsets[e + 1] += offsets[e];
  return ctx.of_i32({experts + 1}, offsets);
}

TEST_CASE("grouped product of a hand-computed case") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.of({3, 2}, {1, 2, 3, 4, 5, 6}), y = ctx.output({3, 1});
  const Tensor weight = ctx.of({3, 1, 2}, {1, 1, 7, 7, 1, -1}), offsets = ctx.of_i32({4}, {0, 2, 2, 3});
  grouped_gemm_forward(ctx, y, x, weight, offsets);
  check_close("y", y, {3, 7, -1});
}

// Compares all three products of `rows` rows with double sums.
static void check_products(TestContext& ctx, int64_t experts, int64_t rows, int64_t out, int64_t in,
                           const Imbalance& imbalance) {
  const Tensor offsets = offsets_of(ctx, rows, experts, imbalance);
  const int32_t* first = host_data<int32_t>(offsets);
  const Tensor x = ctx.normal({rows, in}, 1), weight = ctx.normal({experts, out, in}, 2),
               d_y = ctx.normal({rows, out}, 3);
  // Rows past the last offset may hold anything.
  const int64_t used = first[experts];
  set_all(x.slice(used, rows - used), NAN);
  set_all(d_y.slice(used, rows - used), NAN);
  const Tensor y = ctx.constant({rows, out}, -5), d_x = ctx.constant({rows, in}, -5),
               d_weight = ctx.wide_constant(weight.shape, 3);
  grouped_gemm_forward(ctx, y, x, weight, offsets);
  grouped_gemm_backward_input(ctx, d_x, d_y, weight, offsets);
  grouped_gemm_backward_weight(ctx, d_weight, d_y, x, offsets);
  // They must not be changed; weight gradients are accumulated.
  const std::vector<double> xs = values(x), ws = values(weight), d_ys = values(d_y);
  std::vector<double> want_y(static_cast<size_t>(rows * out), -5), want_x(static_cast<size_t>(rows * in), -5),
      want_weight(static_cast<size_t>(weight.size()), 3);
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t r = first[e]; r < first[e + 1]; ++r) {
      for (int64_t o = 0; o < out; ++o) want_y[as_index(r * out + o)] = 0;
      for (int64_t i = 0; i < in; ++i) want_x[as_index(r * in + i)] = 0;
      for (int64_t o = 0; o < out; ++o) {
        const double slope = d_ys[as_index(r * out + o)];
        for (int64_t i = 0; i < in; ++i) {
          const auto w = static_cast<size_t>((e * out + o) * in + i);
          want_y[as_index(r * out + o)] += xs[as_index(r * in + i)] * ws[w];
          want_x[as_index(r * in + i)] += slope * ws[w];
          want_weight[w] += slope * xs[as_index(r * in + i)];
        }
      }
    }
  }
  const std::string what = fmt::format("{} experts, {} rows, {}x{}, {}", experts, rows, out, in, imbalance.name);
  const Tolerance tolerance = ctx.dtype == DType::f64 ? Tolerance{1e-12, 1e-12} : Tolerance{1e-5, 1e-5};
  const Tolerance rounded = ctx.dtype == DType::bf16 ? tolerance_of(ctx.dtype) : tolerance;
  check_close("y, " + what, y, want_y, rounded);
  check_close("d_x, " + what, d_x, want_x, rounded);
  check_close("d_weight, " + what, d_weight, want_weight, tolerance);
  for (double& value : want_weight) value -= 3;
  grouped_gemm_backward_weight(ctx, d_weight, d_y, x, offsets, false);
  check_close("d_weight overwritten, " + what, d_weight, want_weight, tolerance);
}

TEST_CASE("grouped products equal the reference", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t experts : {1, 3, 5}) {
    for (const int64_t rows : {0, 1, 33, 130}) {
      for (const auto& [out, in] : {std::pair{1, 1}, std::pair{31, 33}, std::pair{65, 32}, std::pair{136, 40}}) {
        if (experts == 5 && in != 32) continue;  // one width shows that further experts are found
        for (const Imbalance& imbalance : imbalances(experts, 1))
          check_products(ctx, experts, rows, out, in, imbalance);
      }
    }
  }
}

// Widths of several tiles of Hopper's kernels, in their wide and narrow form, and several rounds of their rings.
TEST_CASE("grouped products of many tiles equal the reference", "[hopper]") {
  TestContext ctx(on_cpu() ? DType::f32 : DType::bf16);
  for (const Imbalance& imbalance : imbalances(4, 1)) {
    check_products(ctx, 4, 300, 264, 328, imbalance);
    check_products(ctx, 4, 150, 392, 24, imbalance);
    check_products(ctx, 2, 140, 8, 520, imbalance);
  }
}

TEST_CASE("grouped product with activation equals the two ops in sequence", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh, Activation::swiglu}) {
    for (const auto& [d_ff, in] : {std::pair{1, 1}, std::pair{33, 31}, std::pair{72, 40}, std::pair{264, 72}}) {
      const int64_t width = width_factor(activation) * d_ff, rows = 170;
      const Tensor offsets = ctx.of_i32({4}, {0, 140, 140, 165});  // 5 rows belong to no expert
      const Tensor x = ctx.normal({rows, in}, 1), weight = ctx.normal({3, width, in}, 2);
      const Tensor z = ctx.constant({rows, width}, -5), y = ctx.constant({rows, d_ff}, -5);
      const Tensor want_z = ctx.constant({rows, width}, -5), want_y = ctx.constant({rows, d_ff}, -5);
      grouped_gemm_activate_forward(ctx, y, z, x, weight, offsets, activation);
      grouped_gemm_forward(ctx, want_z, x, weight, offsets);
      activation_forward(ctx, want_y.slice(0, 165), want_z.slice(0, 165), activation);
      const std::string what = fmt::format(" of activation {}, {}x{}", int(activation), d_ff, in);
      check_close("z" + what, z, values(want_z));
      check_close("y" + what, y, values(want_y));
      CHECK(get(z, 165 * width) == -5);
      CHECK(get(y, rows * d_ff - 1) == -5);
    }
  }
}

TEST_CASE("grouped products of some of the experts have the bits of those of all, and touch no other row", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  constexpr int64_t kExperts = 5, kRows = 300, kOut = 64, kIn = 72;
  for (const Imbalance& imbalance : imbalances(kExperts, 1)) {
    const Tensor offsets = offsets_of(ctx, kRows, kExperts, imbalance), x = ctx.normal({kRows, kIn}, 1),
                 weight = ctx.normal({kExperts, kOut, kIn}, 2), d_y = ctx.normal({kRows, kOut}, 3);
    const Tensor y = ctx.constant({kRows, kOut}, -5), z = ctx.constant({kRows, kOut}, -5),
                 a = ctx.constant({kRows, kOut / 2}, -5), d_x = ctx.constant({kRows, kIn}, -5),
                 d_weight = ctx.wide_constant(weight.shape, -5);
    const auto compute = [&](const Tensor& of_y, const Tensor& of_z, const Tensor& of_a, const Tensor& of_x,
                             const Tensor& of_weight, int64_t begin, int64_t count) {
      const ConstTensor some = offsets.slice(begin, count + 1), weights = weight.slice(begin, count);
      grouped_gemm_forward(ctx, of_y, x, weights, some);
      grouped_gemm_activate_forward(ctx, of_a, of_z, x, weights, some, Activation::swiglu);
      grouped_gemm_backward_input(ctx, of_x, d_y, weights, some);
      grouped_gemm_backward_weight(ctx, of_weight.slice(begin, count), d_y, x, some, false);
    };
    compute(y, z, a, d_x, d_weight, 0, kExperts);
    const Tensor y_in_two = ctx.constant(y.shape, -5), z_in_two = ctx.constant(z.shape, -5),
                 a_in_two = ctx.constant(a.shape, -5), d_x_in_two = ctx.constant(d_x.shape, -5),
                 d_weight_in_two = ctx.wide_constant(weight.shape, -5);
    compute(y_in_two, z_in_two, a_in_two, d_x_in_two, d_weight_in_two, 3, 2);
    const auto untouched = static_cast<size_t>(host_data<int32_t>(offsets)[3]);
    for (const auto& [tensor, width] :
         {std::pair{y_in_two, kOut}, {z_in_two, kOut}, {a_in_two, kOut / 2}, {d_x_in_two, kIn}}) {
      std::vector<double> before = values(tensor);
      before.resize(untouched * as_index(width));
      CHECK(before == std::vector<double>(before.size(), -5));
    }
    compute(y_in_two, z_in_two, a_in_two, d_x_in_two, d_weight_in_two, 0, 3);
    CHECK(values(y_in_two) == values(y));
    CHECK(values(z_in_two) == values(z));
    CHECK(values(a_in_two) == values(a));
    CHECK(values(d_x_in_two) == values(d_x));
    CHECK(values(d_weight_in_two) == values(d_weight));
  }
}

TEST_CASE("grouped product gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.normal({6, 3}, 1), weight = ctx.normal({3, 4, 3}, 2), d_y = ctx.normal({6, 4}, 3),
               y = ctx.output({6, 4});
  const Tensor offsets = ctx.of_i32({4}, {0, 1, 1, 6}), d_x = ctx.output(x.shape), d_weight = ctx.zeros(weight.shape);
  grouped_gemm_backward_input(ctx, d_x, d_y, weight, offsets);
  grouped_gemm_backward_weight(ctx, d_weight, d_y, x, offsets);
  const auto loss = [&] {
    grouped_gemm_forward(ctx, y, x, weight, offsets);
    return dot(y, d_y);
  };
  check_gradients(loss, {{"x", x, d_x}, {"weight", weight, d_weight}}, {.samples = 36});
}

TEST_CASE("grouped products give identical bits for any number of threads", "[cpu]") {
  TestContext ctx;
  const Tensor x = ctx.normal({130, 70}, 1), weight = ctx.normal({4, 90, 70}, 2), d_y = ctx.normal({130, 90}, 3);
  const Tensor offsets = ctx.of_i32({5}, {0, 100, 100, 101, 130});
  const auto all = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    const std::array<Tensor, 3> result{ctx.output({130, 90}), ctx.output({130, 70}), ctx.zeros(weight.shape)};
    grouped_gemm_forward(ctx, result[0], x, weight, offsets);
    grouped_gemm_backward_input(ctx, result[1], d_y, weight, offsets);
    grouped_gemm_backward_weight(ctx, result[2], d_y, x, offsets);
    return result;
  };
  const auto one = all(1), two = all(2);
  for (size_t i = 0; i < 3; ++i) check_same_bits(fmt::format("result {}", i), two[i], one[i]);
}

TEST_CASE("grouped products refuse invalid shapes") {
  TestContext ctx;
  const Tensor x = ctx.zeros({4, 3}), weight = ctx.zeros({2, 5, 3}), offsets = ctx.of_i32({3}, {0, 2, 4}),
               y = ctx.output({4, 5});
  CHECK_THROWS_AS(grouped_gemm_forward(ctx, ctx.output({4, 6}), x, weight, offsets), InternalError);
  CHECK_THROWS_AS(grouped_gemm_forward(ctx, ctx.output({3, 5}), x, weight, offsets), InternalError);
  CHECK_THROWS_AS(grouped_gemm_forward(ctx, y, x, weight, ctx.of_i32({2}, {0, 4})), InternalError);
  CHECK_THROWS_AS(grouped_gemm_forward(ctx, y, x, weight, ctx.zeros({3})), InternalError);
  CHECK_THROWS_AS(grouped_gemm_activate_forward(ctx, y, y, x, weight, offsets, Activation::swiglu), InternalError);
  CHECK_THROWS_AS(grouped_gemm_backward_input(ctx, ctx.output({4, 2}), y, weight, offsets), InternalError);
  CHECK_THROWS_AS(grouped_gemm_backward_weight(ctx, ctx.zeros({2, 5, 2}), y, x, offsets), InternalError);
}

}  // namespace moe::test
