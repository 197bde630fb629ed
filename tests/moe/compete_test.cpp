// Properties specific to `compete`; gradients and ranks are tested with the other strategies.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

namespace {

// The outputs of all experts for x, computed one by one; a layer with k = 1 and one expert each would give the same.
std::vector<std::vector<double>> responses(LayerFixture& f, ConstTensor x) {
  std::vector<std::vector<double>> result;
  std::map<std::string, ConstTensor> by_name;
  f.store.for_each_named(ParameterGroup::expert, f.store.buffer(ParameterGroup::expert).value,
                         [&](const NamedTensor& named) { by_name[named.name] = named.tensor; });
  for (int64_t e = 0; e < f.layer->num_experts(); ++e) {
    const ConstTensor in = by_name.at(fmt::format("layer.experts.{}.input.weight", e)),
                      out = by_name.at(fmt::format("layer.experts.{}.output.weight", e));
    const int64_t d = kModelWidth, d_ff = out.dim(1);
    std::vector<double> all;
    for (int64_t t = 0; t < x.dim(0); ++t) {
      std::vector<double> inner;
      const auto z = [&](int64_t row) {
        double sum = 0;
        for (int64_t i = 0; i < d; ++i) sum += get(in, row * d + i) * get(x, t * d + i);
        return sum;
      };
      for (int64_t j = 0; j < d_ff; ++j) inner.push_back(z(j) / (1 + std::exp(-z(j))) * z(j + d_ff));
      for (int64_t i = 0; i < d; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < d_ff; ++j) sum += get(out, i * d_ff + j) * inner[as_index(j)];
        all.push_back(sum);
      }
    }
    result.push_back(all);
  }
  return result;
}

std::optional<double> measure(const LayerFixture& f, const std::string& name) {
  for (size_t i = 0; i < f.layer->measures().size(); ++i) {
    if (f.layer->measures().name(i) == name) return f.layer->measures().value(i);
  }
  FAIL("no measure " << name);
  return {};
}

}  // namespace

TEST_CASE("a competing update combines the experts with the largest responses") {
  for (const int version : {1, 2}) {
    INFO("version " << version);
    LayerFixture f(moe_config(
        fmt::format("{{experts: 5, balance: [], strategy: {{kind: compete, version: {}, probability: 1}}}}", version)));
    const TokenBatch batch = make_batch(f.ctx, 2, 4);
    const Tensor x = f.ctx.normal({8, kModelWidth}, 1), y = f.forward(batch, x);
    const auto outputs = responses(f, x);
    std::vector<double> expected;
    for (int64_t t = 0; t < 8; ++t) {
      std::vector<std::pair<double, size_t>> scores;
      for (size_t e = 0; e < 5; ++e) {
        double norm = 0, mean = 0;
        for (int64_t i = 0; i < kModelWidth; ++i) {
          const double value = outputs[e][as_index(t * kModelWidth + i)];
          norm += value * value;
          mean += std::log1p(std::exp(value)) / kModelWidth;
        }
        scores.emplace_back(version == 1 ? std::sqrt(norm) : mean, e);
      }
      std::sort(scores.rbegin(), scores.rend());
      const double first = scores[0].first, second = scores[1].first;
      const double weight = version == 1 ? 1 / (1 + std::exp(second - first)) : first / (first + second);
      for (int64_t i = 0; i < kModelWidth; ++i) {
        const auto at = static_cast<size_t>(t * kModelWidth + i);
        expected.push_back(weight * outputs[scores[0].second][at] + (1 - weight) * outputs[scores[1].second][at]);
      }
    }
    check_close("y", y, expected);
    CHECK(measure(f, "competing") == 1.0);
  }
}

TEST_CASE("outside of competing updates, and at evaluation, compete equals plain") {
  LayerFixture plain(moe_config("{experts: 5}")),
      never(moe_config("{experts: 5, strategy: {kind: compete, probability: 0}}")),
      always(moe_config("{experts: 5, strategy: {kind: compete, probability: 1}}"));
  const TokenBatch batch = make_batch(plain.ctx, 2, 4);
  const Tensor x = plain.ctx.normal({8, kModelWidth}, 1), y = plain.forward(batch, x);
  check_same_bits("never competing", never.forward(batch, x), y);
  CHECK(measure(never, "competing") == 0.0);
  CHECK_FALSE(measure(never, "router_loss"));
  always.ctx.training = false;
  check_same_bits("evaluation", always.forward(batch, x), y);
  CHECK_FALSE(measure(always, "topk_overlap"));
  always.ctx.diagnose = true;
  check_same_bits("diagnosis", always.forward(batch, x), y);
  CHECK(*measure(always, "topk_overlap") > 0);
  CHECK(*measure(always, "topk_overlap") < 1);
}

TEST_CASE("the version sets the defaults, and other keys override them") {
  const auto coefficient = [](const std::string& yaml) {
    LayerFixture f(moe_config("{experts: 5, balance: [], strategy: " + yaml + "}"));
    const TokenBatch batch = make_batch(f.ctx, 2, 4);
    f.forward(batch, f.ctx.normal({8, kModelWidth}, 1));
    return (f.layer->auxiliary_loss() - 0) / *measure(f, "router_loss");
  };
  CHECK(coefficient("{kind: compete, version: 1, probability: 1}") == Approx(0.05));
  CHECK(coefficient("{kind: compete, version: 2, probability: 1, diversity: 0}") == Approx(0.001));
  CHECK(coefficient("{kind: compete, router_loss: 7, version: 2, probability: 1, diversity: 0}") == Approx(7));
}

TEST_CASE("a detached target gives the same router gradient, and no expert gradient from the router loss") {
  const auto gradients = [](const std::string& options) {
    LayerFixture f(moe_config("{experts: 5, balance: [], strategy: {kind: compete, probability: 1, " + options + "}}"));
    const TokenBatch batch = make_batch(f.ctx, 2, 4);
    const Tensor x = f.ctx.normal({8, kModelWidth}, 1);
    f.forward(batch, x);
    f.layer->backward(f.ctx, batch, f.ctx.output(x.shape), f.ctx.normal(x.shape, 2));
    return std::pair{values(f.store.buffer(ParameterGroup::shared).gradient),
                     values(f.store.buffer(ParameterGroup::expert).gradient)};
  };
  for (const char* target : {"chosen", "all"}) {
    const auto detached = gradients(fmt::format("router_loss: 3, target: {}", target)),
               attached = gradients(fmt::format("router_loss: 3, detach: false, target: {}", target)),
               without = gradients(fmt::format("router_loss: 0, target: {}", target));
    CHECK(detached.first == attached.first);
    CHECK(detached.first != without.first);
    CHECK(detached.second == without.second);
    CHECK(detached.second != attached.second);
  }
}

TEST_CASE("the router learns to predict the competition") {
  LayerFixture f(
      moe_config("{experts: 6, balance: [], strategy: {kind: compete, probability: 1, target: all, router_loss: 1}}"));
  const TokenBatch batch = make_batch(f.ctx, 16, 4);
  const Tensor x = f.ctx.normal({64, kModelWidth}, 1), no_gradient = f.ctx.zeros(x.shape), d_x = f.ctx.output(x.shape);
  f.forward(batch, x);
  const double loss = *measure(f, "router_loss"), topk_overlap = *measure(f, "topk_overlap");
  for (int step = 0; step < 300; ++step) {
    for (const Parameter& p : f.store.parameters()) {
      for (int64_t i = 0; i < p.gradient.size(); ++i) set(p.gradient, i, 0);
    }
    f.forward(batch, x);
    f.layer->backward(f.ctx, batch, d_x, no_gradient);
    for (const Parameter& p : f.store.parameters()) {
      for (int64_t i = 0; i < p.value.size(); ++i) set(p.value, i, get(p.value, i) - 20 * get(p.gradient, i));
    }
  }
  f.forward(batch, x);
  CHECK(*measure(f, "router_loss") < 0.7 * loss);
  CHECK(*measure(f, "topk_overlap") > topk_overlap + 0.05);
}

}  // namespace moe::test
