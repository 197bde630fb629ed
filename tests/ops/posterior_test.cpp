#include "core/ops/posterior.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <tuple>
#include <vector>

#include "comm/communicator.h"
#include "core/ops/elementwise.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/exact.h"
#include "tests/support/gradient_check.h"
#include "tests/support/routing_tensors.h"
#include "tests/support/test_context.h"

namespace moe::test {

static const RandomKey kKey{.seed = 1, .purpose = RandomPurpose::test, .stream = 3};

TEST_CASE("squares and variances equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t n : {1, 31, 33, 257}) {
    const Tensor x = ctx.normal({5, n}, 1), d_y = ctx.normal({5, n}, 2), d_x = ctx.normal({5, n}, 3),
                 y = ctx.output(x.shape), y64 = exact.output(x.shape), d_x64 = exact(d_x);
    square_forward(ctx, y, x);
    square_forward(exact, y64, exact(x));
    check_close("squares", y, y64, tolerance(ctx));
    square_backward(ctx, d_x, d_y, x);
    square_backward(exact, d_x64, exact(d_y), exact(x));
    check_close("gradient of squares", d_x, d_x64, tolerance(ctx));

    const Tensor variance = ctx.output(x.shape), variance64 = exact.output(x.shape), d = ctx.wide_normal(x.shape, 4),
                 d_variance = ctx.wide_normal(x.shape, 5), d64 = exact(d);
    variance_forward(ctx, variance, x);
    variance_forward(exact, variance64, exact(x));
    check_close("variances", variance, variance64, tolerance(ctx));
    variance_backward(ctx, d, d_variance, x);
    variance_backward(exact, d64, exact(d_variance), exact(x));
    check_close("gradient of variances", d, d64, tolerance(ctx));
  }
}

TEST_CASE("sampled logits equal the CPU's in f64, for any split, and are means without a key") {
  TestContext ctx;
  Exact exact;
  for (const int64_t n : {1, 31, 33}) {
    const Tensor means = ctx.normal({21, n}, 1), variances = ctx.output(means.shape);
    for (int64_t i = 0; i < variances.size(); ++i)
      set(variances, i, i % 7 == 3 ? 0 : 0.1 * static_cast<double>(i % 5 + 1));
    for (const RandomKey* key : {&kKey, static_cast<const RandomKey*>(nullptr)}) {
      const Tensor logits = ctx.copy_of(means), deviation = ctx.copy_of(variances), parts = ctx.copy_of(means),
                   deviations = ctx.copy_of(variances), logits64 = exact(means), deviation64 = exact(variances);
      sample_logits_forward(ctx, logits, deviation, key, 100);
      sample_logits_forward(ctx, parts.slice(0, 8), deviations.slice(0, 8), key, 100);
      sample_logits_forward(ctx, parts.slice(8, 13), deviations.slice(8, 13), key, 108);
      check_same_bits("two parts", parts, logits);
      sample_logits_forward(exact, logits64, deviation64, key, 100);
      check_close("logits", logits, logits64);
      check_close("deviations", deviation, deviation64);
      if (!key) check_same_bits("means", logits, means);
      const Tensor d = ctx.normal(means.shape, 6), d_variance = ctx.output(means.shape),
                   d_variance64 = exact.output(means.shape);
      sample_logits_backward(ctx, d_variance, d, deviation, key, 100);
      sample_logits_backward(exact, d_variance64, exact(d), deviation64, key, 100);
      check_close("gradient of variances", d_variance, d_variance64, {1e-4, 1e-5});
    }
  }
}

TEST_CASE("the divergence from the prior and its gradients equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t n : {1, 33, 5000}) {
    const Tensor mean = ctx.normal({n}, 1), rho = ctx.normal({n}, 2), d_mean = ctx.wide_normal({n}, 3),
                 d_rho = ctx.wide_normal({n}, 4), d_mean64 = exact(d_mean), d_rho64 = exact(d_rho);
    std::vector<double> sum{0.5}, sum64{0.5};
    gaussian_kl_sum(ctx, as_tensor(std::span(sum)), mean, rho, 0.7, 2);
    gaussian_kl_sum(exact, as_tensor(std::span(sum64)), exact(mean), exact(rho), 0.7, 2);
    CHECK(sum[0] == Approx(sum64[0]).epsilon(1e-5));
    gaussian_kl_backward(ctx, d_mean, d_rho, mean, rho, 0.7, 2);
    gaussian_kl_backward(exact, d_mean64, d_rho64, exact(mean), exact(rho), 0.7, 2);
    check_close("d_mean", d_mean, d_mean64, tolerance(ctx));
    check_close("d_log_deviation", d_rho, d_rho64, tolerance(ctx));
  }
}

TEST_CASE("the draws of an ensemble equal the CPU's in f64, and each member is drawn equally often") {
  TestContext ctx;
  Exact exact;
  for (const auto& [experts, members, per_draw] : {std::tuple{5, 2, 1}, {33, 3, 4}, {1, 7, 1}}) {
    const Tensor all = ctx.normal({21, experts * members}, 1);
    for (const RandomKey* key : {&kKey, static_cast<const RandomKey*>(nullptr)}) {
      const MemberDraw draw{.key = key, .first_token = 40, .tokens_per_draw = per_draw};
      const Shape shape{21, experts};
      const Tensor logits = ctx.output(shape), deviation = ctx.output(shape), d_all = ctx.output(all.shape),
                   d = ctx.normal(shape, 2), logits64 = exact.output(shape), deviation64 = exact.output(shape),
                   d_all64 = exact.output(all.shape);
      choose_member_forward(ctx, logits, deviation, all, draw);
      choose_member_forward(exact, logits64, deviation64, exact(all), draw);
      check_close("logits", logits, logits64);
      check_close("deviations", deviation, deviation64);
      choose_member_backward(ctx, d_all, d, draw);
      choose_member_backward(exact, d_all64, exact(d), draw);
      check_close("d_all", d_all, d_all64);
    }
  }
  const Tensor numbers = ctx.output({6000, 3}), logits = ctx.output({6000, 1}), deviation = ctx.output({6000, 1});
  for (int64_t i = 0; i < numbers.size(); ++i) set(numbers, i, static_cast<double>(i % 3));
  choose_member_forward(ctx, logits, deviation, numbers, {.key = &kKey});
  std::vector<int> counts(3);
  for (const double member : values(logits)) ++counts[static_cast<size_t>(member)];
  for (const int count : counts) CHECK(count == Approx(2000).margin(150));
  for (const double s : values(deviation)) CHECK(s == Approx(std::sqrt(2.0 / 3)));
  choose_member_forward(ctx, logits, deviation, numbers, {.key = &kKey, .tokens_per_draw = 10});
  for (int64_t t = 0; t < 6000; ++t) CHECK(get(logits, t) == get(logits, t / 10 * 10));
}

TEST_CASE("a token's uncertainty is the mean deviation of its chosen experts") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {1, 5, 33}) {
    const int64_t k = std::min<int64_t>(experts, 3);
    const Tensor deviation = ctx.normal({17, experts}, 1), indices = some_choices(ctx, 17, experts, k, 4),
                 uncertainty = ctx.output({17}), expected = exact.output({17});
    chosen_deviation(ctx, uncertainty, deviation, indices);
    chosen_deviation(exact, expected, exact(deviation), exact(indices));
    check_close("uncertainty", uncertainty, expected);
  }
  const Tensor one = ctx.output({2});
  chosen_deviation(ctx, one, ctx.of({2, 3}, {1, 2, 4, 1, 2, 4}), ctx.of_i32({2, 2}, {2, 0, -1, -1}));
  CHECK(get(one, 0) == 2.5);
  CHECK(get(one, 1) == 0);
}

TEST_CASE("gradients of the posterior's ops", "[cpu]") {
  TestContext ctx(DType::f64);
  const Shape shape{4, 5};
  const Tensor x = ctx.normal(shape, 1), d = ctx.normal(shape, 2), y = ctx.output(shape), d_x = ctx.zeros(shape);
  square_backward(ctx, d_x, d, x);
  check_gradients([&] { return square_forward(ctx, y, x), dot(y, d); }, {{"squares", x, d_x}});
  const Tensor d_rho = ctx.zeros(shape);
  variance_backward(ctx, d_rho, d, x);
  check_gradients([&] { return variance_forward(ctx, y, x), dot(y, d); }, {{"log deviations", x, d_rho}});

  const Tensor mean = ctx.normal(shape, 3), variance = ctx.constant(shape, 0.7), d_variance = ctx.output(shape),
               deviation = ctx.copy_of(variance);
  sample_logits_forward(ctx, ctx.copy_of(mean), deviation, &kKey, 7);
  sample_logits_backward(ctx, d_variance, d, deviation, &kKey, 7);
  const auto sampled = [&] {
    const Tensor logits = ctx.copy_of(mean), s = ctx.copy_of(variance);
    sample_logits_forward(ctx, logits, s, &kKey, 7);
    return dot(logits, d);
  };
  check_gradients(sampled, {{"means", mean, d}, {"variances", variance, d_variance}});

  const Tensor d_mean = ctx.zeros(shape), d_log = ctx.zeros(shape);
  gaussian_kl_backward(ctx, d_mean, d_log, mean, x, 0.6, 0.3);
  const auto divergence = [&] {
    std::vector<double> sum{0};
    gaussian_kl_sum(ctx, as_tensor(std::span(sum)), mean, x, 0.6, 0.3);
    return sum[0];
  };
  check_gradients(divergence, {{"means", mean, d_mean}, {"log deviations", x, d_log}});
  set(mean, 0, 0), set(x, 0, std::log(0.6));

  const Tensor all = ctx.normal({4, 15}, 5), d_all = ctx.output({4, 15}), logits = ctx.output(shape);
  for (const RandomKey* key : {&kKey, static_cast<const RandomKey*>(nullptr)}) {
    choose_member_backward(ctx, d_all, d, {.key = key});
    check_gradients([&] { return choose_member_forward(ctx, logits, y, all, {.key = key}), dot(logits, d); },
                    {{"all logits", all, d_all}});
  }
}

}  // namespace moe::test
