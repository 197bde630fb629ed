#include "core/ops/rms_norm.h"

#include <array>
#include <cmath>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("RMS norm of a hand-computed row") {
  TestContext ctx(DType::f64);
  const Tensor y = ctx.output({2, 2}), inverse_rms = ctx.output({2});
  rms_norm_forward(ctx, y, inverse_rms, ctx.of({2, 2}, {1, 7, 0, 0}), ctx.of({2}, {1, -2}), 0.04);
  const double scale = 1 / std::sqrt(25.04);
  check_close("y", y, {scale, -14 * scale, 0, 0});
  check_close("inverse_rms", inverse_rms, {scale, 5});
}

TEST_CASE("RMS norm equals the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const double eps = 1e-5;
  for (const int64_t rows : {0, 1, 33}) {
    for (const int64_t d : {1, 31, 32, 33, 64, 65, 257}) {
      const Tensor x = ctx.normal({rows, d}, 1), weight = ctx.normal({d}, 2), d_y = ctx.normal({rows, d}, 3);
      const Tensor y = ctx.output({rows, d}), inverse_rms = ctx.wide_output({rows});
      const Tensor d_x = ctx.output({rows, d}), d_weight = ctx.wide_constant({d}, 2);
      std::vector<double> want_y, want_rms, want_x, want_weight(static_cast<size_t>(d), 2);
      for (int64_t r = 0; r < rows; ++r) {
        double squares = 0, mean = 0;
        for (int64_t i = 0; i < d; ++i) squares += std::pow(get(x, r * d + i), 2);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(d) + eps);
        want_rms.push_back(scale);
        for (int64_t i = 0; i < d; ++i) {
          const double n = get(x, r * d + i) * scale;
          want_y.push_back(n * get(weight, i));
          mean += n * get(weight, i) * get(d_y, r * d + i) / static_cast<double>(d);
          want_weight[as_index(i)] += n * get(d_y, r * d + i);
        }
        for (int64_t i = 0; i < d; ++i) {
          want_x.push_back(scale * (get(weight, i) * get(d_y, r * d + i) - get(x, r * d + i) * scale * mean));
        }
      }
      const std::string what = fmt::format(", {} rows of {}", rows, d);
      rms_norm_forward(ctx, y, inverse_rms, x, weight, eps);
      check_close("y" + what, y, want_y);
      check_close("inverse_rms" + what, inverse_rms, want_rms);
      rms_norm_backward(ctx, d_x, d_weight, d_y, x, weight, inverse_rms, false);
      // In a row of one element the terms of d_x cancel up to their last digits.
      const Tolerance tolerance = ctx.dtype == DType::f64   ? Tolerance{1e-12, 1e-12}
                                  : ctx.dtype == DType::f32 ? Tolerance{1e-5, 1e-5}
                                                            : Tolerance{2e-2, 1e-2};
      check_close("d_x" + what, d_x, want_x, tolerance);
      check_close("d_weight" + what, d_weight, want_weight);
      rms_norm_backward(ctx, d_x, d_weight, d_y, x, weight, inverse_rms, true);
      for (double& value : want_x) value *= 2;
      check_close("d_x, accumulated" + what, d_x, want_x, tolerance);
    }
  }
}

TEST_CASE("RMS norm gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const int64_t d : {1, 9, 70}) {
    const Tensor x = ctx.normal({3, d}, 1), weight = ctx.normal({d}, 2), d_y = ctx.normal({3, d}, 3);
    const Tensor y = ctx.output(x.shape), inverse_rms = ctx.output({3}), d_x = ctx.output(x.shape),
                 d_weight = ctx.zeros({d});
    rms_norm_forward(ctx, y, inverse_rms, x, weight, 0.01);
    rms_norm_backward(ctx, d_x, d_weight, d_y, x, weight, inverse_rms, false);
    const auto loss = [&] {
      rms_norm_forward(ctx, y, inverse_rms, x, weight, 0.01);
      return dot(y, d_y);
    };
    check_gradients(loss, {{"x", x, d_x}, {"weight", weight, d_weight}}, {.step = 2e-5});
  }
}

TEST_CASE("RMS norm of a row of zeros is zero, with a finite gradient") {
  TestContext ctx;
  const Tensor x = ctx.zeros({1, 4}), weight = ctx.constant({4}, 1), y = ctx.output({1, 4}),
               inverse_rms = ctx.output({1});
  const Tensor d_x = ctx.output({1, 4}), d_weight = ctx.zeros({4});
  rms_norm_forward(ctx, y, inverse_rms, x, weight, 1e-6);
  check_close("y", y, {0, 0, 0, 0}, {});
  rms_norm_backward(ctx, d_x, d_weight, ctx.constant({1, 4}, 1), x, weight, inverse_rms, false);
  check_close("d_x", d_x, {1e3, 1e3, 1e3, 1e3});
}

TEST_CASE("RMS norm gives identical bits for any number of threads", "[cpu]") {
  TestContext ctx;
  const Tensor x = ctx.normal({130, 257}, 1), weight = ctx.normal({257}, 2), d_y = ctx.normal({130, 257}, 3);
  const auto all = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    const Tensor y = ctx.output(x.shape), inverse_rms = ctx.output({130}), d_x = ctx.output(x.shape),
                 d_weight = ctx.zeros({257});
    rms_norm_forward(ctx, y, inverse_rms, x, weight, 1e-5);
    rms_norm_backward(ctx, d_x, d_weight, d_y, x, weight, inverse_rms, false);
    return std::array{y, d_x, d_weight};
  };
  const auto one = all(1), two = all(2);
  for (size_t i = 0; i < 3; ++i) check_same_bits(fmt::format("result {}", i), two[i], one[i]);
}

TEST_CASE("RMS norm refuses invalid shapes") {
  TestContext ctx;
  const Tensor x = ctx.zeros({2, 3}), weight = ctx.zeros({3}), rms = ctx.output({2}), y = ctx.output({2, 3});
  CHECK_THROWS_AS(rms_norm_forward(ctx, ctx.output({2, 4}), rms, x, weight, 0), InternalError);
  CHECK_THROWS_AS(rms_norm_forward(ctx, y, ctx.output({3}), x, weight, 0), InternalError);
  CHECK_THROWS_AS(rms_norm_forward(ctx, y, rms, x, ctx.zeros({2}), 0), InternalError);
  CHECK_THROWS_AS(rms_norm_backward(ctx, ctx.output({1, 3}), weight, x, x, weight, rms, false), InternalError);
  CHECK_THROWS_AS(rms_norm_backward(ctx, y, ctx.zeros({4}), x, x, weight, rms, false), InternalError);
}

}  // namespace moe::test
