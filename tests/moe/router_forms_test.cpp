// Routers that have a form of their source and one of ours.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/integer.h"
#include "core/moe/router.h"
#include "tests/moe/router_decision.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

TEST_CASE("stable learns by the learned router, then routes by token id alone") {
  const std::string form = GENERATE("source", "ours");
  Decision d(router_config(fmt::format("{{kind: stable, form: {}}}", form)));
  const uint64_t stage1 = 10;  // 10% of the fixture's 100 updates
  d.f.ctx.step = stage1 - 1;
  const Routing& r = d.run();
  for (int64_t t = 0; t < 33; ++t) {
    const int32_t e = r.indices.as<int32_t>()[t];
    for (int64_t other = 0; other < 5; ++other) CHECK(get(r.logits, t * 5 + e) >= get(r.logits, t * 5 + other));
    CHECK(get(r.weights, t) == Approx(1 / (1 + std::exp(-get(r.logits, t * 5 + e)))));
    if (form == "ours") CHECK(get(r.skip, t) == Approx(1 - get(r.weights, t)));
  }
  CHECK(static_cast<bool>(r.skip) == (form == "ours"));
  // The source evaluates by the distilled router already in stage 1.
  const auto learned = values(r.indices);
  d.f.ctx.training = false;
  std::map<int32_t, int32_t> by_id;
  bool depends_on_id_alone = true;
  const auto evaluated = values(d.run().indices);
  for (int64_t t = 0; t < 33; ++t) {
    const auto e = static_cast<int32_t>(evaluated[as_index(t)]);
    depends_on_id_alone &= by_id.emplace(d.batch.ids.as<int32_t>()[t], e).first->second == e;
  }
  CHECK(depends_on_id_alone == (form == "source"));
  CHECK((evaluated == learned) == (form == "ours"));
  d.f.ctx.training = true;
  const Tensor trained = d.parameter("distilled.embedding"), frozen = d.parameter("frozen.embedding");
  CHECK(values(trained) != values(frozen));
  std::vector<double> sums(LoadStats::num_sums(5));
  d.f.ctx.step = stage1 - 2;
  d.f.layer->router().after_step(d.f.ctx, LoadStats::view(sums, 5));
  CHECK(values(trained) != values(frozen));
  d.f.ctx.step = stage1 - 1;
  d.f.layer->router().after_step(d.f.ctx, LoadStats::view(sums, 5));
  check_same_bits("frozen copy", frozen, trained);

  d.f.ctx.step = stage1;
  d.run();
  std::map<int32_t, int32_t> expert_of;
  for (int64_t t = 0; t < 33; ++t) {
    const int32_t id = d.batch.ids.as<int32_t>()[t], e = d.routing.indices.as<int32_t>()[t];
    CHECK(expert_of.emplace(id, e).first->second == e);
  }
  const auto chosen = values(d.routing.indices);
  // The frozen router does not change with the learned one.
  for (int64_t i = 0; i < trained.size(); ++i) set(trained, i, -get(trained, i));
  CHECK(values(d.run().indices) == chosen);
  CHECK_THROWS_WITH(LayerFixture(router_config("{kind: stable, stage1: 0}")), Catch::Contains("stage1"));
}

TEST_CASE("the second stage of stable has the right gradients") {
  LayerFixture f(router_config(fmt::format("{{kind: stable, form: {}}}", GENERATE("source", "ours"))));
  f.ctx.step = 50;
  const TokenBatch batch = make_batch(f.ctx, 3, 4);
  const Tensor d_y = f.ctx.normal({12, kModelWidth}, 2), d_x = f.ctx.output(d_y.shape);
  const Tensor x = f.smooth_inputs(batch, d_y);
  f.forward(batch, x);
  f.layer->backward(f.ctx, batch, d_x, d_y);
  auto tensors = parameters_of(f.store);
  for (Differentiable& p : tensors) p.may_vanish = p.name.find("distilled") != std::string::npos;
  tensors.push_back({"x", x, d_x});
  check_gradients([&] { return dot(f.forward(batch, x), d_y) + f.layer->auxiliary_loss(); }, tensors, {.samples = 20});
  for (const Differentiable& p : tensors) {
    if (p.may_vanish) CHECK(dot(p.gradient, p.gradient) == 0);
  }
}

TEST_CASE("relu regulates its L1 loss towards the target number of experts") {
  Decision d(router_config("{kind: relu, k: 2, l1: 0.5, factor: 2}"));
  const Routing& r = d.run();
  for (int64_t i = 0; i < r.logits.size(); ++i) CHECK(get(r.weights, i) == std::max(0.0, get(r.logits, i)));
  std::vector<double> sums(LoadStats::num_sums(5));
  const LoadStats load = LoadStats::view(sums, 5);
  const auto after = [&](double assignments, double tokens) {
    sums[0] = assignments;
    sums[sums.size() - 1] = tokens;
    d.f.layer->router().after_step(d.f.ctx, load);
    return get(d.parameter("l1"), 0);
  };
  CHECK(after(30, 10) == 1);
  CHECK(after(20, 10) == 1);
  CHECK(after(10, 10) == 0.5);
  CHECK(after(0, 0) == 0.5);
  for (int i = 0; i < 50; ++i) after(50, 10);
  CHECK(get(d.parameter("l1"), 0) == 1e3);  // its upper bound
}

TEST_CASE("the source's L1 loss of relu weights an expert by its load, and goes by the mean over layers") {
  Decision d(router_config("{kind: relu, k: 2, l1: 0.5, factor: 2}"));
  d.f.layer->bind_sums(d.f.sums);
  std::fill(d.f.sums.begin(), d.f.sums.end(), 0.0);
  const TokenBatch batch = make_batch(d.f.ctx, 3, 11);
  d.f.forward(batch, d.x);
  const Routing& r = d.run();
  double want = 0;
  for (int64_t e = 0; e < 5; ++e) {
    double count = 0, weight = 0;
    for (int64_t t = 0; t < 33; ++t) {
      if (get(batch.targets, t) == kIgnoreTarget) continue;
      count += get(r.weights, t * 5 + e) > 0;
      weight += get(r.weights, t * 5 + e);
    }
    want += count * weight;
  }
  const double tokens = d.f.layer->load().tokens();
  want *= 0.5 * 5 / (2 * tokens * tokens);
  CHECK(d.f.layer->auxiliary_loss() == Approx(want));
  CHECK(d.f.layer->traits().needs_whole_step);
  CHECK(d.f.layer->needs_sums_before_backward());

  std::vector<double> sums(LoadStats::num_sums(5));
  LoadStats load = LoadStats::view(sums, 5);
  sums[0] = 30, sums[sums.size() - 1] = 10;  // three experts per token here
  load.shared_experts_per_token = 1.5;       // but fewer than wanted over all layers
  d.f.layer->router().after_step(d.f.ctx, load);
  CHECK(get(d.parameter("l1"), 0) == 0.25);
}

TEST_CASE("hyper makes the whole matrix and its bias from one embedding") {
  Decision d(router_config("{kind: hyper, hidden: 6, embedding: 3}"));
  const Routing& r = d.run();
  const Tensor e = d.parameter("embedding"), a = d.parameter("hyper.input.weight"), b = d.parameter("hyper.input.bias");
  std::vector<double> h(6);
  for (int64_t i = 0; i < 6; ++i) {
    h[as_index(i)] = get(b, i);
    for (int64_t j = 0; j < 3; ++j) h[as_index(i)] += get(a, i * 3 + j) * get(e, j);
    h[as_index(i)] = std::max(0.0, h[as_index(i)]);
  }
  const auto output = [&](const char* weight, const char* bias, int64_t row) {
    double sum = get(d.parameter(bias), row);
    for (int64_t i = 0; i < 6; ++i) sum += get(d.parameter(weight), row * 6 + i) * h[as_index(i)];
    return sum;
  };
  for (int64_t t : {0, 7, 32}) {
    for (int64_t n = 0; n < 5; ++n) {
      double z = output("hyper.biases.weight", "hyper.biases.bias", n);
      for (int64_t i = 0; i < kModelWidth; ++i)
        z += output("hyper.rows.weight", "hyper.rows.bias", n * kModelWidth + i) * get(d.x, t * kModelWidth + i);
      CHECK(get(r.logits, t * 5 + n) == Approx(z));
    }
  }
}

TEST_CASE("hyper trains its embedding and never the hypernetwork") {
  Decision d(router_config(fmt::format("{{kind: hyper, form: {}}}", GENERATE("source", "ours"))));
  std::set<std::string> trained;
  for (const Differentiable& p : parameters_of(d.f.store)) trained.insert(p.name);
  CHECK(trained.count("layer.router.embedding") == 1);
  for (const std::string& name : trained) CHECK(name.find(".hyper.") == std::string::npos);
}

}  // namespace moe::test
