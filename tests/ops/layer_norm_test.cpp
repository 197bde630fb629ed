#include "core/ops/layer_norm.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/exact.h"
#include "tests/support/gradient_check.h"

namespace moe::test {

namespace {

constexpr double kEps = 1e-2;

struct Norm {
  Norm(TestContext& ctx, int64_t rows, int64_t d)
      : x(ctx.normal({rows, d}, 1, 2)),
        weight(ctx.normal({d}, 2)),
        bias(ctx.normal({d}, 3)),
        d_y(ctx.normal({rows, d}, 4)),
        y(ctx.output({rows, d})),
        statistics(ctx.wide_output({rows, 2})) {}
  Norm(Exact& exact, const Norm& other)
      : x(exact(other.x)),
        weight(exact(other.weight)),
        bias(exact(other.bias)),
        d_y(exact(other.d_y)),
        y(exact.output(other.y.shape)),
        statistics(exact.output(other.statistics.shape)) {}
  void forward(TestContext& ctx) { layer_norm_forward(ctx, y, statistics, x, weight, bias, kEps); }

  Tensor x, weight, bias, d_y, y, statistics;
};

}  // namespace

TEST_CASE("layer norm of a hand-computed row") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.of({1, 2}, {1, 5}), y = ctx.output({1, 2}), statistics = ctx.wide_output({1, 2});
  layer_norm_forward(ctx, y, statistics, x, ctx.of({2}, {3, 10}), ctx.of({2}, {1, -1}), 0);
  check_close("y", y, {-2, 9});  // -1 and 1, times the weight, plus the bias
  check_close("statistics", statistics, {3, 0.5});
}

TEST_CASE("layer norm equals the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 31, 32, 33, 64, 257}) {
    for (const int64_t rows : {1, 3, 33}) {
      Norm norm(ctx, rows, d);
      norm.forward(ctx);
      std::vector<double> expected;
      for (int64_t r = 0; r < rows; ++r) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < d; ++i) mean += get(norm.x, r * d + i) / static_cast<double>(d);
        for (int64_t i = 0; i < d; ++i) variance += std::pow(get(norm.x, r * d + i) - mean, 2) / static_cast<double>(d);
        for (int64_t i = 0; i < d; ++i) {
          expected.push_back((get(norm.x, r * d + i) - mean) / std::sqrt(variance + kEps) * get(norm.weight, i) +
                             get(norm.bias, i));
        }
      }
      check_close(fmt::format("{} rows of {}", rows, d), norm.y, expected,
                  ctx.dtype == DType::f32 ? Tolerance{1e-5, 1e-5} : tolerance_of(ctx.dtype));
    }
  }
}

TEST_CASE("layer norm gradients, accumulated or overwritten", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const int64_t d : {2, 7, 33}) {
    Norm norm(ctx, 4, d);
    norm.forward(ctx);
    const Tensor d_x = ctx.output({4, d}), more = ctx.constant({4, d}, 3), d_weight = ctx.wide_zeros({d}),
                 d_bias = ctx.wide_zeros({d});
    layer_norm_backward(ctx, d_x, d_weight, d_bias, norm.d_y, norm.x, norm.weight, norm.statistics, false);
    const auto loss = [&] {
      norm.forward(ctx);
      return dot(norm.y, norm.d_y);
    };
    check_gradients(loss, {{"x", norm.x, d_x}, {"weight", norm.weight, d_weight}, {"bias", norm.bias, d_bias}},
                    {.step = 2e-5});
    layer_norm_backward(ctx, more, d_weight, d_bias, norm.d_y, norm.x, norm.weight, norm.statistics, true);
    for (int64_t i = 0; i < d_x.size(); ++i) CHECK(get(more, i) == Approx(3 + get(d_x, i)).epsilon(1e-12));
  }
}

TEST_CASE("layer norm backward equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t d : {8, 33, 264, 1024}) {
    Norm norm(ctx, 70, d), norm64(exact, norm);
    const Tensor d_x = ctx.normal({70, d}, 5), d_weight = ctx.wide_normal({d}, 6), d_bias = ctx.wide_normal({d}, 7);
    const Tensor d_x64 = exact(d_x), d_weight64 = exact(d_weight), d_bias64 = exact(d_bias);
    norm.forward(ctx);
    norm64.forward(exact);
    layer_norm_backward(ctx, d_x, d_weight, d_bias, norm.d_y, norm.x, norm.weight, norm.statistics, true);
    layer_norm_backward(exact, d_x64, d_weight64, d_bias64, norm64.d_y, norm64.x, norm64.weight, norm64.statistics,
                        true);
    check_close("y", norm.y, norm64.y, tolerance(ctx));
    check_close("d_x", d_x, d_x64, tolerance(ctx));
    check_close("d_weight", d_weight, d_weight64, {1e-5, 1e-4});
    check_close("d_bias", d_bias, d_bias64, {1e-5, 1e-4});
  }
}

TEST_CASE("layer norm accepts no rows, and refuses invalid arguments") {
  TestContext ctx;
  Norm none(ctx, 0, 5);
  none.forward(ctx);
  const Tensor d_weight = ctx.wide_zeros({5}), d_bias = ctx.wide_zeros({5});
  layer_norm_backward(ctx, ctx.output({0, 5}), d_weight, d_bias, none.d_y, none.x, none.weight, none.statistics, false);
  CHECK(values(d_weight) == std::vector<double>(5));
  Norm norm(ctx, 2, 5);
  CHECK_THROWS_AS(layer_norm_forward(ctx, norm.y, norm.statistics, norm.x, norm.weight, ctx.zeros({4}), kEps),
                  InternalError);
  CHECK_THROWS_AS(layer_norm_forward(ctx, norm.y, ctx.wide_output({2}), norm.x, norm.weight, norm.bias, kEps),
                  InternalError);
}

}  // namespace moe::test
