#include "core/ops/activation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

static constexpr Activation kActivations[] = {Activation::relu, Activation::gelu_tanh, Activation::gelu_erf,
                                              Activation::swiglu};

static double silu(double x) {
  return x / (1 + std::exp(-x));
}
static double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
static double gelu_erf(double x) {
  return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
}

static std::vector<double> reference(ConstTensor z, int64_t d_ff, Activation activation) {
  std::vector<double> y;
  for (int64_t r = 0; r < z.dim(0); ++r) {
    for (int64_t i = 0; i < d_ff; ++i) {
      const double x = get(z, r * z.dim(1) + i);
      y.push_back(activation == Activation::relu        ? std::max(x, 0.0)
                  : activation == Activation::gelu_tanh ? gelu_tanh(x)
                  : activation == Activation::gelu_erf  ? gelu_erf(x)
                                                        : silu(x) * get(z, r * z.dim(1) + d_ff + i));
    }
  }
  return y;
}

TEST_CASE("activations have their known values") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.of({1, 4}, {-1, 2, 3, 0.5}), y = ctx.output({1, 4}), gated = ctx.output({1, 2});
  activation_forward(ctx, y, z, Activation::relu);
  check_close("relu", y, {0, 2, 3, 0.5});
  activation_forward(ctx, y, z, Activation::gelu_tanh);
  check_close("gelu_tanh", y, {-0.15880800939172324, 1.9545976940877750, 2.9963626079182273, 0.34571400982514394});
  activation_forward(ctx, y, z, Activation::gelu_erf);
  check_close("gelu_erf", y, {-0.15865525393145707, 1.9544997361036416, 2.99595030590511, 0.34573123063700656});
  activation_forward(ctx, gated, z, Activation::swiglu);  // gates -1, 2; up values 3, 0.5
  check_close("swiglu", gated, {-0.8068242641109854, 0.8807970779778824});
}

TEST_CASE("activations equal the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const Activation activation : kActivations) {
    for (const int64_t rows : {0, 1, 5}) {
      for (const int64_t d_ff : {1, 31, 32, 33, 257}) {
        const Tensor z = ctx.normal({rows, width_factor(activation) * d_ff}, 1, 3), y = ctx.output({rows, d_ff});
        activation_forward(ctx, y, z, activation);
        check_close(fmt::format("activation {} of {}", int(activation), z.shape.to_string()), y,
                    reference(z, d_ff, activation),
                    ctx.dtype == DType::f32 ? Tolerance{1e-6, 1e-6} : tolerance_of(ctx.dtype));
      }
    }
  }
}

TEST_CASE("activations leave rows past the last group unchanged") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor offsets = ctx.of_i32({3}, {0, 1, 3});
  for (const Activation activation : kActivations) {
    const int64_t d_ff = 8, width = d_ff * width_factor(activation);
    const Tensor z = ctx.normal({5, width}, 2), d_y = ctx.normal({5, d_ff}, 3);
    const Tensor y = ctx.output({5, d_ff}), d_z = ctx.output({5, width});
    const Tensor all_y = ctx.output({5, d_ff}), all_d_z = ctx.output({5, width});
    activation_forward(ctx, all_y, z, activation);
    activation_forward(ctx, y, z, activation, offsets);
    activation_backward(ctx, all_d_z, d_y, z, activation);
    activation_backward(ctx, d_z, d_y, z, activation, offsets);
    CHECK(values(y.slice(0, 3)) == values(all_y.slice(0, 3)));
    CHECK(values(d_z.slice(0, 3)) == values(all_d_z.slice(0, 3)));
    for (const double untouched : values(y.slice(3, 2))) CHECK(std::isnan(untouched));
    for (const double untouched : values(d_z.slice(3, 2))) CHECK(std::isnan(untouched));
  }
}

TEST_CASE("activations stay finite for large inputs") {
  TestContext ctx;
  for (const Activation activation : kActivations) {
    const Tensor z = ctx.of({1, 4}, {-1e4, 1e4, -200, 200}), d_z = ctx.output({1, 4});
    const Tensor y = ctx.output({1, 4 / width_factor(activation)});
    activation_forward(ctx, y, z, activation);
    check_close("far out", y, reference(z, y.dim(1), activation), {1e-5, 1e-5});
    activation_backward(ctx, d_z, ctx.constant(y.shape, 1), z, activation);
    for (const double slope : values(d_z)) CHECK(std::isfinite(slope));
  }
}

TEST_CASE("the two forms of GELU differ by up to half a thousandth, and f32 keeps gelu_erf's digits in both tails") {
  TestContext ctx(DType::f32);
  const int64_t n = 2401;
  const Tensor z = ctx.output({1, n}), y = ctx.output({1, n}), approximate = ctx.output({1, n});
  for (int64_t i = 0; i < n; ++i) set(z, i, static_cast<double>(i - 1200) / 100);
  activation_forward(ctx, y, z, Activation::gelu_erf);
  activation_forward(ctx, approximate, z, Activation::gelu_tanh);
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    CHECK(get(y, i) == Approx(gelu_erf(get(z, i))).epsilon(2e-5));
    largest = std::max(largest, std::abs(get(y, i) - get(approximate, i)));
  }
  CHECK(largest > 4e-4);
  CHECK(largest < 6e-4);
}

// Derivatives with respect to x, for up = 1.
static double slope(Activation activation, double x) {
  const double step = 1e-6;
  if (activation == Activation::relu) return x > 0;
  if (activation == Activation::gelu_tanh) return (gelu_tanh(x + step) - gelu_tanh(x - step)) / (2 * step);
  if (activation == Activation::gelu_erf) return (gelu_erf(x + step) - gelu_erf(x - step)) / (2 * step);
  return (silu(x + step) - silu(x - step)) / (2 * step);
}

TEST_CASE("activations and their derivatives are as exact as their types allow, also in the tails") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const bool rounds = ctx.dtype == DType::bf16;
  const int64_t n = 4001;
  for (const Activation activation : kActivations) {
    std::vector<double> inputs, ups(width_factor(activation) == 2 ? as_index(n) : 0, 1);
    for (int64_t i = 0; i < n; ++i) inputs.push_back(static_cast<double>(i - 2000) / 100);  // -20 to 20
    inputs.insert(inputs.end(), ups.begin(), ups.end());
    const Tensor z = ctx.of({1, n * width_factor(activation)}, inputs), y = ctx.output({1, n}),
                 d_z = ctx.output(z.shape);
    activation_forward(ctx, y, z, activation);
    activation_backward(ctx, d_z, ctx.constant({1, n}, 1), z, activation);
    const std::vector<double> expected = reference(z, n, activation);
    // What tanh.approx may add in bf16; relu and gelu_erf do not use it.
    const bool has_tanh = activation == Activation::gelu_tanh || activation == Activation::swiglu;
    const double by_tanh = rounds && has_tanh ? std::ldexp(1, -12) : 0;
    for (int64_t i = 0; i < n; ++i) {
      const double x = get(z, i), exact = expected[as_index(i)], own_slope = slope(activation, x);
      const double before = 1e-6 * std::abs(x) + by_tanh * std::abs(x), rounding = rounds ? std::ldexp(1, -8) : 0;
      INFO("activation " << int(activation) << " of " << x);
      REQUIRE(std::abs(get(y, i) - exact) <= before + rounding * (std::abs(exact) + before));
      REQUIRE(std::abs(get(d_z, i) - own_slope) <= 4e-6 * (1 + std::abs(x)) + rounding * (std::abs(own_slope) + 1e-4));
    }
  }
}

TEST_CASE("activation gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const Activation activation : kActivations) {
    const Tensor z = ctx.normal({3, width_factor(activation) * 7}, 2), d_y = ctx.normal({3, 7}, 3);
    const Tensor y = ctx.output({3, 7}), d_z = ctx.output(z.shape);  // NaN, to show that backward overwrites
    activation_backward(ctx, d_z, d_y, z, activation);
    const auto loss = [&] {
      activation_forward(ctx, y, z, activation);
      return dot(y, d_y);
    };
    check_gradients(loss, {{fmt::format("z of activation {}", int(activation)), z, d_z}}, {.samples = 42});
  }
}

TEST_CASE("activations refuse invalid shapes and names") {
  TestContext ctx;
  CHECK_THROWS_AS(activation_forward(ctx, ctx.output({2, 3}), ctx.zeros({2, 3}), Activation::swiglu), InternalError);
  CHECK_THROWS_AS(activation_forward(ctx, ctx.output({2, 3}), ctx.zeros({1, 3}), Activation::relu), InternalError);
  CHECK_THROWS_AS(
      activation_backward(ctx, ctx.output({2, 3}), ctx.zeros({2, 3}), ctx.zeros({2, 6}), Activation::swiglu),
      InternalError);
  CHECK_THROWS_AS(activation_forward(ctx, ctx.output({2, 3}, DType::f64), ctx.zeros({2, 3}), Activation::relu),
                  InternalError);
  CHECK(activation_from_name("gelu_tanh") == Activation::gelu_tanh);
  CHECK_THROWS_AS(activation_from_name("tanh"), UsageError);
}

}  // namespace moe::test
