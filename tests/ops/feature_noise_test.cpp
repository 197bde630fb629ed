#include "core/ops/feature_noise.h"

#include <cmath>

#include "comm/communicator.h"
#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

constexpr RandomKey kKey{3, RandomPurpose::test};

}  // namespace

TEMPLATE_TEST_CASE("feature statistics equal the reference", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const int64_t time : {1, 2, 9}) {
    for (const int64_t d : {1, 31, 33}) {
      const int64_t tokens = 3 * time;
      const Tensor x = ctx.normal({tokens, d}, 1), mean = ctx.output(x.shape), deviation = ctx.output(x.shape);
      for (const NoiseStatistics statistics : {NoiseStatistics::sequence, NoiseStatistics::causal}) {
        std::vector<double> means, deviations;
        for (int64_t t = 0; t < tokens; ++t) {
          const int64_t first = t / time * time, count = statistics == NoiseStatistics::causal ? t - first + 1 : time;
          for (int64_t i = 0; i < d; ++i) {
            double sum = 0, squares = 0;
            for (int64_t s = first; s < first + count; ++s) sum += get(x, s * d + i);
            const double average = sum / static_cast<double>(count);
            for (int64_t s = first; s < first + count; ++s) squares += std::pow(get(x, s * d + i) - average, 2);
            means.push_back(average);
            deviations.push_back(std::sqrt(squares / static_cast<double>(count)));
          }
        }
        feature_statistics(ctx, mean, deviation, x, {}, time, statistics);
        check_close("mean", mean, means);
        check_close("deviation", deviation, deviations, {1e-5, 1e-6});
      }
    }
  }
}

TEST_CASE("causal statistics do not depend on later tokens") {
  TestContext ctx;
  const Tensor x = ctx.normal({6, 4}, 1), mean = ctx.output(x.shape), deviation = ctx.output(x.shape);
  feature_statistics(ctx, mean, deviation, x, {}, 6, NoiseStatistics::causal);
  const auto before = values(deviation.slice(0, 4));
  for (int64_t i = 16; i < 24; ++i) set(x, i, 100);
  feature_statistics(ctx, mean, deviation, x, {}, 6, NoiseStatistics::causal);
  CHECK(values(deviation.slice(0, 4)) == before);
}

TEST_CASE("the noise has the requested mean and deviation, and does not depend on the split") {
  TestContext ctx(DType::f64);
  const int64_t tokens = 20000;
  const Tensor x = ctx.constant({tokens, 2}, 3), x_hat = ctx.output(x.shape), gain = ctx.output(x.shape);
  const Tensor mean = ctx.of({1, 2}, {5, 0}), deviation = ctx.of({1, 2}, {0.5, 0});
  feature_noise_forward(ctx, x_hat, gain, x, mean, deviation, kKey, 7);
  double sum = 0, squares = 0, gains = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    sum += get(x_hat, 2 * t);
    squares += std::pow(get(x_hat, 2 * t) - 8, 2);
    gains += std::pow(get(gain, 2 * t) - 1, 2);
    REQUIRE(get(x_hat, 2 * t + 1) == 3);  // no deviation, no noise
  }
  const auto n = static_cast<double>(tokens);
  CHECK(sum / n == Approx(8).epsilon(0.01));
  CHECK(squares / n == Approx(9 * 0.25 + 0.25).epsilon(0.05));
  CHECK(gains / n == Approx(0.25).epsilon(0.05));

  const Tensor part = ctx.output({5, 2}), part_gain = ctx.output({5, 2});
  feature_noise_forward(ctx, part, part_gain, x.slice(100, 5), mean, deviation, kKey, 107);
  check_same_bits("a part", part, x_hat.slice(100, 5));
}

TEST_CASE("noise gradients, with the noise as a constant", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.normal({6, 5}, 1), mean = ctx.normal({6, 5}, 2), deviation = ctx.constant({6, 5}, 0.7);
  const Tensor x_hat = ctx.output(x.shape), gain = ctx.output(x.shape), d_x_hat = ctx.normal(x.shape, 3);
  const Tensor d_x = ctx.zeros(x.shape);
  const auto loss = [&] {
    feature_noise_forward(ctx, x_hat, gain, x, mean, deviation, kKey, 0);
    return dot(x_hat, d_x_hat);
  };
  loss();
  feature_noise_backward(ctx, d_x, d_x_hat, gain);
  check_gradients(loss, {{"x", x, d_x}});
}

TEST_CASE("running statistics follow the data, without padding", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor state = ctx.zeros({5}), mean = ctx.output({1, 2}), deviation = ctx.output({1, 2});
  moments_to_statistics(ctx, mean, deviation, state);
  check_close("nothing seen", mean, {0, 0}, {});
  check_close("nothing seen", deviation, {0, 0}, {});
  std::vector<double> sums(5);
  moment_sums(ctx, as_tensor(sums), ctx.of({3, 2}, {1, 10, 99, 99, 3, 10}), ctx.of_i32({3}, {1, kIgnoreTarget, 1}));
  CHECK(sums == std::vector<double>{4, 20, 10, 200, 2});
  update_moments(ctx, state, as_tensor(sums), 0.9);
  moments_to_statistics(ctx, mean, deviation, state);
  check_close("mean", mean, {2, 10});
  check_close("deviation", deviation, {1, 0}, {1e-12, 1e-6});
  std::vector<double> later = {8, 0, 16, 0, 4};  // means 2, 0; mean squares 4, 0
  for (int i = 0; i < 500; ++i) update_moments(ctx, state, as_tensor(later), 0.9);
  moments_to_statistics(ctx, mean, deviation, state);
  check_close("mean", mean, {2, 0}, {1e-9, 1e-9});
  check_close("deviation", deviation, {0, 0}, {1e-9, 1e-5});
  std::vector<double> none(5);
  const auto before = values(state);
  update_moments(ctx, state, as_tensor(none), 0.9);
  CHECK(values(state) == before);
}

}  // namespace moe::test
