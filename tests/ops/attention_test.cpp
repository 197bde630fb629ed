#include "core/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/documents.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

struct Result {
  Tensor out, logsumexp;
};

Result run_forward(TestContext& ctx, ConstTensor qkv, const AttentionLayout& layout,
                   const AttentionDropout& dropout = {}) {
  const Result result{ctx.output({qkv.dim(0), layout.heads * layout.d_head}),
                      ctx.wide_output({qkv.dim(0), layout.heads})};
  attention_forward(ctx, result.out, result.logsumexp, qkv, layout, dropout);
  return result;
}

struct Reference {
  std::vector<double> out, logsumexp;
};

Reference reference(ConstTensor qkv, const AttentionLayout& layout, const AttentionDropout& dropout = {}) {
  const AttentionMask mask = AttentionMask::of(dropout, layout);
  const int64_t tokens = qkv.dim(0), d = layout.d_head;
  Reference result;
  result.out.resize(static_cast<size_t>(tokens * layout.heads * d));
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t first = t / layout.time * layout.time;
    for (int64_t h = 0; h < layout.heads; ++h) {
      const int64_t kv = h / (layout.heads / layout.kv_heads);
      std::vector<double> scores;
      const int64_t begin = first + layout.document_begin(t);
      for (int64_t s = begin; s < first + layout.visible(t - first, layout.length(first / layout.time)); ++s) {
        double score = 0;
        for (int64_t i = 0; i < d; ++i) {
          score += get(qkv, t * layout.width() + h * d + i) *
                   get(qkv, s * layout.width() + layout.key_column() + kv * d + i);
        }
        scores.push_back(score / std::sqrt(static_cast<double>(d)));
      }
      const double largest = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (const double score : scores) sum += std::exp(score - largest);
      result.logsumexp.push_back(largest + std::log(sum));
      for (int64_t s = begin; s < first + layout.visible(t - first, layout.length(first / layout.time)); ++s) {
        const double kept = dropout ? static_cast<double>(mask.factor(t / layout.time, h, t - first, s - first)) : 1;
        const double p = kept * std::exp(scores[as_index(s - begin)] - largest) / sum;
        for (int64_t i = 0; i < d; ++i) {
          result.out[as_index((t * layout.heads + h) * d + i)] +=
              p * get(qkv, s * layout.width() + layout.value_column() + kv * d + i);
        }
      }
    }
  }
  return result;
}

}  // namespace

TEST_CASE("attention of a hand-computed sequence") {
  TestContext ctx(DType::f64);
  // One head of width 1. Queries 0 and 1, keys 0 and ln 3, values 4 and 8: the second token's weights are 1/4 and 3/4.
  const Tensor qkv = ctx.of({2, 3}, {0, 0, 4, 1, std::log(3), 8});
  const Result result = run_forward(ctx, qkv, {2, 1, 1, 1});
  check_close("out", result.out, {4, 7});
  check_close("logsumexp", result.logsumexp, {0, std::log(4)});
}

TEST_CASE("attention equals the reference", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const AttentionLayout shapes[] = {{0, 1, 1, 1},  {0, 2, 2, 5},  {0, 4, 2, 8},  {0, 3, 1, 31},
                                    {0, 2, 1, 33}, {0, 1, 1, 72}, {0, 4, 2, 64}, {0, 1, 1, 128}};
  for (AttentionLayout layout : shapes) {
    for (const auto& [time, causal] : {std::pair{1, true},
                                       {2, true},
                                       {63, true},
                                       {64, true},
                                       {65, true},
                                       {96, true},
                                       {97, true},
                                       {130, true},
                                       {241, true},
                                       {1, false},
                                       {2, false},
                                       {17, false},
                                       {64, false},
                                       {65, false},
                                       {97, false},
                                       {130, false},
                                       {250, false}}) {
      // Long sequences once per width of the kernels: 32, 64 with groups of heads, and 128.
      if (time > 97 && layout.d_head != 31 && layout.d_head < 64) continue;
      layout.time = time;
      layout.causal = causal;
      const Tensor qkv = ctx.normal({2 * time, layout.width()}, 1);
      const Result result = run_forward(ctx, qkv, layout);
      const Reference expected = reference(qkv, layout);
      const std::string what = fmt::format("time {} heads {}/{} of {}{}", time, layout.heads, layout.kv_heads,
                                           layout.d_head, causal ? "" : ", not causal");
      const Tolerance tolerance = ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : tolerance_of(ctx.dtype);
      check_close("out, " + what, result.out, expected.out, tolerance);
      check_close("logsumexp, " + what, result.logsumexp, expected.logsumexp);
    }
  }
}

TEST_CASE("attention gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const AttentionLayout shapes[] = {
      {1, 1, 1, 3},         {5, 2, 2, 3},          {63, 2, 1, 2},        {65, 2, 1, 5},       {97, 2, 2, 17},
      {130, 1, 1, 3},       {250, 2, 1, 3},        {6, 6, 2, 7},         {1, 1, 1, 3, false}, {5, 2, 2, 3, false},
      {65, 2, 1, 5, false}, {97, 2, 2, 17, false}, {250, 2, 1, 3, false}};
  for (const AttentionLayout& layout : shapes) {
    const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 2);
    const Tensor d_out = ctx.normal({2 * layout.time, layout.heads * layout.d_head}, 3), d_qkv = ctx.output(qkv.shape);
    const Result result = run_forward(ctx, qkv, layout);
    attention_backward(ctx, d_qkv, d_out, qkv, result.out, result.logsumexp, layout);
    const auto loss = [&] {
      attention_forward(ctx, result.out, result.logsumexp, qkv, layout);
      return dot(result.out, d_out);
    };
    check_gradients(loss, {{fmt::format("qkv, time {}", layout.time), qkv, d_qkv}}, {.samples = 40});
  }
}

static const AttentionDropout kDropout{0.3, {7, RandomPurpose::test, 2, 5}, 11};

TEST_CASE("attention with dropout equals the reference", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const AttentionLayout& layout : {AttentionLayout{1, 1, 1, 1},
                                        {63, 2, 2, 5},
                                        {65, 3, 1, 31},
                                        {97, 4, 2, 64},
                                        {130, 1, 1, 128},
                                        {65, 2, 1, 33, false},
                                        {130, 2, 2, 64, false}}) {
    const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 1);
    const Result result = run_forward(ctx, qkv, layout, kDropout);
    const Reference expected = reference(qkv, layout, kDropout);
    const std::string what =
        fmt::format("time {} heads {}/{} of {}", layout.time, layout.heads, layout.kv_heads, layout.d_head);
    const Tolerance tolerance = ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : tolerance_of(ctx.dtype);
    check_close("out, " + what, result.out, expected.out, tolerance);
    check_close("logsumexp, " + what, result.logsumexp, expected.logsumexp);
  }
}

TEST_CASE("attention gradients with dropout, which is the same in backward", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const AttentionLayout& layout : {AttentionLayout{1, 1, 1, 3},
                                        {5, 2, 2, 3},
                                        {65, 2, 1, 5},
                                        {130, 1, 1, 3},
                                        {250, 2, 1, 3},
                                        {97, 2, 2, 17, false}}) {
    const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 2);
    const Tensor d_out = ctx.normal({2 * layout.time, layout.heads * layout.d_head}, 3), d_qkv = ctx.output(qkv.shape);
    const Result result = run_forward(ctx, qkv, layout, kDropout);
    attention_backward(ctx, d_qkv, d_out, qkv, result.out, result.logsumexp, layout, kDropout);
    const auto loss = [&] {
      attention_forward(ctx, result.out, result.logsumexp, qkv, layout, kDropout);
      return dot(result.out, d_out);
    };
    check_gradients(loss, {{fmt::format("qkv, time {}", layout.time), qkv, d_qkv}}, {.samples = 40});
  }
}

TEST_CASE("attention dropout depends on a sequence's index in the global batch", "[cpu]") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{37, 2, 1, 8};
  const Tensor qkv = ctx.normal({3 * 37, layout.width()}, 1);
  const Result whole = run_forward(ctx, qkv, layout, kDropout);
  for (int64_t s = 0; s < 3; ++s) {
    AttentionDropout own = kDropout;
    own.first_sequence += s;
    const Result part = run_forward(ctx, qkv.slice(s * 37, 37), layout, own);
    for (int64_t i = 0; i < part.out.size(); ++i) CHECK(get(part.out, i) == get(whole.out, s * part.out.size() + i));
  }
  AttentionDropout next = kDropout;
  ++next.key.step;
  const Result other = run_forward(ctx, qkv, layout, next);
  double difference = 0;
  for (int64_t i = 0; i < other.out.size(); ++i) difference += std::abs(get(other.out, i) - get(whole.out, i));
  CHECK(difference > 1);
}

TEST_CASE("attention within documents equals the reference", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const DocumentCase& c : document_cases()) {
    if (on_cpu() == false && c.layout.time > 300) continue;
    for (const AttentionDropout& dropout : {AttentionDropout{}, kDropout}) {
      const Documents documents(ctx, c.layout, 2, c.longest);
      const Tensor qkv = ctx.normal({2 * c.layout.time, c.layout.width()}, 1);
      const Result result = run_forward(ctx, qkv, documents.layout, dropout);
      const Reference expected = reference(qkv, documents.on_host, dropout);
      const std::string what =
          fmt::format("time {} heads {}/{} of {}, documents of up to {}, dropout {}", c.layout.time, c.layout.heads,
                      c.layout.kv_heads, c.layout.d_head, c.longest, dropout.rate);
      const Tolerance tolerance = ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : tolerance_of(ctx.dtype);
      check_close("out, " + what, result.out, expected.out, tolerance);
      check_close("logsumexp, " + what, result.logsumexp, expected.logsumexp);
    }
  }
}

TEST_CASE("attention gradients within documents", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const DocumentCase& c : document_cases()) {
    for (const AttentionDropout& dropout : {AttentionDropout{}, kDropout}) {
      const Documents documents(ctx, c.layout, 2, c.longest);
      const AttentionLayout& layout = documents.layout;
      const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 2);
      const Tensor d_out = ctx.normal({2 * layout.time, layout.heads * layout.d_head}, 3),
                   d_qkv = ctx.output(qkv.shape);
      const Result result = run_forward(ctx, qkv, layout, dropout);
      attention_backward(ctx, d_qkv, d_out, qkv, result.out, result.logsumexp, layout, dropout);
      const auto loss = [&] {
        attention_forward(ctx, result.out, result.logsumexp, qkv, layout, dropout);
        return dot(result.out, d_out);
      };
      check_gradients(loss, {{fmt::format("qkv, time {}, documents of up to {}", layout.time, c.longest), qkv, d_qkv}},
                      {.samples = 40});
    }
  }
}

TEST_CASE("a document of a sequence has the results that it has alone", "[hopper]") {
  TestContext ctx;
  const AttentionLayout layout{200, 2, 1, 16};
  const Documents documents(ctx, layout, 2, 150);
  const Tensor qkv = ctx.normal({400, layout.width()}, 4), d_out = ctx.normal({400, 32}, 5);
  const auto gradients = [&](ConstTensor x, ConstTensor d, const AttentionLayout& l) {
    const Result result = run_forward(ctx, x, l);
    const Tensor d_x = ctx.output(x.shape);
    attention_backward(ctx, d_x, d, x, result.out, result.logsumexp, l);
    return std::pair{result.out, d_x};
  };
  const auto whole = gradients(qkv, d_out, documents.layout);
  int64_t count = 0;
  for (int64_t token = 0; token < 400; ++count) {
    const int64_t length = documents.on_host.document_end(token) - documents.on_host.document_begin(token);
    const auto alone = gradients(qkv.slice(token, length), d_out.slice(token, length), {length, 2, 1, 16});
    check_close(fmt::format("out of the document at {}", token), whole.first.slice(token, length), values(alone.first),
                {1e-5, 1e-5});
    check_close(fmt::format("d_qkv of the document at {}", token), whole.second.slice(token, length),
                values(alone.second), {1e-5, 1e-5});
    token += length;
  }
  CHECK(count > 4);
}

TEST_CASE("one document a sequence gives the bits of sequences without documents", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const AttentionLayout& layout : {AttentionLayout{70, 2, 1, 16}, {257, 2, 2, 64}}) {
    const Documents documents(ctx, layout, 2, 0);
    const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 4),
                 d_out = ctx.normal({2 * layout.time, layout.heads * layout.d_head}, 5);
    const auto both = [&](const AttentionLayout& l) {
      const Result result = run_forward(ctx, qkv, l);
      const Tensor d_qkv = ctx.output(qkv.shape);
      attention_backward(ctx, d_qkv, d_out, qkv, result.out, result.logsumexp, l);
      return std::pair{result.out, d_qkv};
    };
    const auto with = both(documents.layout), without = both(layout);
    check_same_bits("out", with.first, without.first);
    check_same_bits("d_qkv", with.second, without.second);
  }
}

TEST_CASE("attention drops the configured share, and rescales the rest", "[cpu]") {
  const AttentionLayout layout{64, 4, 4, 8, false};
  const AttentionMask mask = AttentionMask::of(kDropout, layout);
  double sum = 0, dropped = 0;
  for (int64_t h = 0; h < 4; ++h) {
    for (int64_t q = 0; q < 64; ++q) {
      for (int64_t k = 0; k < 64; ++k) {
        const auto factor = static_cast<double>(mask.factor(0, h, q, k));
        sum += factor;
        dropped += factor == 0;
      }
    }
  }
  CHECK(dropped / (4 * 64 * 64) == Approx(0.3).margin(0.015));  // four standard deviations
  CHECK(sum / (4 * 64 * 64) == Approx(1).margin(0.02));
}

TEST_CASE("attention backward in f32 equals f64's", "[cpu]") {
  TestContext narrow(DType::f32), wide(DType::f64);
  const AttentionLayout layout{257, 4, 2, 32, GENERATE(true, false)};
  const auto gradient = [&](TestContext& ctx) {
    const Tensor qkv = ctx.normal({257, layout.width()}, 1), d_out = ctx.normal({257, 128}, 2),
                 d_qkv = ctx.output(qkv.shape);
    const Result result = run_forward(ctx, qkv, layout);
    attention_backward(ctx, d_qkv, d_out, qkv, result.out, result.logsumexp, layout);
    return d_qkv;
  };
  const Tensor want = gradient(wide);
  std::vector<double> values;
  for (int64_t i = 0; i < want.size(); ++i) values.push_back(get(want, i));
  check_close("d_qkv", gradient(narrow), values, {1e-4, 1e-5});
}

TEST_CASE("attention is causal and separates sequences", "[hopper]") {
  TestContext ctx;
  const AttentionLayout layout{70, 2, 1, 4};
  const Tensor qkv = ctx.normal({140, layout.width()}, 4), changed = ctx.copy_of(qkv);
  set_all(changed.slice(66, 1), 9);
  const Tensor before = run_forward(ctx, qkv, layout).out, after = run_forward(ctx, changed, layout).out;
  check_same_bits("tokens before the change", after.slice(0, 66), before.slice(0, 66));
  check_same_bits("the other sequence", after.slice(70, 70), before.slice(70, 70));
  CHECK(get(after, 66 * 8) != get(before, 66 * 8));
}

TEST_CASE("non-causal attention covers the whole sequence and no other", "[hopper]") {
  TestContext ctx;
  const AttentionLayout layout{70, 2, 1, 4, false};
  const Tensor qkv = ctx.normal({140, layout.width()}, 4), changed = ctx.copy_of(qkv);
  set_all(changed.slice(66, 1), 9);
  const Tensor before = run_forward(ctx, qkv, layout).out, after = run_forward(ctx, changed, layout).out;
  for (int64_t token = 0; token < 70; ++token) CHECK(get(after, token * 8) != get(before, token * 8));
  check_same_bits("the other sequence", after.slice(70, 70), before.slice(70, 70));
}

TEST_CASE("attention is stable for large scores", "[hopper]") {
  TestContext ctx;
  const AttentionLayout layout{33, 1, 1, 4};
  const Tensor qkv = ctx.normal({33, layout.width()}, 5, 60);
  const Result result = run_forward(ctx, qkv, layout);
  const Reference expected = reference(qkv, layout);
  check_close("out", result.out, expected.out, {1e-3, 1e-3});
  check_close("logsumexp", result.logsumexp, expected.logsumexp, {1e-5, 1e-3});
}

TEST_CASE("attention gives identical bits for any number of threads", "[cpu]") {
  TestContext ctx;
  const AttentionLayout layout{130, 4, 2, 9, GENERATE(true, false)};
  const Tensor qkv = ctx.normal({260, layout.width()}, 6), d_out = ctx.normal({260, 36}, 7);
  const auto both = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    const Result result = run_forward(ctx, qkv, layout);
    const Tensor d_qkv = ctx.output(qkv.shape);
    attention_backward(ctx, d_qkv, d_out, qkv, result.out, result.logsumexp, layout);
    return std::pair{result.out, d_qkv};
  };
  const auto one = both(1), two = both(2);
  check_same_bits("out", two.first, one.first);
  check_same_bits("d_qkv", two.second, one.second);
}

TEST_CASE("attention accepts no tokens, and refuses invalid arguments") {
  TestContext ctx;
  const AttentionLayout layout{4, 2, 1, 3};
  CHECK(run_forward(ctx, ctx.zeros({0, layout.width()}), layout).out.size() == 0);
  CHECK_THROWS_AS(run_forward(ctx, ctx.zeros({6, layout.width()}), layout), InternalError);
  CHECK_THROWS_AS(run_forward(ctx, ctx.zeros({4, layout.width() + 1}), layout), InternalError);
  CHECK_THROWS_AS(run_forward(ctx, ctx.zeros({4, 21}), AttentionLayout{4, 3, 2, 3}), InternalError);
  CHECK_THROWS_AS(attention_backward(ctx, ctx.output({4, 11}), ctx.zeros({4, 6}), ctx.zeros({4, 12}), ctx.zeros({4, 6}),
                                     ctx.zeros({4, 2}), layout),
                  InternalError);
}

}  // namespace moe::test
