#include "core/ops/window_attention.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/exact.h"
#include "tests/support/gradient_check.h"

namespace moe::test {

namespace {

struct Case {
  AttentionLayout layout;
  AttentionWindow window;
  bool positions;
  AttentionDropout dropout{};

  std::string text() const {
    return fmt::format(", time {} heads {}/{} of {}, window {}, {} before{}{}{}", layout.time, layout.heads,
                       layout.kv_heads, layout.d_head, window.size, window.filled, window.itself ? "" : ", not itself",
                       positions ? ", positions" : "", dropout ? ", dropout" : "");
  }
};

// Odd sizes, grouped heads, and context memories that are shorter and longer than the sequence, empty, partly filled
// and full.
std::vector<Case> cases() {
  std::vector<Case> result;
  for (const AttentionLayout& layout :
       {AttentionLayout{1, 1, 1, 1}, {5, 2, 1, 3}, {31, 4, 2, 7}, {33, 3, 3, 33}, {70, 2, 1, 16}, {97, 1, 1, 40}}) {
    for (const int64_t size : {1, 3, 32, 70, 130}) {
      if (!on_cpu() && (size == 3 || layout.time == 31 || (layout.time == 97) != (size == 130)))
        continue;  // slow on that device
      for (const int64_t filled : {int64_t{0}, size / 2, size}) {
        for (const bool positions : {false, true}) {
          result.push_back({layout, {size, filled, !positions}, positions});
        }
      }
    }
  }
  result.push_back({{40, 1, 1, 72}, {50, 20, true}, true});
  result.push_back({{40, 2, 1, 128}, {33, 33, false}, true});
  const AttentionDropout dropout{0.3, {7, RandomPurpose::test, 2, 5}, 11};
  for (const AttentionLayout& layout : {AttentionLayout{1, 1, 1, 1}, {33, 3, 3, 33}, {70, 2, 1, 16}}) {
    for (const bool positions : {false, true}) {
      result.push_back({layout, {37, 17, !positions}, positions, dropout});
      result.push_back({layout, {5, 5, !positions}, positions, dropout});
    }
  }
  return result;
}

// The inputs and outputs of an op.
struct Tensors {
  Tensors(TestContext& ctx, const Case& c, int64_t sequences = 2)
      : qkv(ctx.normal({sequences * c.layout.time, c.layout.width()}, 1)),
        memory(c.window.filled > 0 ? ctx.normal({sequences, c.window.size, c.layout.memory_width()}, 2) : Tensor{}),
        positions(c.positions ? ctx.normal({c.window.size, c.layout.d_head}, 3) : Tensor{}),
        d_out(ctx.normal({qkv.dim(0), c.layout.heads * c.layout.d_head}, 4)) {}
  // Copies of another instance's tensors, in f64.
  Tensors(Exact& exact, const Tensors& other)
      : qkv(exact(other.qkv)),
        memory(other.memory ? exact(other.memory) : Tensor{}),
        positions(other.positions ? exact(other.positions) : Tensor{}),
        d_out(exact(other.d_out)) {}

  void forward(TestContext& ctx, const Case& c) {
    if (!out) out = ctx.output(d_out.shape), logsumexp = ctx.wide_output({qkv.dim(0), c.layout.heads});
    window_attention_forward(ctx, out, logsumexp, qkv, memory, positions, c.layout, c.window, c.dropout);
  }
  void backward(TestContext& ctx, const Case& c) {
    d_qkv = ctx.output(qkv.shape);
    if (positions) d_positions = ctx.wide_zeros(positions.shape);
    window_attention_backward(ctx, d_qkv, d_positions, d_out, qkv, memory, positions, out, logsumexp, c.layout,
                              c.window, c.dropout);
  }

  Tensor qkv, memory, positions, d_out;
  Tensor out{}, logsumexp{}, d_qkv{}, d_positions{};
};

struct Reference {
  std::vector<double> out, logsumexp;
};

// Computes each position by the definition.
Reference reference(const Tensors& x, const Case& c) {
  const AttentionLayout& l = c.layout;
  const int64_t d = l.d_head;
  const AttentionMask mask = AttentionMask::of(c.dropout, l, c.window.size);
  Reference result;
  result.out.resize(static_cast<size_t>(x.d_out.size()));
  for (int64_t t = 0; t < x.qkv.dim(0); ++t) {
    const int64_t sequence = t / l.time, i = t % l.time;
    for (int64_t h = 0; h < l.heads; ++h) {
      const int64_t kv = h / (l.heads / l.kv_heads);
      const auto element = [&](int64_t j, int64_t half, int64_t column) {  // half 0: keys, 1: values
        return j < 0 ? get(x.memory, ((sequence + 1) * c.window.size + j) * l.memory_width() +
                                         (half * l.kv_heads + kv) * d + column)
                     : get(x.qkv, (sequence * l.time + j) * l.width() + l.key_column() + (half * l.kv_heads + kv) * d +
                                      column);
      };
      std::vector<std::pair<int64_t, double>> scores;
      for (int64_t j = -c.window.filled; j < l.time; ++j) {
        if (j > i || i - j > c.window.size || (j == i && !c.window.itself)) continue;
        double score = 0;
        for (int64_t n = 0; n < d; ++n) {
          const double p = c.positions && j < i ? get(x.positions, (i - j - 1) * d + n) : 0;
          score += get(x.qkv, t * l.width() + h * d + n) * (element(j, 0, n) + p);
        }
        scores.emplace_back(j, score / std::sqrt(static_cast<double>(d)));
      }
      double largest = -1e300, sum = 0;
      for (const auto& [j, score] : scores) largest = std::max(largest, score);
      for (const auto& [j, score] : scores) sum += std::exp(score - largest);
      result.logsumexp.push_back(scores.empty() ? 0 : largest + std::log(sum));
      for (const auto& [j, score] : scores) {
        const double kept = c.dropout ? static_cast<double>(mask.factor(sequence, h, i, j)) : 1;
        for (int64_t n = 0; n < d; ++n) {
          result.out[as_index((t * l.heads + h) * d + n)] += kept * std::exp(score - largest) / sum * element(j, 1, n);
        }
      }
    }
  }
  return result;
}

}  // namespace

TEST_CASE("window attention equals the reference") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const Case& c : cases()) {
    Tensors x(ctx, c);
    x.forward(ctx, c);
    const Reference expected = reference(x, c);
    const Tolerance tolerance = ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : tolerance_of(ctx.dtype);
    check_close("out" + c.text(), x.out, expected.out, tolerance);
    check_close("logsumexp" + c.text(), x.logsumexp, expected.logsumexp,
                ctx.dtype == DType::f64 ? Tolerance{1e-12, 1e-12} : Tolerance{1e-5, 1e-5});
  }
}

TEST_CASE("window attention gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const Case& c : cases()) {
    if (c.layout.time > 70 || c.layout.d_head > 16) continue;
    Tensors x(ctx, c);
    x.forward(ctx, c);
    x.backward(ctx, c);
    const auto loss = [&] {
      x.forward(ctx, c);
      return dot(x.out, x.d_out);
    };
    // One key with weight 1 gives its query no gradient.
    std::vector<Differentiable> tensors{{"qkv" + c.text(), x.qkv, x.d_qkv, true}};
    if (c.positions) tensors.push_back({"positions" + c.text(), x.positions, x.d_positions, true});
    check_gradients(loss, tensors, {.samples = 12, .tolerance = 2e-7});
  }
}

TEST_CASE("window attention backward equals the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const Case& c : cases()) {
    if (ctx.dtype == DType::bf16 && c.layout.time > 33) continue;
    Tensors x(ctx, c), x64(exact, x);
    x.forward(ctx, c);
    x.backward(ctx, c);
    x64.forward(exact, c);
    x64.backward(exact, c);
    const Tolerance wide = ctx.dtype == DType::bf16 ? Tolerance{2e-2, 4e-2} : Tolerance{2e-5, 1e-5};
    check_close("out" + c.text(), x.out, x64.out, tolerance(ctx));
    check_close("d_qkv" + c.text(), x.d_qkv, x64.d_qkv, wide);
    if (c.positions)
      check_close("d_positions" + c.text(), x.d_positions, x64.d_positions,
                  ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-1} : Tolerance{2e-5, 1e-4});
  }
}

TEST_CASE("window attention of a sequence in segments equals that of the whole") {
  TestContext ctx;
  for (const bool positions : {false, true}) {
    for (const int64_t size : {4, 9, 40}) {
      const AttentionLayout whole{30, 2, 1, 6}, segment{10, 2, 1, 6};
      const Case c{whole, {size, 0, !positions}, positions};
      Tensors x(ctx, c, 1);
      x.forward(ctx, c);
      for (int64_t first = 0; first < 30; first += 10) {
        const AttentionWindow window{size, std::min(size, first), !positions};
        const Tensor memory = ctx.output({1, size, whole.memory_width()});
        for (int64_t j = 0; j < window.filled; ++j) {  // the rest stays NaN
          for (int64_t n = 0; n < whole.memory_width(); ++n) {
            set(memory, (size - 1 - j) * whole.memory_width() + n,
                get(x.qkv, (first - 1 - j) * whole.width() + whole.key_column() + n));
          }
        }
        const Tensor out = ctx.output({10, 12}), logsumexp = ctx.wide_output({10, 2});
        window_attention_forward(ctx, out, logsumexp, x.qkv.slice(first, 10), memory, x.positions, segment, window);
        check_close(fmt::format("from {} on, window {}", first, size), out, x.out.slice(first, 10), {1e-5, 1e-6});
      }
    }
  }
}

TEST_CASE("window attention with a window as wide as the sequence equals causal attention") {
  TestContext ctx;
  const AttentionLayout layout{33, 4, 2, 9};
  Tensors x(ctx, {layout, {33, 0, true}, false});
  x.forward(ctx, {layout, {33, 0, true}, false});
  const Tensor narrow = ctx.output(x.out.shape);
  window_attention_forward(ctx, narrow, x.logsumexp, x.qkv, {}, {}, layout, {5, 0, true});
  check_same_bits("the first tokens", narrow.slice(0, 6), x.out.slice(0, 6));
  CHECK(get(narrow, 6 * 36) != get(x.out, 6 * 36));
}

TEST_CASE("window attention gives identical bits for any number of threads and in repeated runs") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  const Case c{{70, 4, 2, 9}, {50, 30, false}, true};
  const auto all = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    Tensors x(ctx, c, 3);
    x.forward(ctx, c);
    x.backward(ctx, c);
    return x;
  };
  const Tensors one = all(1), two = all(2);
  check_same_bits("out", two.out, one.out);
  check_same_bits("d_qkv", two.d_qkv, one.d_qkv);
  check_same_bits("d_positions", two.d_positions, one.d_positions);
}

TEST_CASE("window attention accepts no tokens, and refuses invalid arguments") {
  TestContext ctx;
  const Case c{{4, 2, 1, 3}, {6, 2, true}, true};
  Tensors none(ctx, c, 0), x(ctx, c);
  none.forward(ctx, c);
  none.backward(ctx, c);
  CHECK(none.out.size() == 0);
  const auto with = [&](AttentionLayout layout, AttentionWindow window, ConstTensor memory) {
    window_attention_forward(ctx, ctx.output(x.d_out.shape), ctx.wide_output({8, 2}), x.qkv, memory, x.positions,
                             layout, window);
  };
  CHECK_NOTHROW(with(c.layout, c.window, x.memory));
  CHECK_THROWS_AS(with(c.layout, {6, 7, true}, x.memory), InternalError);
  CHECK_THROWS_AS(with(c.layout, {5, 2, true}, x.memory), InternalError);
  CHECK_THROWS_AS(with(c.layout, c.window, {}), InternalError);
  CHECK_THROWS_AS(with({4, 2, 1, 3, false}, c.window, x.memory), InternalError);
  CHECK_THROWS_AS(with({3, 2, 1, 3}, c.window, x.memory), InternalError);
}

}  // namespace moe::test
