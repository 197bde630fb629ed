// Properties specific to single routers, besides the tests of all routers in moe_layer_test.cpp.
#include "core/moe/router.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <set>
#include <tuple>

#include "core/base/integer.h"
#include "core/ops/matmul.h"
#include "tests/moe/router_decision.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

TEST_CASE("every router fills valid slots at k = 1 and k = N, with one expert and at total collapse") {
  for (const Member& router : family<Router>()) {
    for (const char* options : {"", ", k: 1", ", k: 5", ", k: 1, softmax: all, renormalise: false",
                                ", k: 1, renormalise: false", ", capacity: 5", ", capacity: 0.01"}) {
      std::optional<Decision> d;
      try {
        d.emplace(router_config(fmt::format("{{kind: {}{}}}", router.name, options)));
      } catch (const UsageError&) {
        continue;
      }
      INFO(router.name << options);
      for (const double size : {1.0, 1e4}) {
        for (int64_t i = 0; i < d->x.size(); ++i) set(d->x, i, size * (i % kModelWidth == 0 ? 1 : 0.1));
        const Routing& r = d->run();
        REQUIRE(r.indices.dim(1) == d->f.layer->router().traits().k);
        for (int64_t t = 0; t < d->batch.tokens(); ++t) {
          int64_t filled = 0;
          for (int64_t j = t * r.indices.dim(1); j < (t + 1) * r.indices.dim(1); ++j) {
            const int32_t expert = r.indices.as<int32_t>()[j];
            CHECK((expert >= -1 && expert < 5));
            CHECK(std::isfinite(get(r.weights, j)));
            if (expert < 0) CHECK(get(r.weights, j) == 0);
            filled += expert >= 0;
          }
          CHECK(static_cast<int64_t>(d->chosen(t).size()) == filled);  // no expert twice
        }
      }
    }
  }
}

TEST_CASE("a scheduled k and temperature follow their schedules, and the remaining slots stay empty") {
  Decision d(router_config("{k: {kind: linear, from: 4, to: 2}, temperature: {kind: linear, from: 2, to: 1}}"));
  CHECK(d.f.layer->router().traits().k == 4);
  CHECK(d.f.layer->router().traits().final_k == 2);
  CHECK(d.f.layer->router().traits().mean_k == Approx(3).margin(0.05));
  CHECK(d.f.layer->experts_per_token() == 2);
  CHECK(d.f.layer->training_passes() == Approx(1.5).margin(0.03));
  const std::vector<double> hot = values(d.run().logits);
  for (const auto& [step, k] : {std::pair{0, 4u}, {50, 3u}, {99, 2u}}) {
    d.f.ctx.step = static_cast<uint64_t>(step);
    d.run();
    for (int64_t t = 0; t < d.batch.tokens(); ++t) CHECK(d.chosen(t).size() == k);
  }
  CHECK(get(d.routing.logits, 0) == Approx(hot[0] * 2).epsilon(0.02));
  CHECK_THROWS_WITH(LayerFixture(router_config("{k: {kind: linear, from: 2, to: 1}}")), Catch::Contains("k = 1"));
  CHECK_THROWS_WITH(
      LayerFixture(router_config("{temperature: {kind: linear, from: 2, to: 1}, learn_temperature: true}")),
      Catch::Contains("schedule"));
}

TEST_CASE("dropped experts are not chosen, at least k remain, and evaluation drops none") {
  for (const char* per : {"token", "sequence"}) {
    INFO(per);
    Decision d(router_config(fmt::format("{{k: 2, expert_dropout: 0.7, expert_dropout_per: {}}}", per)));
    const Routing& r = d.run();
    int64_t dropped = 0;
    std::set<std::vector<bool>> masks;
    for (int64_t t = 0; t < 33; ++t) {
      std::vector<bool> mask;
      double sum = 0;
      for (int64_t e = 0; e < 5; ++e) {
        mask.push_back(std::isinf(get(r.logits, t * 5 + e)));
        dropped += mask.back();
        if (mask.back()) CHECK(d.chosen(t).count(static_cast<int32_t>(e)) == 0);
        sum += get(r.probabilities, t * 5 + e);
      }
      CHECK(std::count(mask.begin(), mask.end(), false) >= 2);
      CHECK(sum == Approx(1));  // rescaled
      masks.insert(mask);
    }
    CHECK(dropped > 33);
    CHECK((std::string(per) == "token" ? masks.size() > 3 : masks.size() <= 3));
    d.f.ctx.training = false;
    d.run();
    for (const double z : values(d.routing.logits)) CHECK(std::isfinite(z));
  }
}

TEST_CASE("closed experts get no token until they are opened, or the router refuses") {
  int can = 0;
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    Decision d(router_config(fmt::format("{{kind: {}}}", router.name)), 40, 50);
    d.f.ctx.training = false;
    const auto before = values(d.run().weights);
    const Tensor closed = d.f.ctx.of_i32({5}, {0, 1, 0, 0, 1});
    try {
      d.f.layer->router().close_experts(closed);
    } catch (const UsageError& error) {
      CHECK_THAT(error.what(), Catch::Contains("only be closed for a router whose tokens choose experts"));
      continue;
    }
    ++can;
    for (const uint64_t step : {0, 99}) {  // stages of the run at which a router may choose differently
      d.f.ctx.step = step;
      const Routing& r = d.run();
      for (int64_t t = 0; t < d.batch.tokens(); ++t) {
        CHECK((d.chosen(t).count(1) == 0 && d.chosen(t).count(4) == 0));
      }
      for (const double weight : values(r.weights)) CHECK_FALSE(std::isnan(weight));
    }
    d.f.ctx.step = 0;
    d.f.layer->router().close_experts({});
    CHECK(values(d.run().weights) == before);
  }
  CHECK(can > 12);
}

TEST_CASE("random chooses other experts for every token and step, each equally often") {
  Decision d(router_config("{kind: random, k: 2}"), 40, 50);
  const auto chosen = values(d.run().indices);
  std::vector<int> counts(5);
  for (const double e : chosen) ++counts[as_index(e)];
  for (const int count : counts) CHECK(count == Approx(800).margin(90));
  for (const double w : values(d.routing.weights)) CHECK(w == Approx(0.5));
  d.f.ctx.step = 5;
  const auto later = values(d.run().indices);
  CHECK(later != chosen);
  CHECK(values(d.run().indices) == later);
  // The same tokens as part of a larger batch.
  d.f.ctx.first_token = 100;
  const auto shifted = values(d.run().indices);
  CHECK(std::equal(later.begin() + 200, later.end(), shifted.begin()));
}

TEST_CASE("uniform uses all experts equally") {
  Decision d(router_config("{kind: uniform}"));
  const Routing& r = d.run();
  CHECK(r.indices.dim(1) == 5);
  for (int64_t t = 0; t < d.batch.tokens(); ++t) CHECK(d.chosen(t).size() == 5);
  for (const double w : values(r.weights)) CHECK(w == Approx(0.2));
}

TEST_CASE("noise, jitter and dropout are used only in training, re-drawn at every step, and reproducible") {
  for (const char* router : {"{kind: noisy_topk}", "{kind: topk, jitter: 0.3}", "{kind: topk, input_dropout: 0.3}",
                             "{kind: topk, expert_dropout: 0.5}"}) {
    INFO(router);
    Decision d(router_config(router));
    const auto first = values(d.run().logits);
    CHECK(values(d.run().logits) == first);
    d.f.ctx.step = 1;
    CHECK(values(d.run().logits) != first);
    d.f.ctx.training = false;
    const auto plain = values(d.run().logits);
    d.f.ctx.step = 2;
    CHECK(values(d.run().logits) == plain);
    std::vector<double> product(33 * 5);
    const Tensor expected{product.data(), {33, 5}, DType::f64, Device::cpu};
    linear_forward(d.f.ctx, expected, d.x, d.parameter("weight"));
    check_close("logits at evaluation", d.routing.logits, expected);
  }
}

TEST_CASE("gshard keeps the second expert with a probability of about twice its weight") {
  Decision d(router_config("gshard"), 40, 50);
  const Routing& r = d.run();
  double expected = 0, kept = 0, certain = 0;
  for (int64_t t = 0; t < 2000; ++t) {
    const double second = get(r.extra[1], 2 * t + 1);
    expected += std::min(1.0, 2 * second);
    kept += r.indices.as<int32_t>()[2 * t + 1] >= 0;
    certain += second >= 0.5;
    CHECK(get(r.weights, 2 * t) == get(r.extra[1], 2 * t));
    CHECK(get(r.weights, 2 * t + 1) == (r.indices.as<int32_t>()[2 * t + 1] < 0 ? 0 : second));
  }
  CHECK(certain < 10);
  CHECK(kept == Approx(expected).margin(90));  // four standard deviations
  d.f.ctx.training = false;
  d.run();
  for (int64_t t = 0; t < 2000; ++t) CHECK(d.chosen(t).size() == 2);
}

TEST_CASE("expert choice gives every expert of every group its share") {
  for (const auto& [group, groups, size] :
       {std::tuple{"sequence", 3, 11}, std::tuple{"position", 11, 3}, std::tuple{"batch", 1, 33}}) {
    INFO(group);
    Decision d(router_config(fmt::format("{{kind: expert_choice, capacity: 2, group: {}}}", group)));
    const Routing& r = d.run();
    const int64_t room = (2 * size + 4) / 5;
    CHECK(r.most_per_expert == groups * room);
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t e = 0; e < 5; ++e) {
        double least_taken = INFINITY, most_left = -INFINITY;
        int64_t taken = 0;
        for (int64_t t = 0; t < 33; ++t) {
          const bool mine = std::string(group) == "batch" || (std::string(group) == "sequence" ? t / 11 : t % 11) == g;
          if (!mine) continue;
          const double p = get(r.probabilities, t * 5 + e);
          const bool is_taken = d.chosen(t).count(static_cast<int32_t>(e)) > 0;
          taken += is_taken;
          (is_taken ? least_taken : most_left) = is_taken ? std::min(least_taken, p) : std::max(most_left, p);
        }
        CHECK(taken == room);
        CHECK(least_taken >= most_left);
      }
    }
  }
}

TEST_CASE("sigmoid_bias moves its bias against the load, which changes choices but no weight") {
  Decision d(router_config("{kind: sigmoid_bias, rate: 0.25}"));
  const auto weights = values(d.run().weights);
  std::vector<double> sums(LoadStats::num_sums(5));
  const LoadStats load = LoadStats::view(sums, 5);
  sums[0] = 9, sums[1] = 1, sums[2] = 5, sums[3] = 5, sums[4] = 5;
  d.f.layer->router().after_step(d.f.ctx, load);
  d.f.layer->router().after_step(d.f.ctx, load);
  check_close("bias", d.parameter("bias"), {-0.5, 0.5, 0, 0, 0});
  const double before = d.f.layer->measures().size();
  CHECK(before == 1);
  set(d.parameter("bias"), 4, 100);
  d.run();
  for (int64_t t = 0; t < 33; ++t) {
    CHECK(d.chosen(t).count(4) == 1);
    double scores = 0;
    for (const int32_t e : d.chosen(t)) scores += 1 / (1 + std::exp(-get(d.routing.logits, t * 5 + e)));
    for (int64_t j = 2 * t; j < 2 * t + 2; ++j) {
      const int32_t e = d.routing.indices.as<int32_t>()[j];
      CHECK(get(d.routing.weights, j) == Approx(1 / (1 + std::exp(-get(d.routing.logits, t * 5 + e))) / scores));
    }
  }
}

TEST_CASE("sigmoid_bias with groups chooses within the best groups") {
  Decision d(router_config("{kind: sigmoid_bias, groups: 3, group_limit: 2, k: 3}", 9));
  const Routing& r = d.run();
  for (int64_t t = 0; t < 33; ++t) {
    std::vector<std::pair<double, int64_t>> groups;
    for (int64_t g = 0; g < 3; ++g) {
      std::vector<double> s;
      for (int64_t e = 3 * g; e < 3 * g + 3; ++e) s.push_back(1 / (1 + std::exp(-get(r.logits, t * 9 + e))));
      std::sort(s.begin(), s.end());
      groups.emplace_back(-(s[2] + s[1]), g);
    }
    std::sort(groups.begin(), groups.end());
    for (const int32_t e : d.chosen(t)) CHECK(e / 3 != groups[2].second);
  }
  CHECK_THROWS_WITH(LayerFixture(router_config("{kind: sigmoid_bias, groups: 2}")), Catch::Contains("groups"));
  CHECK_THROWS_WITH(LayerFixture(router_config("{kind: sigmoid_bias, groups: 3, k: 4}", 9)), Catch::Contains("k"));
}

TEST_CASE("cosine logits are cosines over the temperature, for any norms") {
  Decision d(router_config("cosine"));
  const auto before = values(d.run().logits);
  for (const double z : before) CHECK(std::abs(z) <= 1 / 0.3 + 1e-9);
  for (int64_t i = 0; i < d.x.size(); ++i) set(d.x, i, 100 * get(d.x, i));
  check_close("logits of larger tokens", d.run().logits, before, {1e-4, 1e-4});
  const Tensor temperature = d.parameter("temperature");
  CHECK(get(temperature, 0) == Approx(0.3));
  set(temperature, 0, -5);  // stays at its lower bound
  for (const double z : values(d.run().logits)) CHECK(std::abs(z) <= 1e4 + 1);
}

TEST_CASE("random_frozen is never trained, and its k grows from half of the experts to all") {
  Decision d(router_config("random_frozen", 8));
  for (const Differentiable& p : parameters_of(d.f.store)) CHECK(p.name.find(".router.") == std::string::npos);
  d.run();
  CHECK(d.chosen(0).size() == 4);
  d.f.ctx.step = 99;
  d.run();
  CHECK(d.chosen(0).size() == 8);
}

TEST_CASE("sinkhorn distributes tokens in training that all prefer one expert") {
  Decision d(router_config("{kind: sinkhorn, k: 1, softmax: all, renormalise: false, iterations: 50}"), 2, 40);
  const Tensor weight = d.parameter("weight");
  for (int64_t i = 0; i < kModelWidth; ++i) set(weight, 3 * kModelWidth + i, 0);
  for (int64_t i = 0; i < d.x.size(); i += kModelWidth) set(d.x, i, 3);
  set(weight, 3 * kModelWidth, 5);  // expert 3 is far ahead of the others
  const auto most_loaded = [&] {
    d.run();
    std::vector<int> counts(5);
    for (int64_t t = 0; t < 80; ++t) ++counts[as_index(d.routing.indices.as<int32_t>()[t])];
    return *std::max_element(counts.begin(), counts.end());
  };
  CHECK(most_loaded() <= 32);  // 16 would be perfect balance
  d.f.ctx.training = false;
  CHECK(most_loaded() > 70);
}

TEST_CASE("hash depends only on the token id and the layer's seed, and distributes ids evenly") {
  Decision d(router_config("{kind: hash, k: 2}"), 40, 50);
  const Tensor ids = d.f.ctx.output({2000}, DType::i32);
  std::iota(ids.as<int32_t>(), ids.as<int32_t>() + 2000, 0);
  d.batch.ids = ids;
  const auto chosen = values(d.run().indices);
  std::vector<int> counts(5);
  for (const double e : chosen) ++counts[as_index(e)];
  for (const int count : counts) CHECK(count == Approx(800).margin(90));
  d.f.ctx.seed = 77, d.f.ctx.step = 5;
  CHECK(values(d.run().indices) == chosen);
  Decision other(router_config("{kind: hash, k: 2, seed: 1}"), 40, 50);
  other.batch.ids = ids;
  CHECK(values(other.run().indices) != chosen);
}

TEST_CASE("hierarchical weights are the product of both levels") {
  Decision d(router_config("{kind: hierarchical, groups: 2, chosen_groups: 1, experts_per_group: 2}"));
  const Routing& r = d.run();
  for (int64_t t = 0; t < 33; ++t) {
    const double a0 = get(r.extra[0], 2 * t), a1 = get(r.extra[0], 2 * t + 1);
    const int64_t group = a1 > a0, begin = group == 0 ? 0 : 2, end = group == 0 ? 2 : 5;
    const double outer = 1 / (1 + std::exp(-std::abs(a1 - a0)));
    double sum = 0;
    for (int64_t e = begin; e < end; ++e) sum += std::exp(get(r.extra[1], 5 * t + e));
    for (int64_t j = 2 * t; j < 2 * t + 2; ++j) {
      const int32_t e = r.indices.as<int32_t>()[j];
      CHECK((e >= begin && e < end));
      CHECK(get(r.weights, j) == Approx(outer * std::exp(get(r.extra[1], 5 * t + e)) / sum));
    }
  }
  CHECK_THROWS_AS(LayerFixture(router_config("{kind: hierarchical, groups: 3}")), UsageError);
  CHECK_THROWS_AS(LayerFixture(router_config("{kind: hierarchical, softmax: chosen}")), UsageError);
}

TEST_CASE("prompt routes by domain; additional domains share the last vector") {
  Decision d(router_config("{kind: prompt, domains: 3}"));
  const auto none = values(d.run().logits);
  const auto logits_of = [&](const std::vector<int32_t>& domains) {
    d.batch.domains = d.f.ctx.of_i32({3}, domains);
    return values(d.run().logits);
  };
  CHECK(logits_of({0, 0, 0}) == none);
  const auto mixed = logits_of({0, 2, 9});
  CHECK(std::equal(none.begin(), none.begin() + 55, mixed.begin()));
  CHECK_FALSE(std::equal(none.begin() + 55, none.end(), mixed.begin() + 55));
  CHECK(logits_of({0, 9, 2}) == mixed);
}

TEST_CASE("the logits of mlp are two layers with GELU between them") {
  Decision d(router_config("{kind: mlp, hidden: 7, k: 2}"));
  const Routing& r = d.run();
  const Tensor inner = d.parameter("inner.weight"), outer = d.parameter("outer.weight");
  REQUIRE(inner.shape == Shape{7, kModelWidth});
  REQUIRE(outer.shape == Shape{5, 7});
  for (int64_t t = 0; t < d.batch.tokens(); ++t) {
    for (int64_t e = 0; e < 5; ++e) {
      double logit = 0;
      for (int64_t h = 0; h < 7; ++h) {
        double z = 0;
        for (int64_t i = 0; i < kModelWidth; ++i) z += get(inner, h * kModelWidth + i) * get(d.x, t * kModelWidth + i);
        // The form by tanh, as everywhere (Hendrycks and Gimpel, 2016).
        const double gelu = 0.5 * z * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
        logit += get(outer, e * 7 + h) * gelu;
      }
      CHECK(get(r.logits, t * 5 + e) == Approx(logit).margin(1e-5));
    }
  }
  CHECK(LayerFixture(router_config("{kind: mlp, k: 2}")).store.parameters().size() ==
        LayerFixture(router_config("{kind: topk, k: 2}")).store.parameters().size() + 1);
}

TEST_CASE("the load loss requires noisy_topk") {
  CHECK_THROWS_WITH(LayerFixture(moe_config("{experts: 5, balance: [load]}")),
                    Catch::Contains("noisy_topk") && Catch::Contains("topk"));
}

}  // namespace moe::test
