#include "core/ops/router_noise.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/ops/elementwise.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

static const RandomKey kKey{.seed = 1, .purpose = RandomPurpose::test, .stream = 3};

TEMPLATE_TEST_CASE("router noise is a function of the global token, for any split", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  using Op = std::function<void(Tensor x, int64_t first)>;
  const Op ops[] = {[&](Tensor x, int64_t first) { jitter(ctx, x, 0.2, kKey, first); },
                    [&](Tensor x, int64_t first) { drop_experts(ctx, x, 0.6, 1, kKey, first, 1); },
                    [&](Tensor x, int64_t first) { drop_experts(ctx, x, 0.6, 1, kKey, first, 4); },
                    [&](Tensor x, int64_t first) {
                      const Tensor deviation = ctx.output(x.shape);
                      noisy_logits_forward(ctx, x, deviation, ctx.copy_of(x), ctx.constant(x.shape, 0.5), 1, &kKey,
                                           first);
                    }};
  for (const Op& op : ops) {
    for (const int64_t n : {1, 31, 32, 33}) {
      const Tensor whole = ctx.normal({21, n}, 1), parts = ctx.copy_of(whole), before = ctx.copy_of(whole);
      op(whole, 100);
      op(parts.slice(0, 0), 100);
      op(parts.slice(0, 8), 100);
      op(parts.slice(8, 13), 108);
      check_same_bits("two parts", parts, whole);
      if (n > 1) CHECK(values(whole) != values(before));
    }
  }
}

TEST_CASE("jitter stays within its amplitude and covers it") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.constant({100, 33}, 2);
  jitter(ctx, x, 0.25, kKey, 0);
  const auto all = values(x);
  CHECK(*std::min_element(all.begin(), all.end()) >= 1.5);
  CHECK(*std::min_element(all.begin(), all.end()) < 1.51);
  CHECK(*std::max_element(all.begin(), all.end()) <= 2.5);
  CHECK(*std::max_element(all.begin(), all.end()) > 2.49);
}

TEST_CASE("experts are dropped at their rate, and enough of them remain") {
  TestContext ctx;
  for (const auto& [rate, keep] : {std::pair{0.3, 1}, std::pair{0.9, 4}, std::pair{0.99, 10}}) {
    const Tensor z = ctx.zeros({3000, 10});
    drop_experts(ctx, z, rate, keep, kKey, 0, 1);
    int64_t dropped = 0;
    for (int64_t t = 0; t < 3000; ++t) {
      int64_t stay = 0;
      for (int64_t e = 0; e < 10; ++e) stay += get(z, t * 10 + e) == 0;
      CHECK(stay >= keep);
      dropped += 10 - stay;
    }
    if (keep == 1) CHECK(static_cast<double>(dropped) == Approx(9000).margin(400));
    if (keep == 4) CHECK(dropped > 16'000);  // of at most 18000
    if (keep == 10) CHECK(dropped == 0);
  }
  const Tensor shared = ctx.zeros({12, 10});
  drop_experts(ctx, shared, 0.5, 1, kKey, 40, 5);  // draws 8, 9 and 10
  check_same_bits("tokens of a draw", shared.slice(0, 1), shared.slice(4, 1));
  CHECK(values(shared.slice(4, 1)) != values(shared.slice(5, 1)));
}

TEST_CASE("noisy logits: distribution and gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor clean = ctx.normal({4, 5}, 1), raw = ctx.normal({4, 5}, 2), noisy = ctx.output({4, 5}),
               deviation = ctx.output({4, 5});
  const Tensor d_noisy = ctx.normal({4, 5}, 3), d_deviation = ctx.normal({4, 5}, 4), d_raw = ctx.output({4, 5});
  for (const RandomKey* key : {&kKey, static_cast<const RandomKey*>(nullptr)}) {
    noisy_logits_backward(ctx, d_raw, d_noisy, d_deviation, raw, 0.7, key, 7);
    const auto loss = [&] {
      noisy_logits_forward(ctx, noisy, deviation, clean, raw, 0.7, key, 7);
      return dot(noisy, d_noisy) + dot(deviation, d_deviation);
    };
    check_gradients(loss, {{"raw", raw, d_raw}, {"clean", clean, d_noisy}});
  }
  noisy_logits_forward(ctx, noisy, deviation, clean, raw, 1, nullptr, 7);
  check_same_bits("no noise without a key", noisy, clean);
  const Tensor many = ctx.output({400, 33}), sigma = ctx.output({400, 33});
  noisy_logits_forward(ctx, many, sigma, ctx.zeros({400, 33}), ctx.constant({400, 33}, 1), 1, &kKey, 0);
  CHECK(get(sigma, 0) == Approx(std::log1p(std::exp(1))));
  CHECK(std::sqrt(dot(many, many) / 13200) == Approx(get(sigma, 0)).epsilon(0.03));
  noisy_logits_forward(ctx, many, sigma, many, ctx.constant({400, 33}, -1e4), 1, &kKey, 0);
  CHECK(get(sigma, 5) == 0);
}

TEST_CASE("the second choice is dropped as a whole") {
  TestContext ctx;
  const Tensor indices = ctx.of_i32({3, 2}, {4, 1, 2, 0, 3, 1}), weights = ctx.of({3, 2}, {0.5, 0.5, 1, 0, 0.5, 0.5});
  drop_second(ctx, indices, weights, kKey, 0);
  check_close("indices", indices, {4, 1, 2, -1, 3, 1}, {});
  check_close("weights", weights, {0.5, 0.5, 1, 0, 0.5, 0.5}, {});
}

TEST_CASE("router noise refuses invalid shapes") {
  TestContext ctx;
  const Tensor x = ctx.zeros({2, 3}), other = ctx.zeros({2, 4});
  CHECK_THROWS_AS(drop_experts(ctx, x, 0.5, 4, kKey, 0, 1), InternalError);
  CHECK_THROWS_AS(drop_experts(ctx, x, 0.5, 1, kKey, 0, 0), InternalError);
  CHECK_THROWS_AS(noisy_logits_forward(ctx, x, x, x, other, 1, nullptr, 0), InternalError);
  CHECK_THROWS_AS(noisy_logits_backward(ctx, x, x, other, x, 1, nullptr, 0), InternalError);
  CHECK_THROWS_AS(drop_second(ctx, ctx.of_i32({1, 3}, {0, 1, 2}), ctx.zeros({1, 3}), kKey, 0), InternalError);
}

}  // namespace moe::test
