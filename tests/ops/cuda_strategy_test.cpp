// Compares the ops of strategies, and of losses on experts' outputs, with the same ops on the CPU in f64, at odd sizes.
#include <cmath>

#include "comm/communicator.h"
#include "core/base/token.h"
#include "core/ops/competition.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/expert_output_sums.h"
#include "core/ops/feature_noise.h"
#include "core/ops/gating.h"
#include "core/ops/hierarchy.h"
#include "core/ops/info_nce.h"
#include "core/ops/merge_gate.h"
#include "core/ops/prototypes.h"
#include "core/ops/softmax.h"
#include "tests/support/catch.h"
#include "tests/support/exact.h"
#include "tests/support/routing_tensors.h"

namespace moe::test {

namespace {

constexpr RandomKey kKey{.seed = 1, .purpose = RandomPurpose::test, .stream = 4};

}  // namespace

TEST_CASE("responses equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const Response response : {Response::norm, Response::softplus}) {
    for (const int64_t d : {1, 33, 264}) {
      const Tensor rows = ctx.normal({35, d}, 1, 3), d_scores = ctx.wide_normal({35, 1}, 2);
      for (int64_t i = 0; i < d; ++i) set(rows, d + i, 0);
      set(d_scores, 4, 0);
      const Tensor scores = ctx.wide_output({35, 1}), d_rows = ctx.normal(rows.shape, 3);
      const Tensor scores64 = exact.output({35, 1}), d_rows64 = exact(d_rows);
      response_forward(ctx, scores, rows, response);
      response_backward(ctx, d_rows, d_scores, scores, rows, response);
      response_forward(exact, scores64, exact(rows), response);
      response_backward(exact, d_rows64, exact(d_scores), scores64, exact(rows), response);
      check_close("scores", scores, scores64);
      check_close("d_rows", d_rows, d_rows64, tolerance(ctx));
    }
  }
}

TEST_CASE("scores, weights and the distillation loss equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const auto& [experts, k] : {std::pair{1, 1}, std::pair{7, 3}, std::pair{100, 33}}) {
    const int64_t tokens = 37;
    const Tensor z = ctx.normal({tokens, experts}, 1), scores = ctx.output(z.shape), p = ctx.output(z.shape),
                 lse = ctx.output({tokens});
    for (int64_t i = 0; i < z.size(); ++i) set(scores, i, i < experts ? 0 : std::abs(get(z, i)));
    softmax_forward(ctx, p, lse, z);
    const Tensor indices = some_choices(ctx, tokens, experts, k), targets = some_targets(ctx, tokens);
    const Tensor indices64 = exact(indices), targets64 = exact(targets), scores64 = exact(scores), p64 = exact(p);

    const Tensor w = ctx.output({tokens, k}), d_w = ctx.normal({tokens, k}, 2), d_scores = ctx.normal(z.shape, 3);
    const Tensor w64 = exact.output({tokens, k}), d_scores64 = exact(d_scores);
    share_weights_forward(ctx, w, scores, indices);
    share_weights_backward(ctx, d_scores, d_w, scores, w, indices);
    share_weights_forward(exact, w64, scores64, indices64);
    share_weights_backward(exact, d_scores64, exact(d_w), scores64, w64, indices64);
    check_close("shares", w, w64);
    check_close("d_scores", d_scores, d_scores64, {1e-5, 1e-5});

    set(indices, 1 % (tokens * k), -1), set(indices64, 1 % (tokens * k), -1);
    const Tensor q = ctx.output(z.shape), q64 = exact.output(z.shape), back = ctx.output({tokens, k}),
                 back64 = exact.output({tokens, k});
    spread_chosen(ctx, q, w, indices);
    gather_chosen(ctx, back, q, indices);
    spread_chosen(exact, q64, exact(w), indices64);
    gather_chosen(exact, back64, q64, indices64);
    check_close("spread", q, q64, {});
    check_close("gathered", back, back64, {});
    const Tensor all_experts = ctx.output({tokens, experts}, DType::i32);
    choose_all(ctx, all_experts);
    for (int64_t i = 0; i < all_experts.size(); ++i) CHECK(get(all_experts, i) == static_cast<double>(i % experts));

    const double expected =
        sum_from([&](Tensor sum) { distillation_sum(exact, sum, p64, q64, indices64, 0.3, targets64); });
    CHECK(sum_from([&](Tensor sum) { distillation_sum(ctx, sum, p, q, indices, 0.3, targets); }) ==
          Approx(expected).epsilon(1e-6));
    for (const bool with_target : {false, true}) {
      const Tensor d_z = ctx.normal(z.shape, 4), d_q = ctx.normal(z.shape, 5), d_z64 = exact(d_z), d_q64 = exact(d_q);
      distillation_backward(ctx, d_z, with_target ? d_q : Tensor{}, p, q, indices, 0.3, -2, targets);
      distillation_backward(exact, d_z64, with_target ? d_q64 : Tensor{}, p64, q64, indices64, 0.3, -2, targets64);
      softmax_backward(ctx, d_z, d_q, p);
      softmax_backward(exact, d_z64, d_q64, p64);
      check_close("d_logits", d_z, d_z64, {1e-5, 1e-6});
      check_close("d_q", d_q, d_q64, {1e-5, 1e-6});
    }
    const Tensor others = ctx.random_i32({tokens, 4}, experts, 6);
    CHECK(sum_from([&](Tensor sum) { topk_overlap_sum(ctx, sum, indices, others, targets); }) ==
          Approx(sum_from([&](Tensor sum) {
            topk_overlap_sum(exact, sum, indices64, exact(others), targets64);
          })).epsilon(1e-12));
  }
}

TEST_CASE("similarity of outputs equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t k : {1, 2, 5}) {
    for (const int64_t d : {1, 33, 264}) {
      const int64_t tokens = 11;
      const Tensor rows = ctx.normal({tokens * k, d}, 1), position = ctx.output({tokens, k}, DType::i32),
                   targets = some_targets(ctx, tokens);
      for (int64_t i = 0; i < tokens * k; ++i)
        set(position, i, static_cast<double>(i % 9 == 4 ? -1 : tokens * k - 1 - i));
      for (int64_t i = 0; i < d; ++i) set(rows, i, 0);
      const Tensor d_rows = ctx.normal(rows.shape, 2), d_rows64 = exact(d_rows);
      CHECK(sum_from([&](Tensor sum) { output_similarity_sum(ctx, sum, rows, position, targets); }) ==
            Approx(sum_from([&](Tensor sum) {
              output_similarity_sum(exact, sum, exact(rows), exact(position), exact(targets));
            }))
                .epsilon(1e-5)
                .margin(1e-6));
      output_similarity_backward(ctx, d_rows, rows, position, -3, targets);
      output_similarity_backward(exact, d_rows64, exact(rows), exact(position), -3, exact(targets));
      check_close("d_rows", d_rows, d_rows64, tolerance(ctx));
    }
  }
}

TEST_CASE("feature noise equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t time : {1, 9, 40}) {
    for (const int64_t d : {1, 33, 136}) {
      const int64_t tokens = 2 * time;
      const Tensor x = ctx.normal({tokens, d}, 1), x64 = exact(x);
      const Tensor mean = ctx.wide_output(x.shape), deviation = ctx.wide_output(x.shape);
      const Tensor mean64 = exact.output(x.shape), deviation64 = exact.output(x.shape);
      for (const NoiseStatistics statistics : {NoiseStatistics::sequence, NoiseStatistics::causal}) {
        feature_statistics(ctx, mean, deviation, x, {}, time, statistics);
        feature_statistics(exact, mean64, deviation64, x64, {}, time, statistics);
        check_close("mean", mean, mean64, {1e-5, 1e-6});
        check_close("deviation", deviation, deviation64, {1e-5, 1e-6});
      }
      for (const bool per_token : {true, false}) {
        const Tensor m = per_token ? mean : mean.slice(0, 1),
                     s = per_token ? deviation : deviation.slice(tokens - 1, 1);
        const Tensor x_hat = ctx.output(x.shape), gain = ctx.output(x.shape), d_x_hat = ctx.normal(x.shape, 2),
                     d_x = ctx.normal(x.shape, 3);
        const Tensor x_hat64 = exact.output(x.shape), gain64 = exact.output(x.shape), d_x64 = exact(d_x);
        feature_noise_forward(ctx, x_hat, gain, x, m, s, kKey, 17);
        feature_noise_backward(ctx, d_x, d_x_hat, gain);
        feature_noise_forward(exact, x_hat64, gain64, x64, exact(m), exact(s), kKey, 17);
        feature_noise_backward(exact, d_x64, exact(d_x_hat), gain64);
        check_close("x_hat", x_hat, x_hat64, tolerance(ctx));
        check_close("gain", gain, gain64, tolerance(ctx));
        check_close("d_x", d_x, d_x64, tolerance(ctx));
      }
      const Tensor targets = some_targets(ctx, tokens), state = ctx.wide_zeros({2 * d + 1}), state64 = exact(state);
      std::vector<double> sums(static_cast<size_t>(2 * d + 1), 1.0), sums64 = sums;
      moment_sums(ctx, as_tensor(sums), x, targets);
      moment_sums(exact, as_tensor(sums64), x64, exact(targets));
      check_close("sums", as_tensor(sums), as_tensor(sums64), {1e-12, 1e-9});
      for (const double decay : {0.5, 0.9}) {
        update_moments(ctx, state, as_tensor(sums), decay);
        update_moments(exact, state64, as_tensor(sums64), decay);
      }
      check_close("state", state, state64);
      const Tensor m = ctx.wide_output({1, d}), s = ctx.wide_output({1, d}), m64 = exact.output({1, d}),
                   s64 = exact.output({1, d});
      moments_to_statistics(ctx, m, s, state);
      moments_to_statistics(exact, m64, s64, exact(state));
      check_close("moving mean", m, m64);
      check_close("moving deviation", s, s64, {1e-4, 1e-4});
    }
  }
}

TEST_CASE("diagonal cross-entropy equals the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t n : {1, 2, 33, 257}) {
    const Tensor products = ctx.normal({n, n}, 1), targets = some_targets(ctx, n);
    for (const double factor : {0.0, -3.0}) {
      const Tensor a = ctx.copy_of(products), a64 = exact(products), losses = ctx.output({n}),
                   losses64 = exact.output({n});
      diagonal_cross_entropy(ctx, losses, a, 0.7, factor, targets);
      diagonal_cross_entropy(exact, losses64, a64, 0.7, factor, exact(targets));
      check_close("losses", losses, losses64, {1e-5, 1e-6});
      if (factor != 0) check_close("gradient", a, a64, {1e-5, 1e-6});
    }
  }
}

TEST_CASE("merging equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t d : {1, 33, 264}) {
    const Tensor a = ctx.normal({41, d}, 1), b = ctx.normal({41, d}, 2), logits = ctx.wide_normal({41, 1}, 3),
                 bias = ctx.constant({1}, 0.25), d_y = ctx.normal({41, d}, 4);
    const Tensor y = ctx.output(a.shape), gates = ctx.wide_output({41}), d_a = ctx.output(a.shape),
                 d_b = ctx.output(a.shape), d_logits = ctx.wide_output({41, 1}), d_bias = ctx.wide_constant({1}, 2);
    const Tensor y64 = exact.output(a.shape), gates64 = exact.output({41}), d_a64 = exact.output(a.shape),
                 d_b64 = exact.output(a.shape), d_logits64 = exact.output({41, 1}), d_bias64 = exact(d_bias);
    merge_gate_forward(ctx, y, gates, a, b, logits, bias);
    merge_gate_backward(ctx, d_a, d_b, d_logits, d_bias, d_y, a, b, gates);
    merge_gate_forward(exact, y64, gates64, exact(a), exact(b), exact(logits), exact(bias));
    merge_gate_backward(exact, d_a64, d_b64, d_logits64, d_bias64, exact(d_y), exact(a), exact(b), gates64);
    check_close("y", y, y64, tolerance(ctx));
    check_close("gates", gates, gates64);
    check_close("d_a", d_a, d_a64, tolerance(ctx));
    check_close("d_b", d_b, d_b64, tolerance(ctx));
    check_close("d_logits", d_logits, d_logits64, {1e-5, 1e-5});
    check_close("d_bias", d_bias, d_bias64, {1e-5, 1e-4});
  }
}

TEST_CASE("prototypes and sums of experts' outputs equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const auto& [experts, k] : {std::pair{1, 1}, std::pair{5, 2}, std::pair{40, 3}}) {
    for (const int64_t d : {1, 33, 72}) {
      const int64_t tokens = 50;
      const Tensor indices = some_choices(ctx, tokens, experts, k), targets = some_targets(ctx, tokens);
      for (int64_t i = 0; i < tokens * k; i += 17) set(indices, i, -1);
      const Tensor position = ctx.output(indices.shape, DType::i32), source = ctx.output({tokens * k}, DType::i32),
                   offsets = ctx.output({experts + 1}, DType::i32);
      sort_assignments(ctx, position, source, offsets, indices);
      const auto assigned = static_cast<int64_t>(get(offsets, experts)), count = on_cpu() ? assigned : tokens * k;
      const Tensor labels = ctx.output({count}, DType::i32), labels64 = exact.output({assigned}, DType::i32);
      expert_labels(ctx, labels, indices, source, targets);
      expert_labels(exact, labels64, exact(indices), exact(source), exact(targets));
      check_close("labels", labels.slice(0, assigned), labels64, {});
      for (int64_t r = assigned; r < count; ++r) CHECK(get(labels, r) == kIgnoreTarget);

      const Tensor rows = ctx.normal({count, d}, 1), d_rows = ctx.normal({count, d}, 2), d_rows64 = exact(d_rows);
      std::vector<double> sums(static_cast<size_t>(experts * d), 1.0), sums64 = sums;
      const Shape shape{experts, d};
      expert_output_sums(ctx, as_tensor(sums).reshape(shape), rows, position, indices, targets);
      expert_output_sums(exact, as_tensor(sums64).reshape(shape), exact(rows), exact(position), exact(indices),
                         exact(targets));
      check_close("sums", as_tensor(sums), as_tensor(sums64), {1e-12, 1e-9});
      expert_output_sums_backward(ctx, d_rows, as_tensor(sums).reshape(shape), position, indices, targets);
      expert_output_sums_backward(exact, d_rows64, as_tensor(sums64).reshape(shape), exact(position), exact(indices),
                                  exact(targets));
      check_close("d_rows", d_rows, d_rows64, tolerance(ctx));

      const Tensor prototypes = ctx.wide_normal(shape, 3);
      for (int64_t i = 0; i < d; ++i) set(prototypes, i, 0);
      const Tensor prototypes64 = exact(prototypes);
      std::vector<double> counts;
      for (int64_t e = 0; e < experts; ++e) counts.push_back(static_cast<double>(e % 3 + (e == 0)));
      update_prototypes(ctx, prototypes, as_tensor(sums).reshape(shape), as_tensor(counts), 0.75);
      update_prototypes(exact, prototypes64, as_tensor(sums64).reshape(shape), as_tensor(counts), 0.75);
      check_close("prototypes", prototypes, prototypes64);
    }
  }
}

TEST_CASE("two levels of choice equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  const int64_t tokens = 37, num_groups = 3, chosen = 2, m = 2;
  for (const int64_t n : {2, 33, 70}) {
    const int64_t experts = num_groups * n;
    // A choice of k by softmax: the device's, and the same values in f64.
    struct Level {
      std::vector<Tensor> tensors;
      GroupChoice choice(bool with_skip) const {
        return {tensors[0], tensors[1], tensors[2], tensors[3], with_skip ? ConstTensor(tensors[4]) : ConstTensor()};
      }
    };
    const auto level = [&](int64_t width, int64_t k, uint32_t stream) {
      const Tensor z = ctx.normal({tokens, width}, stream), p = ctx.output(z.shape), lse = ctx.output({tokens}),
                   indices = ctx.output({tokens, k}, DType::i32), w = ctx.output({tokens, k});
      gating_forward(ctx, p, lse, indices, w, z, {});
      return Level{{z, lse, indices, w, ctx.normal({tokens}, stream + 50)}};
    };
    const auto in_f64 = [&](const Level& l) {
      Level copy;
      for (const Tensor& t : l.tensors) copy.tensors.push_back(exact(t));
      return copy;
    };
    const Level top = level(num_groups, chosen, 1);
    set(top.tensors[2], 5, -1);  // a slot without a group
    const Level top64 = in_f64(top);
    const Tensor log_p = ctx.output({tokens, experts}), indices = ctx.output({tokens, chosen * m}, DType::i32),
                 w = ctx.output(indices.shape), skip = ctx.zeros({tokens});
    const Tensor log_p64 = exact.output(log_p.shape), indices64 = exact.output(indices.shape, DType::i32),
                 w64 = exact.output(w.shape), skip64 = exact.zeros({tokens});
    const Tensor d_log_p = ctx.normal(log_p.shape, 7), d_w = ctx.normal(w.shape, 8), d_skip = ctx.normal({tokens}, 9);
    const Tensor d_top_log_p = ctx.zeros({tokens, num_groups}), d_top_w = ctx.zeros({tokens, chosen});
    const Tensor d_top_log_p64 = exact(d_top_log_p), d_top_w64 = exact(d_top_w);
    for (int64_t g = 0; g < num_groups; ++g) {
      const int64_t k = g == 1 ? 1 : m;
      const bool with_skip = g != 2;
      const Level inner = level(n, k, static_cast<uint32_t>(g) + 10), inner64 = in_f64(inner);
      const GroupChoice here = inner.choice(with_skip), here64 = inner64.choice(with_skip);
      compose_group(ctx, log_p, indices, w, skip, g, g * n, top.choice(false), here);
      compose_group(exact, log_p64, indices64, w64, skip64, g, g * n, top64.choice(false), here64);
      const Tensor d_z = ctx.normal({tokens, n}, 20), d_inner_w = ctx.output({tokens, k}),
                   d_inner_skip = ctx.output({tokens}), targets = some_targets(ctx, tokens),
                   inside = ctx.output({tokens}, DType::i32);
      const Tensor d_z64 = exact(d_z), d_inner_w64 = exact.output({tokens, k}), d_inner_skip64 = exact.output({tokens}),
                   inside64 = exact.output({tokens}, DType::i32);
      compose_group_backward(ctx, d_z, d_inner_w, d_inner_skip, d_top_log_p, d_top_w, d_log_p, d_w, d_skip, g, g * n,
                             top.choice(false), here);
      compose_group_backward(exact, d_z64, d_inner_w64, d_inner_skip64, d_top_log_p64, d_top_w64, exact(d_log_p),
                             exact(d_w), exact(d_skip), g, g * n, top64.choice(false), here64);
      check_close("d_logits", d_z, d_z64, {1e-5, 1e-5});
      check_close("d_weights", d_inner_w, d_inner_w64, {1e-5, 1e-6});
      if (with_skip) check_close("d_skip", d_inner_skip, d_inner_skip64, {1e-5, 1e-6});
      targets_in_group(ctx, inside, targets, top.tensors[2], g);
      targets_in_group(exact, inside64, exact(targets), top64.tensors[2], g);
      check_close("targets", inside, inside64, {});
    }
    check_close("log probabilities", log_p, log_p64);
    check_close("indices", indices, indices64, {});
    check_close("weights", w, w64);
    check_close("skip", skip, skip64);
    check_close("d_log_p of groups", d_top_log_p, d_top_log_p64, {1e-5, 1e-5});
    check_close("d_weights of groups", d_top_w, d_top_w64, {1e-5, 1e-5});
    const Tensor d_top = ctx.normal({tokens, num_groups}, 30), d_top64 = exact(d_top);
    log_softmax_backward(ctx, d_top, d_top_log_p, top.tensors[0], top.tensors[1]);
    log_softmax_backward(exact, d_top64, d_top_log_p64, top64.tensors[0], top64.tensors[1]);
    check_close("d_logits of groups", d_top, d_top64, {1e-5, 1e-4});
  }
}

}  // namespace moe::test
