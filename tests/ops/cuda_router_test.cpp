// Compares the ops of routers with the same ops on the CPU in f64, at odd sizes.
#include <algorithm>
#include <cmath>

#include "comm/communicator.h"
#include "core/base/token.h"
#include "core/ops/expert_choice.h"
#include "core/ops/gating.h"
#include "core/ops/group_gating.h"
#include "core/ops/hash_choice.h"
#include "core/ops/mask_padding.h"
#include "core/ops/normalise_rows.h"
#include "core/ops/relu_gating.h"
#include "core/ops/router_noise.h"
#include "core/ops/routing_sums.h"
#include "core/ops/sequence_rows.h"
#include "core/ops/sigmoid_gating.h"
#include "core/ops/sinkhorn.h"
#include "core/ops/smooth_load.h"
#include "core/ops/temperature.h"
#include "tests/support/catch.h"
#include "tests/support/exact.h"
#include "tests/support/routing_tensors.h"

namespace moe::test {

namespace {

constexpr RandomKey kKey{.seed = 1, .purpose = RandomPurpose::test, .stream = 3};

}  // namespace

TEST_CASE("softmax, choice and weights equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {1, 31, 33, 100, 300, 1024}) {
    const Tensor logits = ctx.normal({9, experts}, 1, 2), p = ctx.output(logits.shape), lse = ctx.output({9});
    for (int64_t i = 5; i < logits.size(); i += 9) set(logits, i, get(logits, i - 5));  // ties
    if (experts > 31) set(logits, 40, -INFINITY);
    const Tensor p64 = exact.output(p.shape), lse64 = exact.output({9});
    softmax_forward(ctx, p, lse, logits);
    softmax_forward(exact, p64, lse64, exact(logits));
    check_close("probabilities", p, p64, {1e-5, 1e-6});
    check_close("logsumexp", lse, lse64);
    if (experts > 31) set(logits, 50, NAN);
    for (const int64_t active : {int64_t{1}, std::min<int64_t>(experts, 3), std::min<int64_t>(experts, 33)}) {
      const int64_t slots = active + 2;
      const Tensor indices = ctx.output({9, slots}, DType::i32), indices64 = exact.output({9, slots}, DType::i32);
      select_top_k(ctx, indices, logits, active);
      select_top_k(exact, indices64, exact(logits), active);
      check_close("indices", indices, indices64, {});
      for (const GatingOptions& options : {GatingOptions{true, true}, GatingOptions{false, false}}) {
        const Tensor w = ctx.output({9, slots}), w64 = exact.output({9, slots});
        chosen_weights(ctx, w, p, indices, options);
        chosen_weights(exact, w64, exact(p), indices64, options);
        check_close("weights", w, w64);
      }
    }
  }
}

TEST_CASE("closed experts have -inf in all logits") {
  TestContext ctx;
  Exact exact;
  const bool by_token = GENERATE(false, true);
  for (const int64_t experts : {1, 33, 100}) {
    const Tensor z = ctx.normal({9, experts}, 1), z64 = exact(z);
    const Tensor closed = ctx.random_i32(by_token ? Shape{9, experts} : Shape{experts}, 2, 3);
    mask_experts(ctx, z, closed);
    mask_experts(exact, z64, exact(closed));
    check_close("logits", z, z64, {});
    for (int64_t i = 0; i < z.size(); ++i) CHECK((get(z, i) == -INFINITY) == (get(closed, i % closed.size()) != 0));
  }
}

TEST_CASE("normalised rows equal the CPU's in f64, for any mixture of types") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t d : {1, 33, 264}) {
    for (const bool wide_x : {false, true}) {
      for (const bool wide_gradient : {false, true}) {
        const DType x_type = wide_x ? wide(ctx.dtype) : ctx.dtype,
                    gradient_type = wide_gradient ? wide(ctx.dtype) : ctx.dtype;
        const Tensor x = ctx.normal({7, d}, 1, 1, x_type), d_y = ctx.normal(x.shape, 2, 1, gradient_type);
        for (int64_t i = 0; i < d; ++i) set(x, i, 0);
        const Tensor y = ctx.output(x.shape), norms = ctx.wide_output({7}), d_x = ctx.wide_normal(x.shape, 3);
        const Tensor y64 = exact.output(x.shape), norms64 = exact.output({7}), d_x64 = exact(d_x);
        normalise_rows_forward(ctx, y, norms, x, 0.1);
        normalise_rows_backward(ctx, d_x, d_y, x, norms, 0.1);
        normalise_rows_forward(exact, y64, norms64, exact(x), 0.1);
        normalise_rows_backward(exact, d_x64, exact(d_y), exact(x), norms64, 0.1);
        check_close("y", y, y64);
        check_close("norms", norms, norms64);
        check_close("d_x", d_x, d_x64, {1e-5, 1e-5});
        const Tensor narrow = ctx.zeros(x.shape), narrow64 = exact.zeros(x.shape);
        normalise_rows_backward(ctx, narrow, d_y, x, norms, 0);
        normalise_rows_backward(exact, narrow64, exact(d_y), exact(x), norms64, 0);
        check_close("d_x as narrow as activations", narrow, narrow64, tolerance(ctx));
      }
    }
  }
}

TEST_CASE("rows past the last group are not normalised") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  const Tensor x = ctx.normal({5, 40}, 1), d_y = ctx.normal(x.shape, 2), groups = ctx.of_i32({3}, {0, 2, 3});
  const Tensor y = ctx.output(x.shape), norms = ctx.wide_output({5}), d_x = ctx.wide_constant(x.shape, 9);
  const Tensor all = ctx.output(x.shape), all_norms = ctx.wide_output({5}), all_d_x = ctx.wide_constant(x.shape, 9);
  normalise_rows_forward(ctx, all, all_norms, x, 0);
  normalise_rows_backward(ctx, all_d_x, d_y, x, all_norms, 0);
  normalise_rows_forward(ctx, y, norms, x, 0, groups);
  normalise_rows_backward(ctx, d_x, d_y, x, norms, 0, groups);
  CHECK(values(y.slice(0, 3)) == values(all.slice(0, 3)));
  CHECK(values(norms.slice(0, 3)) == values(all_norms.slice(0, 3)));
  CHECK(values(d_x.slice(0, 3)) == values(all_d_x.slice(0, 3)));
  for (const double untouched : values(y.slice(3, 2))) CHECK(std::isnan(untouched));
  for (const double untouched : values(norms.slice(3, 2))) CHECK(std::isnan(untouched));
  for (const double untouched : values(d_x.slice(3, 2))) CHECK(untouched == 9);
}

TEST_CASE("division by a temperature equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t n : {1, 33, 5000}) {
    const Tensor z = ctx.wide_normal({3, n}, 1), d_z = ctx.wide_normal(z.shape, 2), tau = ctx.constant({1}, 0.75);
    set(z, n, -INFINITY);
    const Tensor d_tau = ctx.wide_constant({1}, 2), z64 = exact(z), d_z64 = exact(d_z), d_tau64 = exact(d_tau);
    temperature_forward(ctx, z, tau, 0.1);
    temperature_forward(exact, z64, exact(tau), 0.1);
    CHECK(get(z, n) == -INFINITY);
    set(z, n, 0), set(z64, n, 0);
    check_close("z", z, z64);
    set(z, n, -INFINITY), set(z64, n, -INFINITY);
    temperature_backward(ctx, d_z, d_tau, z, tau, 0.1);
    temperature_backward(exact, d_z64, d_tau64, z64, exact(tau), 0.1);
    check_close("d_z", d_z, d_z64);
    check_close("d_temperature", d_tau, d_tau64, {1e-5, 1e-4});
    CHECK(temperature_value(ctx, tau, 0.1) == 0.75);
    CHECK(temperature_value(ctx, tau, 1) == 1);
  }
}

TEST_CASE("router noise equals the CPU's") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t n : {1, 33, 257}) {
    const Tensor x = ctx.normal({21, n}, 1), x64 = exact(x);
    jitter(ctx, x, 0.2, kKey, 50);
    jitter(exact, x64, 0.2, kKey, 50);
    check_close("jittered", x, x64);
    for (const int64_t keep : {int64_t{1}, (n + 1) / 2}) {
      const Tensor z = ctx.wide_zeros({21, n}), z64 = exact.zeros({21, n});
      drop_experts(ctx, z, 0.7, keep, kKey, 50, 4);
      drop_experts(exact, z64, 0.7, keep, kKey, 50, 4);
      CHECK(values(z) == values(z64));
    }
    const Tensor clean = ctx.wide_normal({21, n}, 2), raw = ctx.wide_normal({21, n}, 3),
                 d_noisy = ctx.wide_normal({21, n}, 4), d_deviation = ctx.wide_normal({21, n}, 5);
    for (const RandomKey* key : {&kKey, static_cast<const RandomKey*>(nullptr)}) {
      const Tensor noisy = ctx.wide_output(clean.shape), deviation = ctx.wide_output(clean.shape),
                   d_raw = ctx.wide_output(clean.shape);
      const Tensor noisy64 = exact.output(clean.shape), deviation64 = exact.output(clean.shape),
                   d_raw64 = exact.output(clean.shape);
      noisy_logits_forward(ctx, noisy, deviation, clean, raw, 0.7, key, 50);
      noisy_logits_backward(ctx, d_raw, d_noisy, d_deviation, raw, 0.7, key, 50);
      noisy_logits_forward(exact, noisy64, deviation64, exact(clean), exact(raw), 0.7, key, 50);
      noisy_logits_backward(exact, d_raw64, exact(d_noisy), exact(d_deviation), exact(raw), 0.7, key, 50);
      check_close("noisy", noisy, noisy64, {1e-5, 1e-6});
      check_close("deviation", deviation, deviation64, {1e-5, 1e-6});
      check_close("d_raw", d_raw, d_raw64, {1e-5, 1e-6});
    }
  }
  const Tensor indices = ctx.random_i32({70, 2}, 9, 6), weights = ctx.wide_output({70, 2});
  for (int64_t i = 0; i < 140; ++i) set(weights, i, 0.25);
  const Tensor indices64 = exact(indices), weights64 = exact(weights);
  drop_second(ctx, indices, weights, kKey, 50);
  drop_second(exact, indices64, weights64, kKey, 50);
  check_close("indices", indices, indices64, {});
  check_close("weights", weights, weights64, {});
}

TEST_CASE("sigmoid gating equals the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const auto& [experts, groups] : {std::pair{1, 1}, std::pair{33, 11}, std::pair{40, 40}, std::pair{264, 8}}) {
    const Tensor z = ctx.normal({9, experts}, 1), bias = ctx.normal({experts}, 2, 0.1);
    if (experts > 1) set(z, 4, -INFINITY);
    for (const int64_t limit : {1, (groups + 1) / 2, groups}) {
      const Tensor scores = ctx.output(z.shape), scores64 = exact.output(z.shape);
      biased_sigmoid_scores(ctx, scores, z, bias, {groups, limit});
      biased_sigmoid_scores(exact, scores64, exact(z), exact(bias), {groups, limit});
      for (int64_t i = 0; i < z.size(); ++i) {
        CHECK(std::isinf(get(scores, i)) == std::isinf(get(scores64, i)));
        if (std::isinf(get(scores, i))) set(scores, i, 0), set(scores64, i, 0);
      }
      check_close("scores", scores, scores64);
    }
    const int64_t k = std::min(experts, 3);
    const Tensor indices = some_choices(ctx, 9, experts, k, 11), d_w = ctx.normal({9, k}, 3);
    for (const SigmoidWeights& options : {SigmoidWeights{true, 2.5}, SigmoidWeights{false, 1}}) {
      const Tensor w = ctx.output({9, k}), w64 = exact.output({9, k}), d_z = ctx.normal(z.shape, 4), d_z64 = exact(d_z);
      sigmoid_weights_forward(ctx, w, z, indices, options);
      sigmoid_weights_backward(ctx, d_z, d_w, z, indices, options);
      sigmoid_weights_forward(exact, w64, exact(z), exact(indices), options);
      sigmoid_weights_backward(exact, d_z64, exact(d_w), exact(z), exact(indices), options);
      check_close("weights", w, w64, {1e-5, 1e-6});
      check_close("d_logits", d_z, d_z64, {1e-5, 1e-6});
    }
    const Tensor shares = ctx.output(z.shape), shares64 = exact.output(z.shape), d_z = ctx.normal(z.shape, 5),
                 d_z64 = exact(d_z), targets = ctx.constant({9}, 1, DType::i32);
    set(targets, 4, kIgnoreTarget);
    std::vector<double> gradient;
    for (int64_t e = 0; e < experts; ++e) gradient.push_back(static_cast<double>(e % 4) - 1.5);
    sigmoid_shares_forward(ctx, shares, z);
    sigmoid_shares_backward(ctx, d_z, shares, z, as_tensor(gradient), targets);
    sigmoid_shares_forward(exact, shares64, exact(z));
    sigmoid_shares_backward(exact, d_z64, shares64, exact(z), as_tensor(gradient), exact(targets));
    check_close("shares", shares, shares64, {1e-5, 1e-6});
    check_close("d_logits of shares", d_z, d_z64, {1e-5, 1e-6});

    std::vector<double> counts;
    for (int64_t e = 0; e < experts; ++e) counts.push_back(static_cast<double>(e % 3));
    const Tensor bias64 = exact(bias);
    step_bias(ctx, bias, as_tensor(counts), 0.01);
    step_bias(exact, bias64, as_tensor(counts), 0.01);
    check_close("bias", bias, bias64);
  }
}

TEST_CASE("expert choice equals the CPU's, with many ties") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {1, 5, 33}) {
    const Tensor p = ctx.normal({66, experts}, 1);
    for (int64_t i = 0; i < p.size(); ++i) set(p, i, i % 13 == 5 ? NAN : std::round(2 * get(p, i)) / 4);
    set(p, 0, -0.0);
    for (const TokenGroups& groups : {TokenGroups{2, 33, 33, 1}, TokenGroups{33, 2, 1, 33}, TokenGroups{1, 66, 0, 1}}) {
      for (const int64_t capacity : {int64_t{1}, (groups.size + 1) / 2, groups.size}) {
        const Tensor indices = ctx.output(p.shape, DType::i32), w = ctx.output(p.shape);
        const Tensor indices64 = exact.output(p.shape, DType::i32), w64 = exact.output(p.shape);
        expert_choice(ctx, indices, w, p, groups, capacity);
        expert_choice(exact, indices64, w64, exact(p), groups, capacity);
        check_close("indices", indices, indices64, {});
        for (int64_t i = 0; i < p.size(); ++i) {
          if (std::isnan(get(w64, i))) set(w, i, std::isnan(get(w, i)) ? 0 : 1), set(w64, i, 0);
        }
        check_close("weights", w, w64, {});
      }
    }
  }
}

TEST_CASE("Sinkhorn's scores equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {1, 5, 100, 300}) {
    const Tensor z = ctx.normal({270, experts}, 1, 2);
    for (const TokenGroups& groups :
         {TokenGroups{2, 135, 135, 1}, TokenGroups{135, 2, 1, 135}, TokenGroups{270, 1, 1, 1}}) {
      const Tensor scores = ctx.output(z.shape), scores64 = exact.output(z.shape);
      sinkhorn_scores(ctx, scores, z, groups, 3);
      sinkhorn_scores(exact, scores64, exact(z), groups, 3);
      check_close("scores", scores, scores64, {1e-5, 1e-5});
    }
  }
}

TEST_CASE("a hash chooses the same experts on all devices") {
  TestContext ctx;
  Exact exact;
  for (const auto& [experts, k] : {std::pair{1, 1}, std::pair{33, 3}, std::pair{300, 5}, std::pair{9, 9}}) {
    const Tensor ids = ctx.random_i32({67}, 50'000, 1), indices = ctx.output({67, k}, DType::i32),
                 indices64 = exact.output({67, k}, DType::i32);
    hash_choice(ctx, indices, ids, experts, kKey);
    hash_choice(exact, indices64, exact(ids), experts, kKey);
    check_close("indices", indices, indices64, {});
  }
}

TEST_CASE("ReLU gating equals the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {1, 33, 100}) {
    const Tensor z = ctx.normal({40, experts}, 1), d_w = ctx.normal(z.shape, 2), l1 = ctx.constant({1}, 0.25);
    std::vector<double> factors;
    for (int64_t e = 0; e < experts; ++e) factors.push_back(3 + static_cast<double>(e % 7));
    const Tensor targets = some_targets(ctx, 40);
    const Tensor indices = ctx.output(z.shape, DType::i32), w = ctx.output(z.shape), d_z = ctx.normal(z.shape, 3);
    const Tensor indices64 = exact.output(z.shape, DType::i32), w64 = exact.output(z.shape), d_z64 = exact(d_z);
    relu_gating_forward(ctx, indices, w, z);
    relu_gating_backward(ctx, d_z, d_w, indices, targets, l1, as_tensor(factors));
    relu_gating_forward(exact, indices64, w64, exact(z));
    relu_gating_backward(exact, d_z64, exact(d_w), indices64, exact(targets), exact(l1), as_tensor(factors));
    check_close("indices", indices, indices64, {});
    check_close("weights", w, w64, {});
    check_close("d_logits", d_z, d_z64);
    const double expected =
        sum_from([&](Tensor sum) { scaled_weight_sum(exact, sum, w64, exact(targets), exact(l1)); });
    CHECK(sum_from([&](Tensor sum) { scaled_weight_sum(ctx, sum, w, targets, l1); }) == Approx(expected).epsilon(1e-6));
    CHECK(sum_from([&](Tensor sum) { count_assignments(ctx, sum, indices, targets); }) ==
          sum_from([&](Tensor sum) { count_assignments(exact, sum, indices64, exact(targets)); }));
    scale_within(ctx, l1, 3, 0, 0.5);
    CHECK(get(l1, 0) == 0.5);
  }
}

TEST_CASE("choices of groups equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const auto& [experts, groups] : {std::pair{5, 2}, std::pair{33, 33}, std::pair{70, 4}, std::pair{3, 1}}) {
    const Tensor outer = ctx.normal({9, groups}, 1), inner = ctx.normal({9, experts}, 2),
                 d_z = ctx.normal({9, experts}, 3);
    const Tensor z = ctx.output(inner.shape), d_outer = ctx.output(outer.shape), d_inner = ctx.output(inner.shape);
    const Tensor z64 = exact.output(inner.shape), d_outer64 = exact.output(outer.shape),
                 d_inner64 = exact.output(inner.shape);
    group_logits_forward(ctx, z, outer, inner);
    group_logits_backward(ctx, d_outer, d_inner, d_z, inner);
    group_logits_forward(exact, z64, exact(outer), exact(inner));
    group_logits_backward(exact, d_outer64, d_inner64, exact(d_z), exact(inner));
    check_close("logits", z, z64);
    check_close("d_outer", d_outer, d_outer64);
    check_close("d_inner", d_inner, d_inner64);
    const int64_t k = std::min(experts / groups, 3), chosen = (groups + 1) / 2;
    const Tensor of_groups = some_choices(ctx, 9, groups, chosen, 11);
    for (int64_t i = 0; i < of_groups.size(); ++i) set(of_groups, i, std::max(get(of_groups, i), 0.0));
    const Tensor indices = ctx.output({9, chosen * k}, DType::i32), indices64 = exact.output(indices.shape, DType::i32);
    set(inner, 1, NAN);
    select_within_groups(ctx, indices, of_groups, inner, groups, k);
    select_within_groups(exact, indices64, exact(of_groups), exact(inner), groups, k);
    check_close("indices", indices, indices64, {});
  }
}

TEST_CASE("rows per sequence equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t time : {1, 33, 70}) {
    for (const int64_t n : {1, 33, 100}) {
      const Tensor y = ctx.normal({3 * time, n}, 1), rows = ctx.normal({3, n}, 2), sums = ctx.output({3, n});
      const Tensor y64 = exact(y), sums64 = exact.output({3, n});
      add_sequence_rows(ctx, y, rows);
      sum_sequence_rows(ctx, sums, y);
      add_sequence_rows(exact, y64, exact(rows));
      sum_sequence_rows(exact, sums64, y64);
      check_close("y", y, y64);
      check_close("sums", sums, sums64, {1e-5, 1e-5});
    }
  }
  const Tensor ids = ctx.random_i32({70}, 9, 1), clamped = ctx.output({70}, DType::i32);
  clamp_ids(ctx, clamped, ids, 5);
  for (int64_t i = 0; i < 70; ++i) CHECK(get(clamped, i) == std::min(get(ids, i), 4.0));
}

TEST_CASE("the smooth load equals the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {2, 33, 100}) {
    for (const int64_t k : {int64_t{1}, std::min<int64_t>(experts, 3)}) {
      const Tensor noisy = ctx.normal({40, experts}, 1), clean = ctx.normal(noisy.shape, 2),
                   sigma = ctx.constant(noisy.shape, 0.5), targets = some_targets(ctx, 40);
      set(noisy, 1, get(noisy, 0));
      set(sigma, 3, 0);
      const Tensor indices = ctx.output({40, k + 1}, DType::i32);
      select_top_k(ctx, indices, noisy, k);
      std::vector<double> sums(static_cast<size_t>(experts), 1.0), sums64 = sums, gradient;
      for (int64_t e = 0; e < experts; ++e) gradient.push_back(std::sin(static_cast<double>(e)));
      const Tensor d_noisy = ctx.normal(noisy.shape, 3), d_sigma = ctx.normal(noisy.shape, 4);
      const Tensor d_noisy64 = exact(d_noisy), d_sigma64 = exact(d_sigma);
      smooth_load_sums(ctx, as_tensor(sums), clean, noisy, sigma, indices, targets);
      smooth_load_backward(ctx, d_noisy, d_sigma, clean, noisy, sigma, indices, as_tensor(gradient), targets);
      smooth_load_sums(exact, as_tensor(sums64), exact(clean), exact(noisy), exact(sigma), exact(indices),
                       exact(targets));
      smooth_load_backward(exact, d_noisy64, d_sigma64, exact(clean), exact(noisy), exact(sigma), exact(indices),
                           as_tensor(gradient), exact(targets));
      check_close("sums", as_tensor(sums), as_tensor(sums64), {1e-6, 1e-6});
      check_close("d_noisy", d_noisy, d_noisy64, {1e-5, 1e-5});
      check_close("d_deviation", d_sigma, d_sigma64, {1e-5, 1e-5});
    }
  }
}

TEST_CASE("sums of routings and their gradients equal the CPU's") {
  TestContext ctx;
  Exact exact;
  for (const int64_t experts : {1, 33, 300}) {
    const Tensor p = ctx.normal({90, experts}, 1), targets = some_targets(ctx, 90);
    for (int64_t i = 7; i < p.size(); i += 3) set(p, i, get(p, i - 7));  // ties
    std::vector<double> counts(static_cast<size_t>(experts)), counts64 = counts, gradient;
    top1_counts(ctx, as_tensor(counts), p, targets);
    top1_counts(exact, as_tensor(counts64), exact(p), exact(targets));
    CHECK(counts == counts64);
    for (int64_t e = 0; e < experts; ++e) gradient.push_back(std::cos(static_cast<double>(e)));
    const Tensor indices = some_choices(ctx, 90, experts, 3, 11), d_w = ctx.normal({90, 3}, 2), d_w64 = exact(d_w);
    weight_sum_backward(ctx, d_w, indices, as_tensor(gradient), targets);
    weight_sum_backward(exact, d_w64, exact(indices), as_tensor(gradient), exact(targets));
    check_close("d_weights", d_w, d_w64);
    CHECK(sum_from([&](Tensor sum) { count_assignments(ctx, sum, indices, targets); }) ==
          sum_from([&](Tensor sum) { count_assignments(exact, sum, exact(indices), exact(targets)); }));
    const Tensor ids = ctx.random_i32({90}, 50, 3), ids64 = exact(ids);
    mask_padding(ctx, ids, targets);
    mask_padding(exact, ids64, exact(targets));
    check_close("ids", ids, ids64, {});
  }
}

}  // namespace moe::test
