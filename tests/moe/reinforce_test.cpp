// The router `reinforce`: how it draws, and that it learns from the losses of its tokens.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/integer.h"
#include "core/ops/elementwise.h"
#include "core/ops/initialise.h"
#include "tests/moe/router_decision.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

TEST_CASE("reinforce draws pairs of experts with the probabilities of two draws without replacement") {
  Decision d(router_config("{kind: reinforce, k: 2}", 3), 100, 200);
  for (int64_t i = 0; i < d.x.size(); ++i) set(d.x, i, get(d.x, i % kModelWidth));  // all tokens are equal
  const Routing& r = d.run();
  std::map<std::pair<int, int>, double> found;
  const int32_t* index = r.indices.as<int32_t>();
  for (int64_t t = 0; t < 20'000; ++t) found[{index[2 * t], index[2 * t + 1]}] += 1.0 / 20'000;
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      if (a == b) continue;
      const double first = get(r.probabilities, a), second = get(r.probabilities, b) / (1 - first);
      INFO(a << ", then " << b);
      CHECK(found[std::pair(a, b)] == Approx(first * second).margin(0.015));
    }
  }
  const auto drawn = values(r.indices);
  CHECK(values(d.run().indices) == drawn);
  d.f.ctx.step = 1;
  CHECK(values(d.run().indices) != drawn);
  d.f.ctx.training = false;
  d.run();
  for (int64_t t = 0; t < 20; ++t) {
    const int32_t* chosen = d.routing.indices.as<int32_t>() + 2 * t;
    CHECK(get(d.routing.logits, 3 * t + chosen[0]) >= get(d.routing.logits, 3 * t + chosen[1]));
    CHECK(get(d.routing.logits, 3 * t + chosen[1]) >= get(d.routing.logits, 3 * t + 3 - chosen[0] - chosen[1]));
  }
}

// The objective after a forward and a backward pass, from which the sums of the policy loss come.
static double objective(LayerFixture& f, const TokenBatch& batch, Tensor x, ConstTensor d_y) {
  const Tensor y = f.forward(batch, x);
  const double output = dot(y, d_y);
  f.layer->backward(f.ctx, batch, f.ctx.output(x.shape), d_y);
  return output + f.layer->auxiliary_loss();
}

static void clear_gradients(LayerFixture& f) {
  for (const ParameterGroup group : kTrainedGroups) fill_zero(f.ctx, f.store.buffer(group).gradient);
}

// A step's batch with padding, in which a prediction belongs to `tokens` tokens and one of them has no target.
static TokenBatch judged_batch(LayerFixture& f, int64_t tokens, bool weighted) {
  TokenBatch batch = make_batch(f.ctx, 3, 4);
  const Tensor targets = f.ctx.constant({12}, 1, DType::i32), predicted = f.ctx.constant({12 / tokens}, 1, DType::i32);
  targets.as<int32_t>()[1] = kIgnoreTarget;
  predicted.as<int32_t>()[1] = kIgnoreTarget;
  set_targets(batch, targets);
  batch.losses = {.losses = f.ctx.normal({12 / tokens}, 4), .targets = predicted, .tokens = tokens};
  if (weighted) batch.losses.weights = f.ctx.of({3}, {0.5, 2, 1}), batch.losses.tokens_of_weight = 4;
  return batch;
}

TEST_CASE("the gradients of the policy loss, with the advantage held constant, and of the baseline's error") {
  for (const char* options : {"k: 2", "k: 1", "k: 5, softmax: all, renormalise: false", "k: 3, temperature: 0.7",
                              "k: 2, learn_temperature: true"}) {
    for (const int64_t tokens : {1, 4}) {
      INFO(options << ", a loss for " << tokens);
      LayerFixture f(
          router_config(fmt::format("{{kind: reinforce, {}, coefficient: 3, entropy: 0.5, baseline: 0}}", options)));
      const TokenBatch batch = judged_batch(f, tokens, tokens == 4);
      const Tensor d_y = f.ctx.normal({12, kModelWidth}, 2), d_x = f.ctx.output(d_y.shape);
      const Tensor x = f.smooth_inputs(batch, d_y);
      // The learned part of the baseline is 0, so that the advantage does not depend on x.
      clear_gradients(f);
      f.forward(batch, x);
      f.layer->backward(f.ctx, batch, d_x, d_y);
      auto tensors = parameters_of(f.store);
      for (Differentiable& p : tensors) p.may_vanish = p.name.find("baseline") != std::string::npos;
      tensors.push_back({"x", x, f.ctx.copy_of(d_x)});
      for (Differentiable& p : tensors) p.gradient = f.ctx.copy_of(p.gradient);
      std::erase_if(tensors, [](const Differentiable& p) { return p.name.find("baseline") != std::string::npos; });
      check_gradients([&] { return objective(f, batch, x, d_y); }, tensors, {.samples = 12, .step = 5e-5});
    }
  }
  LayerFixture f(router_config("{kind: reinforce, coefficient: 0, baseline: 0.7}"));
  const TokenBatch batch = judged_batch(f, 1, false);
  const Tensor x = f.ctx.normal({12, kModelWidth}, 1), d_y = f.ctx.zeros(x.shape);
  Decision names(router_config("reinforce"));
  for (const Parameter& p : f.store.parameters()) {
    if (p.name != "layer.router.baseline.weight") continue;
    for (int64_t i = 0; i < kModelWidth; ++i) set(p.value, i, 0.3);
    f.forward(batch, x);
    f.layer->backward(f.ctx, batch, f.ctx.output(x.shape), d_y);
    check_gradients([&] { return objective(f, batch, x, d_y); }, {{p.name, p.value, f.ctx.copy_of(p.gradient)}});
  }
}

TEST_CASE("without gate_gradient the router's matrix only learns from the router's own loss") {
  for (const bool flows : {false, true}) {
    LayerFixture f(
        router_config(fmt::format("{{kind: reinforce, entropy: 0, coefficient: 0, gate_gradient: {}}}", flows)));
    const TokenBatch batch = make_batch(f.ctx, 3, 4);
    const Tensor x = f.ctx.normal({12, kModelWidth}, 1);
    f.forward(batch, x);
    f.layer->backward(f.ctx, batch, f.ctx.output(x.shape), f.ctx.normal(x.shape, 2));
    for (const Differentiable& p : parameters_of(f.store)) {
      if (p.name == "layer.router.weight") CHECK((dot(p.gradient, p.gradient) > 0) == flows);
    }
  }
}

// The share of 200 tokens that reach the expert that is right for them, after `updates` updates of the router alone. A
// token has a loss of 2, or of 1 if its right expert is among the chosen.
static double share_of_right(const std::string& options, int updates) {
  Decision d(router_config(fmt::format("{{kind: reinforce, k: 1, {}}}", options)), 10, 20);
  d.batch.targets = d.f.ctx.constant({200}, 1, DType::i32);
  const auto right = [&](int64_t t) {
    const double* x = d.x.as<double>() + t * kModelWidth;
    return static_cast<int32_t>(std::max_element(x, x + 5) - x);
  };
  const auto count = [&] {
    double found = 0;
    for (int64_t t = 0; t < 200; ++t) found += static_cast<double>(d.chosen(t).count(right(t))) / 200;
    return found;
  };
  const Tensor losses = d.f.ctx.output({200}), d_x = d.f.ctx.zeros(d.x.shape), d_logits = d.f.ctx.zeros({200, 5}),
               d_weights = d.f.ctx.zeros({200, 1});
  d.batch.losses = {.losses = losses, .targets = d.batch.targets};
  for (int update = 0; update < updates; ++update) {
    d.f.ctx.step = static_cast<uint64_t>(update);
    std::fill(d.f.sums.begin(), d.f.sums.end(), 0.0);
    std::fill(d.f.loss_sums.begin(), d.f.loss_sums.end(), 0.0);
    clear_gradients(d.f);
    d.run();
    for (int64_t t = 0; t < 200; ++t) set(losses, t, d.chosen(t).count(right(t)) > 0 ? 1 : 2);
    fill_zero(d.f.ctx, d_logits);
    d.f.layer->router().backward(d.f.ctx, d.batch, d_x, d_logits, {d_weights, {}}, d.routing);
    const ParameterBuffer& all = d.f.store.buffer(ParameterGroup::shared);
    add_scaled(d.f.ctx, all.value, all.gradient, -2);
    d.f.layer->router().after_step(d.f.ctx, d.f.layer->load());
  }
  d.f.ctx.training = false;
  d.run();
  return count();
}

TEST_CASE("reinforce learns which expert is right for a token, from the losses alone") {
  const double untrained = share_of_right("coefficient: 1", 0), trained = share_of_right("coefficient: 1", 300);
  CHECK(untrained < 0.5);
  CHECK(trained > 0.9);
  CHECK(share_of_right("coefficient: 0, entropy: 0", 300) == Approx(untrained));
}

}  // namespace moe::test
