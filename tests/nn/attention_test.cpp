#include "core/nn/attention.h"

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/integer.h"
#include "core/config/config_reader.h"
#include "core/nn/rope_scaling.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/modules.h"

namespace moe::test {

static ModelConfig small_model(const std::string& position, const std::string& qk_norm, int64_t heads, int64_t kv_heads,
                               int64_t d_head) {
  ModelConfig config;
  config.d_model = 6;
  config.attention.position = position;
  config.attention.qk_norm = qk_norm;
  config.attention.heads = heads;
  config.attention.kv_heads = kv_heads;
  config.attention.d_head = d_head;
  config.attention.rope_theta = 20;
  config.norm_eps = 1e-2;
  return config;
}

TEST_CASE("Attention: gradients of input and parameters") {
  for (const char* position : {"rope", "none"}) {
    for (const char* qk_norm : {"none", "head", "full"}) {
      for (const auto& [heads, kv_heads, d_head] : {std::tuple{2, 0, 4}, std::tuple{4, 2, 3}, std::tuple{3, 1, 1}}) {
        INFO(position << ", q/k norm " << qk_norm << ", heads " << heads << "/" << kv_heads << " of " << d_head);
        TestContext ctx(DType::f64);
        ParameterStore store;
        Attention attention(store, "attention", small_model(position, qk_norm, heads, kv_heads, d_head), RunLength{});
        store.allocate(ctx, DType::f64);
        randomise(store, 0.5);
        const TokenBatch batch = make_batch(ctx, 2, 5);
        const Tensor x = ctx.normal({10, 6}, 1), d_y = ctx.normal({10, 6}, 2), d_x = ctx.output({10, 6});
        const auto loss = [&] {
          ctx.reset();
          return dot(attention.forward(ctx, batch, x), d_y);
        };
        loss();
        attention.backward(ctx, d_x, d_y);
        auto tensors = parameters_of(store);
        tensors.push_back({"x", x, d_x});
        check_gradients(loss, tensors, {.samples = 12, .step = 2e-5});
      }
    }
  }
}

static ModelConfig read_model(const std::string& yaml) {
  ModelConfig config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

// Attention by its definition, in f64, for one sequence.
static std::vector<double> defined(const ParameterStore& store, const ModelConfig& config,
                                   const std::vector<double>& frequencies, const Tensor& x) {
  const auto find = [&](const std::string& name) -> const Parameter* {
    for (const Parameter& p : store.parameters()) {
      if (p.name == "attention." + name) return &p;
    }
    return nullptr;
  };
  const auto linear = [&](const std::vector<double>& in, const std::string& name) {
    const Tensor weight = find(name + ".weight")->value;
    const Parameter* bias = find(name + ".bias");
    std::vector<double> out;
    for (int64_t o = 0; o < weight.dim(0); ++o) {
      double sum = bias ? get(bias->value, o) : 0;
      for (int64_t i = 0; i < weight.dim(1); ++i) sum += in[as_index(i)] * get(weight, o * weight.dim(1) + i);
      out.push_back(sum);
    }
    return out;
  };
  const int64_t heads = config.attention.heads, kv_heads = config.kv_heads(), d = config.d_head(), time = x.dim(0),
                width = config.d_model;
  // Normalises n elements of `row` by their root mean square.
  const auto normalise = [&](double* row, int64_t n, const Tensor& weight) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += row[i] * row[i];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + config.norm_eps);
    for (int64_t i = 0; i < n; ++i) row[i] *= factor * get(weight, i);
  };
  std::vector<std::vector<double>> qkv;
  for (int64_t t = 0; t < time; ++t) {
    std::vector<double> in;
    for (int64_t i = 0; i < width; ++i) in.push_back(get(x, t * width + i));
    qkv.push_back(linear(in, "qkv"));
    double* row = qkv.back().data();
    const std::string& norm = config.attention.qk_norm;
    const auto half = static_cast<int64_t>(frequencies.size());
    for (int64_t head = 0; head < heads + kv_heads; ++head) {
      const char* which = head < heads ? "q_norm.weight" : "k_norm.weight";
      if (norm == "head") normalise(row + head * d, d, find(which)->value);
      if (norm == "full" && head == 0) normalise(row, heads * d, find(which)->value);
      if (norm == "full" && head == heads) normalise(row + head * d, kv_heads * d, find(which)->value);
    }
    for (int64_t head = 0; head < heads + kv_heads; ++head) {
      for (int64_t j = 0; j < half; ++j) {
        double &a = row[head * d + j], &b = row[head * d + j + half];
        const double angle = static_cast<double>(t) * frequencies[as_index(j)], first = a, second = b;
        a = first * std::cos(angle) - second * std::sin(angle);
        b = first * std::sin(angle) + second * std::cos(angle);
      }
    }
  }
  std::vector<double> result;
  for (int64_t t = 0; t < time; ++t) {
    std::vector<double> out(as_index(heads * d));
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t kv = head / (heads / kv_heads);
      std::vector<double> weights;
      double total = 0;
      for (int64_t s = 0; s <= t; ++s) {
        double score = 0;
        for (int64_t i = 0; i < d; ++i)
          score += qkv[as_index(t)][as_index(head * d + i)] * qkv[as_index(s)][as_index((heads + kv) * d + i)];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
        total += weights.back();
      }
      for (int64_t s = 0; s <= t; ++s) {
        for (int64_t i = 0; i < d; ++i)
          out[as_index(head * d + i)] +=
              weights[as_index(s)] / total * qkv[as_index(s)][as_index((heads + kv_heads + kv) * d + i)];
      }
    }
    const std::vector<double> y = linear(out, "output");
    result.insert(result.end(), y.begin(), y.end());
  }
  return result;
}

TEST_CASE("Attention with biases, norms and scaled frequencies equals its definition; gradients") {
  struct Case {
    const char* yaml;
    std::vector<double> frequencies;
  };
  // Heads are 4 wide, so there are two pairs; theta 20 gives 1 and 20^-0.5. In 8 tokens these have 1.27 and 0.28
  // periods.
  const double low = 1 / std::sqrt(20.0), share = (8 / (2 * std::acos(-1.0)) - 1) / (4 - 1);
  const Case cases[] = {
      {"{bias: {attention: qkv}}", {1, low}},
      {"{bias: {attention: all}, attention: {qk_norm: head}}", {1, low}},
      {"{bias: {attention: all}, attention: {qk_norm: full}}", {1, low}},
      {"{attention: {rope_scaling: {kind: linear, factor: 2}}}", {0.5, low / 2}},
      {"{attention: {qk_norm: full, rope_scaling: {kind: llama3, factor: 4, original_max_position: 8}}}",
       {(1 - share) / 4 + share, low / 4}},
      {"{bias: true}", {1, low}},
  };
  for (const auto& [yaml, frequencies] : cases) {
    INFO(yaml);
    ConfigNode root = parse_config(
        "{d_model: 6, norm_eps: 1e-2, attention: {heads: 4, kv_heads: 2, d_head: 4, rope_theta: 20}}", "base");
    merge_config(root, parse_config(yaml, "case"));
    ModelConfig config;
    read_config(root, config);
    TestContext ctx(DType::f64);
    ParameterStore store;
    Attention attention(store, "attention", config, RunLength{});
    store.allocate(ctx, DType::f64);
    randomise(store, 0.5);
    const TokenBatch batch = make_batch(ctx, 1, 9);
    const Tensor x = ctx.normal({9, 6}, 1), d_y = ctx.normal({9, 6}, 2), d_x = ctx.output({9, 6});
    const auto loss = [&] {
      ctx.reset();
      return dot(attention.forward(ctx, batch, x), d_y);
    };
    ctx.reset();
    check_close("y", attention.forward(ctx, batch, x), defined(store, config, frequencies, x));
    loss();
    attention.backward(ctx, d_x, d_y);
    auto tensors = parameters_of(store);
    tensors.push_back({"x", x, d_x});
    check_gradients(loss, tensors, {.samples = 12, .step = 2e-5});
  }
}

TEST_CASE("a rope scaling that is unknown, or contradicts itself, is refused by name") {
  CHECK_THROWS_WITH(read_model("{attention: {rope_scaling: yarn}}"), Catch::Contains("attention.rope_scaling") &&
                                                                         Catch::Contains("yarn") &&
                                                                         Catch::Contains("none, linear, llama3"));
  CHECK_THROWS_WITH(read_model("{attention: {rope_scaling: {kind: longrope, factor: 4}}}"),
                    Catch::Contains("longrope"));
  CHECK_THROWS_WITH(read_model("{attention: {rope_scaling: {kind: linear, low_freq_factor: 4}}}"),
                    Catch::Contains("unknown key 'attention.rope_scaling.low_freq_factor'"));
  CHECK_THROWS_AS(read_model("{attention: {rope_scaling: {kind: linear, factor: 0.5}}}"), UsageError);
  CHECK_THROWS_WITH(
      rope_frequencies(read_model("{attention: {rope_scaling: {kind: llama3, low_freq_factor: 4}}}")),
      Catch::Contains("attention.rope_scaling.high_freq_factor: 4 must be above low_freq_factor, which is 4"));
  const RopeFrequencies found =
      rope_frequencies(read_model("{attention: {rope_theta: 500000, rope_scaling: {kind: llama3, factor: 32, "
                                  "low_freq_factor: 2, high_freq_factor: 5, original_max_position: 4096}}}"));
  CHECK(found.dims == 32);
  CHECK(found.theta == 500'000);
  CHECK(found.scaling == RopeFrequencies::Scaling::llama3);
  CHECK(found.factor == 32);
  CHECK(found.low_freq_factor == 2);
  CHECK(found.high_freq_factor == 5);
  CHECK(found.original_max_position == 4096);
}

TEST_CASE("Attention distinguishes positions only with rope") {
  for (const char* position : {"rope", "none"}) {
    TestContext ctx(DType::f64);
    ParameterStore store;
    Attention attention(store, "attention", small_model(position, "none", 2, 0, 3), RunLength{});
    store.allocate(ctx, DType::f64);
    randomise(store, 0.5);
    // The last token attends to the same earlier tokens, in another order.
    const Tensor x = ctx.normal({3, 6}, 1), swapped = ctx.copy_of(x);
    for (int64_t i = 0; i < 6; ++i) set(swapped, i, get(x, 6 + i)), set(swapped, 6 + i, get(x, i));
    const TokenBatch batch = make_batch(ctx, 1, 3);
    const double y = get(attention.forward(ctx, batch, x), 12), other = get(attention.forward(ctx, batch, swapped), 12);
    CHECK((y == Approx(other)) == (std::string(position) == "none"));
  }
}

TEST_CASE("Attention accepts a batch without sequences") {
  const std::string qk_norm = GENERATE("head", "full");
  TestContext ctx;
  ParameterStore store;
  Attention attention(store, "attention", small_model("rope", qk_norm, 2, 1, 3), RunLength{});
  store.allocate(ctx, DType::f32);
  store.initialise(ctx, 1);
  const TokenBatch batch = make_batch(ctx, 0, 4);
  CHECK(attention.forward(ctx, batch, ctx.zeros({0, 6})).size() == 0);
  attention.backward(ctx, ctx.output({0, 6}), ctx.zeros({0, 6}));
  for (const Parameter& p : store.parameters()) {
    CHECK(values(p.gradient) == std::vector<double>(static_cast<size_t>(p.shape.size())));
  }
}

}  // namespace moe::test
