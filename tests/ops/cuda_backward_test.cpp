// Compares backward ops, and forward ones at sizes of real models, with the same ops on the CPU in f64, which the
// gradient checks verify. On the CPU this compares f32 with f64.
#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/class_token.h"
#include "core/ops/dispatch.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/gating.h"
#include "core/ops/grouped_gemm.h"
#include "core/ops/matmul.h"
#include "core/ops/pooling.h"
#include "core/ops/qk_norm.h"
#include "core/ops/rms_norm.h"
#include "core/ops/rope.h"
#include "core/ops/routing_sums.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/documents.h"
#include "tests/support/exact.h"
#include "tests/support/imbalance.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("attention backward equals the CPU's in f64", "[hopper]") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (AttentionLayout layout : {AttentionLayout{1, 1, 1, 1},
                                 {63, 2, 1, 16},
                                 {64, 1, 1, 64},
                                 {65, 4, 2, 31},
                                 {130, 3, 1, 72},
                                 {257, 2, 1, 64},
                                 {200, 2, 2, 128},
                                 {1, 1, 1, 1, false},
                                 {17, 2, 1, 16, false},
                                 {64, 1, 1, 64, false},
                                 {65, 4, 2, 31, false},
                                 {130, 3, 1, 60, false},
                                 {97, 2, 1, 72, false},
                                 {130, 2, 2, 128, false}}) {
    for (const double rate : {0.0, 0.25}) {
      if (rate > 0 && layout.time > 130) continue;
      const AttentionDropout dropout{rate, {3, RandomPurpose::test, 4, 1}, 6};
      const int64_t tokens = 2 * layout.time;
      const Tensor qkv = ctx.normal({tokens, layout.width()}, 1),
                   d_out = ctx.normal({tokens, layout.heads * layout.d_head}, 2);
      const Tensor out = ctx.output(d_out.shape), lse = ctx.wide_output({tokens, layout.heads}),
                   d_qkv = ctx.output(qkv.shape);
      const Tensor qkv64 = exact(qkv), d_out64 = exact(d_out), out64 = exact.output(out.shape),
                   lse64 = exact.output(lse.shape), d_qkv64 = exact.output(qkv.shape);
      attention_forward(ctx, out, lse, qkv, layout, dropout);
      attention_backward(ctx, d_qkv, d_out, qkv, out, lse, layout, dropout);
      attention_forward(exact, out64, lse64, qkv64, layout, dropout);
      attention_backward(exact, d_qkv64, d_out64, qkv64, out64, lse64, layout, dropout);
      const std::string what = fmt::format(", time {} heads {}/{} of {}{}, dropout {}", layout.time, layout.heads,
                                           layout.kv_heads, layout.d_head, layout.causal ? "" : ", not causal", rate);
      check_close("out" + what, out, out64, tolerance(ctx));
      check_close("logsumexp" + what, lse, lse64, {1e-5, 1e-5});
      check_close("d_qkv" + what, d_qkv, d_qkv64,
                  ctx.dtype == DType::bf16 ? Tolerance{2e-2, 4e-2} : Tolerance{2e-5, 1e-5});
    }
  }
}

TEST_CASE("attention backward within documents equals the CPU's in f64", "[hopper]") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const DocumentCase& c : document_cases()) {
    if (c.layout.time > 300) continue;
    for (const double rate : {0.0, 0.25}) {
      if (rate > 0 && c.layout.time > 130) continue;
      const AttentionDropout dropout{rate, {3, RandomPurpose::test, 4, 1}, 6};
      const Documents documents(ctx, c.layout, 2, c.longest), documents64(exact, c.layout, 2, c.longest);
      const int64_t tokens = 2 * c.layout.time;
      const Tensor qkv = ctx.normal({tokens, c.layout.width()}, 1),
                   d_out = ctx.normal({tokens, c.layout.heads * c.layout.d_head}, 2);
      const Tensor out = ctx.output(d_out.shape), lse = ctx.wide_output({tokens, c.layout.heads}),
                   d_qkv = ctx.output(qkv.shape);
      const Tensor qkv64 = exact(qkv), d_out64 = exact(d_out), out64 = exact.output(out.shape),
                   lse64 = exact.output(lse.shape), d_qkv64 = exact.output(qkv.shape);
      attention_forward(ctx, out, lse, qkv, documents.layout, dropout);
      attention_backward(ctx, d_qkv, d_out, qkv, out, lse, documents.layout, dropout);
      attention_forward(exact, out64, lse64, qkv64, documents64.layout, dropout);
      attention_backward(exact, d_qkv64, d_out64, qkv64, out64, lse64, documents64.layout, dropout);
      const std::string what =
          fmt::format(", time {} heads {}/{} of {}, documents of up to {}, dropout {}", c.layout.time, c.layout.heads,
                      c.layout.kv_heads, c.layout.d_head, c.longest, rate);
      check_close("out" + what, out, out64, tolerance(ctx));
      check_close("logsumexp" + what, lse, lse64, {1e-5, 1e-5});
      check_close("d_qkv" + what, d_qkv, d_qkv64,
                  ctx.dtype == DType::bf16 ? Tolerance{2e-2, 4e-2} : Tolerance{2e-5, 1e-5});
    }
  }
}

// Keys past a sequence's end are zeros, whose scores are 0. With an LSE this low their P would be infinite, and 0 times
// infinity is NaN.
TEST_CASE("attention backward of very small scores equals the CPU's in f64", "[hopper]") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const AttentionLayout& layout : {AttentionLayout{65, 1, 1, 64}, {65, 1, 1, 64, false}, {97, 1, 1, 32, false}}) {
    const int64_t tokens = 2 * layout.time, d = layout.d_head;
    const Tensor qkv = ctx.normal({tokens, layout.width()}, 1, 0.1), d_out = ctx.normal({tokens, d}, 2);
    for (int64_t i = 0; i < tokens; ++i) {
      set(qkv, i * layout.width(), 40);
      set(qkv, i * layout.width() + d, -40);
    }
    const Tensor out = ctx.output(d_out.shape), lse = ctx.wide_output({tokens, 1}), d_qkv = ctx.output(qkv.shape);
    const Tensor qkv64 = exact(qkv), out64 = exact.output(out.shape), lse64 = exact.output(lse.shape),
                 d_qkv64 = exact.output(qkv.shape);
    attention_forward(ctx, out, lse, qkv, layout);
    attention_backward(ctx, d_qkv, d_out, qkv, out, lse, layout);
    attention_forward(exact, out64, lse64, qkv64, layout);
    attention_backward(exact, d_qkv64, exact(d_out), qkv64, out64, lse64, layout);
    REQUIRE(get(lse64, 0) < -120);
    const std::string what = fmt::format(", time {} of {}{}", layout.time, d, layout.causal ? "" : ", not causal");
    check_close("logsumexp" + what, lse, lse64, {1e-5, 1e-5});
    // A query's dS sum to 0 and apply to keys with the same first element. What rounding leaves of the sum there is
    // proportional to that element.
    check_close("d_qkv" + what, d_qkv, d_qkv64,
                ctx.dtype == DType::bf16 ? Tolerance{2e-2, 0.5} : Tolerance{2e-5, 1e-3});
  }
}

TEST_CASE("activation backward equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh, Activation::swiglu}) {
    for (const int64_t d_ff : {1, 31, 32, 33, 257, 264}) {
      const Tensor z = ctx.normal({5, width_factor(activation) * d_ff}, 1, 2), d_y = ctx.normal({5, d_ff}, 2);
      const Tensor d_z = ctx.output(z.shape), d_z64 = exact.output(z.shape);
      activation_backward(ctx, d_z, d_y, z, activation);
      activation_backward(exact, d_z64, exact(d_y), exact(z), activation);
      check_close(fmt::format("activation {} of {}", int(activation), d_ff), d_z, d_z64, tolerance(ctx));
    }
  }
}

TEST_CASE("norms backward equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t d : {8, 33, 264, 1024}) {
    const Tensor x = ctx.normal({70, d}, 1), weight = ctx.normal({d}, 2), d_y = ctx.normal({70, d}, 3);
    const Tensor y = ctx.output(x.shape), rms = ctx.wide_output({70}), d_x = ctx.normal(x.shape, 4),
                 d_w = ctx.wide_normal({d}, 5);
    const Tensor y64 = exact.output(x.shape), rms64 = exact.output({70}), d_x64 = exact(d_x), d_w64 = exact(d_w);
    rms_norm_forward(ctx, y, rms, x, weight, 1e-5);
    rms_norm_backward(ctx, d_x, d_w, d_y, x, weight, rms, true);
    rms_norm_forward(exact, y64, rms64, exact(x), exact(weight), 1e-5);
    rms_norm_backward(exact, d_x64, d_w64, exact(d_y), exact(x), exact(weight), rms64, true);
    check_close("y", y, y64);
    check_close("d_x", d_x, d_x64, tolerance(ctx));
    check_close("d_weight", d_w, d_w64, {1e-5, 1e-5});
  }
}

TEST_CASE("q/k norms backward equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  struct Case {
    AttentionLayout layout;
    bool is_full;
  };
  for (const auto& [layout, is_full] : {Case{{1, 1, 1, 1}, false},
                                        {{1, 4, 2, 33}, false},
                                        {{1, 3, 3, 64}, false},
                                        {{1, 4, 2, 33}, true},
                                        {{1, 3, 3, 64}, true},
                                        {{1, 32, 8, 128}, true}}) {
    const int64_t q = is_full ? layout.heads * layout.d_head : layout.d_head,
                  k = is_full ? layout.kv_heads * layout.d_head : layout.d_head;
    const Tensor x = ctx.normal({9, layout.width()}, 1), wq = ctx.normal({q}, 2), wk = ctx.normal({k}, 3);
    const Tensor y = ctx.output(x.shape), rms = ctx.wide_output({9, QkNormSpans::of(layout, q).count()}),
                 d_x = ctx.normal(x.shape, 4);
    const Tensor d_q = ctx.wide_normal({q}, 5), d_k = ctx.wide_normal({k}, 6);
    const Tensor y64 = exact.output(x.shape), rms64 = exact.output(rms.shape), d_x64 = exact(d_x), d_q64 = exact(d_q),
                 d_k64 = exact(d_k);
    qk_norm_forward(ctx, y, rms, x, wq, wk, layout, 1e-2);
    qk_norm_backward(ctx, d_x, d_q, d_k, x, wq, wk, rms, layout);
    qk_norm_forward(exact, y64, rms64, exact(x), exact(wq), exact(wk), layout, 1e-2);
    qk_norm_backward(exact, d_x64, d_q64, d_k64, exact(x), exact(wq), exact(wk), rms64, layout);
    check_close("q/k y", y, y64);
    check_close("q/k d_x", d_x, d_x64, tolerance(ctx));
    check_close("d_q_weight", d_q, d_q64, {1e-5, 1e-5});
    check_close("d_k_weight", d_k, d_k64, {1e-5, 1e-5});
  }
}

TEST_CASE("rope backward equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const AttentionLayout& layout : {AttentionLayout{1, 1, 1, 2}, {33, 4, 2, 17}}) {
    const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 1), qkv64 = exact(qkv);
    rope_backward(ctx, qkv, layout, {layout.d_head / 2 * 2, 10000});
    rope_backward(exact, qkv64, layout, {layout.d_head / 2 * 2, 10000});
    check_close("d_qkv", qkv, qkv64);
  }
  const AttentionLayout layout{257, 2, 1, 64};
  for (const RopeFrequencies& frequencies :
       {RopeFrequencies{64, 10000, RopeFrequencies::Scaling::linear, 4},
        RopeFrequencies{64, 10000, RopeFrequencies::Scaling::llama3, 8, 1, 4, 128}}) {
    const Tensor qkv = ctx.normal({layout.time, layout.width()}, 1), qkv64 = exact(qkv);
    rope_backward(ctx, qkv, layout, frequencies);
    rope_backward(exact, qkv64, layout, frequencies);
    check_close("d_qkv of scaled frequencies", qkv, qkv64);
  }
}

TEST_CASE("row moves backward equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  const int64_t experts = 6, k = 3;
  for (const int64_t tokens : {1, 33, 400}) {
    for (const int64_t d : {7, 40}) {
      for (const Imbalance& imbalance : imbalances(experts, k)) {
        const Tensor indices = ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, experts, imbalance));
        const Tensor position = ctx.output(indices.shape, DType::i32), source = ctx.output({tokens * k}, DType::i32),
                     offsets = ctx.output({experts + 1}, DType::i32);
        sort_assignments(ctx, position, source, offsets, indices);
        // As in a step on one GPU: the number of rows is the number of slots, and the last ones may be unused.
        const int64_t count = on_cpu() ? static_cast<int64_t>(get(offsets, experts)) : tokens * k;
        const Tensor rows = ctx.normal({count, d}, 1), weights = ctx.wide_normal({tokens, k}, 2),
                     d_y = ctx.normal({tokens, d}, 3);
        const Tensor d_rows = ctx.output(rows.shape), d_weights = ctx.wide_output(weights.shape),
                     d_x = ctx.normal(d_y.shape, 4);
        const auto assigned = static_cast<int64_t>(get(offsets, experts));
        const Tensor position64 = exact(position), source64 = exact(source), rows64 = exact(rows.slice(0, assigned)),
                     weights64 = exact(weights), d_y64 = exact(d_y), d_x64 = exact(d_x);
        const Tensor d_rows64 = exact.output(rows64.shape), d_weights64 = exact.output(weights.shape);
        combine_backward(ctx, d_rows, d_weights, d_y, rows, weights, position, source);
        permute_backward(ctx, d_x, rows, position);
        combine_backward(exact, d_rows64, d_weights64, d_y64, rows64, weights64, position64, source64);
        permute_backward(exact, d_x64, rows64, position64);
        INFO(tokens << " tokens of " << d << ", " << imbalance.name);
        check_close("d_rows", d_rows.slice(0, assigned), d_rows64);
        check_close("d_weights", d_weights, d_weights64, {1e-5, 1e-5});
        check_close("d_x", d_x, d_x64, tolerance(ctx));
      }
    }
  }
}

TEST_CASE("pooling and class tokens backward equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t d : {1, 31, 33, 264}) {
    for (const int64_t time : {2, 33, 70}) {
      const int64_t sequences = 5, tokens = sequences * time;
      const Tensor targets = ctx.random_i32({tokens}, 3, 1), d_pooled = ctx.normal({sequences, d}, 2);
      for (int64_t t = 0; t < tokens; t += 3) set(targets, t, -1);
      for (const Pooling pooling : {Pooling::mean, Pooling::class_token, Pooling::last}) {
        const Tensor d_x = ctx.output({tokens, d}), d_x64 = exact.output({tokens, d});
        pool_backward(ctx, d_x, d_pooled, targets, pooling);
        pool_backward(exact, d_x64, exact(d_pooled), exact(targets), pooling);
        check_close("pool d_x", d_x, d_x64, tolerance(ctx));
      }
      const Tensor d_y = ctx.normal({tokens, d}, 3), d_x = ctx.output({tokens - sequences, d}),
                   d_row = ctx.wide_normal({d}, 4);
      const Tensor d_x64 = exact.output(d_x.shape), d_row64 = exact(d_row);
      class_token_backward(ctx, d_x, d_row, d_y, time);
      class_token_backward(exact, d_x64, d_row64, exact(d_y), time);
      check_close("class token d_x", d_x, d_x64);
      check_close("class token d_row", d_row, d_row64, {1e-5, 1e-5});
    }
  }
}

TEST_CASE("gating backward equals the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const auto& [experts, k] : {std::pair{1, 1}, std::pair{7, 2}, std::pair{33, 33}, std::pair{300, 8}}) {
    for (const GatingOptions options :
         {GatingOptions{true, true}, GatingOptions{false, true}, GatingOptions{false, false}}) {
      const Tensor logits = ctx.normal({9, experts}, 1), d_w = ctx.normal({9, k}, 2), d_z = ctx.normal(logits.shape, 3);
      const Tensor p = ctx.output(logits.shape), lse = ctx.output({9}), indices = ctx.output({9, k}, DType::i32),
                   w = ctx.output({9, k});
      const Tensor d_z64 = exact(d_z);
      gating_forward(ctx, p, lse, indices, w, logits, options);
      gating_backward(ctx, d_z, d_w, p, indices, w, options);
      gating_backward(exact, d_z64, exact(d_w), exact(p), exact(indices), exact(w), options);
      check_close("d_logits", d_z, d_z64, {1e-5, 1e-6});
    }
  }
}

TEST_CASE("gradients of routing sums equal the CPU's in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t n : {1, 33, 64}) {
    const Tensor p = ctx.normal({40, n}, 1), lse = ctx.normal({40}, 2), targets = ctx.random_i32({40}, 3, 3);
    for (int64_t t = 0; t < 40; t += 7) set(targets, t, -1);
    const Tensor gradient = ctx.normal({n}, 4, 1, DType::f64), d_z = ctx.normal(p.shape, 5), d_z64 = exact(d_z);
    softmax_sum_backward(ctx, d_z, p, gradient, targets);
    squared_logsumexp_backward(ctx, d_z, p, lse, 0.3, targets);
    softmax_sum_backward(exact, d_z64, exact(p), exact(gradient), exact(targets));
    squared_logsumexp_backward(exact, d_z64, exact(p), exact(lse), 0.3, exact(targets));
    check_close("d_logits", d_z, d_z64, {1e-5, 1e-5});
  }
}

TEST_CASE("embedding backward sums many equal ids like the CPU in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t vocab : {3, 300, 70'000}) {  // one, two and three passes of the sort
    const Tensor ids = ctx.random_i32({2100}, static_cast<int32_t>(vocab), 1), d_y = ctx.normal({2100, 9}, 2);
    const Tensor d_table = ctx.wide_zeros({vocab, 9}), d_table64 = exact.zeros({vocab, 9});
    embedding_backward(ctx, d_table, d_y, ids);
    embedding_backward(exact, d_table64, exact(d_y), exact(ids));
    check_close("d_table", d_table, d_table64, {1e-5, 1e-4});
  }
}

TEST_CASE("a product of two types is computed in the narrower type") {
  TestContext ctx(DType::bf16);
  if (on_cpu()) return;
  Exact exact;
  const Tensor x = ctx.normal({33, 40}, 1), weight = ctx.wide_normal({7, 40}, 2), d_y = ctx.wide_normal({33, 7}, 3);
  const Tensor y = ctx.wide_output({33, 7}), d_x = ctx.output(x.shape), d_weight = ctx.wide_zeros(weight.shape);
  const Tensor y64 = exact.output(y.shape), d_x64 = exact.output(x.shape), d_weight64 = exact.zeros(weight.shape);
  linear_forward(ctx, y, x, weight);
  linear_backward_input(ctx, d_x, d_y, weight);
  linear_backward_weight(ctx, d_weight, d_y, x);
  linear_forward(exact, y64, exact(x), exact(weight));
  linear_backward_input(exact, d_x64, exact(d_y), exact(weight));
  linear_backward_weight(exact, d_weight64, exact(d_y), exact(x));
  check_close("y", y, y64, tolerance_of(DType::bf16));
  check_close("d_x", d_x, d_x64, tolerance_of(DType::bf16));
  check_close("d_weight", d_weight, d_weight64, tolerance_of(DType::bf16));
}

TEST_CASE("ops without a CUDA implementation run on the host over managed memory, in f32, and planning reports them") {
  TestContext ctx;
  if (on_cpu()) return;
  bool needs_host = false, ran = false;
  const auto op = [&](DType dtype) { run(ctx, dtype, [&]<class T>(T) { ran = true; }); };
  CHECK_THROWS_AS(op(DType::f32), DeviceError);
  ctx.managed = true;
  op(DType::f32);
  CHECK(ran);
  CHECK_THROWS_AS(op(DType::bf16), DeviceError);
  ctx.planning = true;
  ctx.needs_host = &needs_host;
  ran = false;
  op(DType::bf16);
  CHECK((needs_host && !ran));
}

TEST_CASE("two runs of an op give identical bits", "[hopper]") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  const AttentionLayout layout{70, 4, 2, 16};
  const Tensor x = ctx.normal({140, layout.width()}, 1), d_out = ctx.normal({140, 64}, 2);
  const Tensor weight = ctx.normal({3, 24, layout.width()}, 3), d_y = ctx.normal({140, 24}, 4);
  const Tensor offsets = ctx.of_i32({4}, {0, 100, 100, 140});
  std::vector<Tensor> first;
  for (int run = 0; run < 2; ++run) {
    const std::vector<Tensor> results{ctx.output({140, 64}), ctx.wide_output({140, 4}), ctx.output(x.shape),
                                      ctx.wide_zeros(weight.shape), ctx.output(x.shape)};
    attention_forward(ctx, results[0], results[1], x, layout);
    attention_backward(ctx, results[2], d_out, x, results[0], results[1], layout);
    grouped_gemm_backward_weight(ctx, results[3], d_y, x, offsets);
    grouped_gemm_backward_input(ctx, results[4], d_y, weight, offsets);
    for (size_t i = 0; i < results.size() && run == 1; ++i)
      check_same_bits(fmt::format("result {}", i), results[i], first[i]);
    first = results;
  }
}

}  // namespace moe::test
