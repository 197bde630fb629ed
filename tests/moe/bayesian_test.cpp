// The router `bayesian`: what it draws in training, what it takes at evaluation, and its uncertainty.
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "tests/moe/router_decision.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

namespace {

// The mean deviation of token t's chosen experts.
double uncertainty(const Decision& d, int64_t t, const std::vector<double>& deviations) {
  double sum = 0;
  const auto chosen = d.chosen(t);
  for (const int32_t e : chosen) sum += deviations[as_index(t * 5 + e)];
  return sum / static_cast<double>(chosen.size());
}

double mean(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double x : numbers) sum += x;
  return sum / static_cast<double>(numbers.size());
}

std::optional<double> figure(const LayerFixture& f, const std::string& wanted) {
  std::optional<double> found;
  f.layer->for_each_measure([&](const std::string& name, const std::optional<double>& value) {
    if (name == wanted) found = value;
  });
  return found;
}

}  // namespace

TEST_CASE("a variational router samples logits of its weights' distribution, and evaluation takes the means") {
  Decision d(router_config("{kind: bayesian, deviation: 0.3}"), 50, 60);
  const Tensor weight = d.parameter("weight"), rho = d.parameter("log_deviation.weight");
  set(rho, 3, 0.1);
  std::vector<double> means, deviations;
  for (int64_t t = 0; t < 3000; ++t) {
    for (int64_t e = 0; e < 5; ++e) {
      double logit = 0, variance = 0;
      for (int64_t i = 0; i < kModelWidth; ++i) {
        const double x = get(d.x, t * kModelWidth + i), s = std::exp(get(rho, e * kModelWidth + i));
        logit += x * get(weight, e * kModelWidth + i);
        variance += x * x * s * s;
      }
      means.push_back(logit), deviations.push_back(std::sqrt(variance));
    }
  }
  const auto first = values(d.run().logits);
  CHECK(values(d.run().logits) == first);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < means.size(); ++i) {
    const double e = (first[i] - means[i]) / deviations[i];
    sum += e / 15'000, squares += e * e / 15'000;
  }
  CHECK(sum == Approx(0).margin(0.04));
  CHECK(squares == Approx(1).margin(0.06));
  for (int64_t t = 0; t < 3000; t += 100) CHECK(get(d.routing.uncertainty, t) == Approx(uncertainty(d, t, deviations)));
  d.f.ctx.step = 1;
  CHECK(values(d.run().logits) != first);
  d.f.ctx.training = false;
  check_close("logits at evaluation", d.run().logits, means);
  for (int64_t t = 0; t < 3000; t += 100) CHECK(get(d.routing.uncertainty, t) == Approx(uncertainty(d, t, deviations)));
}

TEST_CASE("a token takes one matrix of an ensemble in training, and the mean of all at evaluation") {
  for (const char* draw : {"token", "sequence"}) {
    INFO(draw);
    Decision d(router_config(fmt::format("{{kind: bayesian, posterior: ensemble, heads: 3, draw: {}}}", draw)), 40, 10);
    const Tensor heads = d.parameter("heads.weight");
    REQUIRE(heads.shape == Shape{5, 3 * kModelWidth});
    const auto logit = [&](int64_t t, int64_t e, int64_t head) {
      double z = 0;
      for (int64_t i = 0; i < kModelWidth; ++i) {
        z += get(d.x, t * kModelWidth + i) * get(heads, (e * 3 + head) * kModelWidth + i);
      }
      return z;
    };
    const Routing& r = d.run();
    std::vector<int> counts(3);
    std::vector<int64_t> taken;
    for (int64_t t = 0; t < 400; ++t) {
      int64_t found = -1;
      for (int64_t h = 0; h < 3; ++h) {
        bool same = true;
        for (int64_t e = 0; e < 5; ++e) same = same && std::abs(get(r.logits, t * 5 + e) - logit(t, e, h)) < 1e-9;
        if (same) found = h;
      }
      REQUIRE(found >= 0);
      ++counts[as_index(found)];
      taken.push_back(found);
      if (draw == std::string("sequence")) CHECK(found == taken[as_index(t / 10 * 10)]);
    }
    for (const int count : counts) CHECK(count > 40);
    d.f.ctx.training = false;
    d.run();
    for (int64_t t = 0; t < 400; t += 20) {
      std::vector<double> deviations(as_index(400 * 5));
      for (int64_t e = 0; e < 5; ++e) {
        const std::vector<double> z{logit(t, e, 0), logit(t, e, 1), logit(t, e, 2)};
        CHECK(get(d.routing.logits, t * 5 + e) == Approx(mean(z)));
        double squares = 0;
        for (const double one : z) squares += (one - mean(z)) * (one - mean(z)) / 3;
        deviations[as_index(t * 5 + e)] = std::sqrt(squares);
      }
      CHECK(get(d.routing.uncertainty, t) == Approx(uncertainty(d, t, deviations)));
    }
  }
}

TEST_CASE("the uncertainty is reported as a mean over tokens, with the least and the most certain expert") {
  for (const char* posterior : {"variational", "ensemble"}) {
    INFO(posterior);
    LayerFixture f(router_config(fmt::format("{{kind: bayesian, posterior: {}}}", posterior)));
    CHECK(f.layer->traits().has_uncertainty);
    const TokenBatch batch = make_batch(f.ctx, 4, 5);
    f.forward(batch, f.ctx.normal({20, kModelWidth}, 1));
    const double all = figure(f, "router_uncertainty").value(), least = figure(f, "least_expert_uncertainty").value(),
                 largest = figure(f, "largest_expert_uncertainty").value();
    CHECK(all > 0);
    CHECK(least < all);
    CHECK(largest > all);
    CHECK(figure(f, "posterior_kl").has_value() == (posterior == std::string("variational")));
  }
}

TEST_CASE("the divergence from the prior is that of all weights over the run's training tokens") {
  LayerFixture f(router_config("{kind: bayesian, deviation: 0.2, prior: 0.5, kl: 3}"));
  const TokenBatch batch = make_batch(f.ctx, 4, 5);
  f.forward(batch, f.ctx.normal({20, kModelWidth}, 1));
  double divergence = 0;
  for (const Parameter& p : f.store.parameters()) {
    if (p.name != "layer.router.weight") continue;
    for (const double mean : values(p.value)) {
      divergence += std::log(0.5 / 0.2) + (0.2 * 0.2 + mean * mean) / (2 * 0.25) - 0.5;
    }
  }
  CHECK(figure(f, "posterior_kl").value() == Approx(divergence / (100 * 1000)));  // the fixture's run
  CHECK(f.layer->auxiliary_loss() == Approx(3 * divergence / (100 * 1000)));
}

TEST_CASE("the capacity complexity grows with a Bayesian router's uncertainty, and refuses routers without it") {
  LayerFixture f(
      moe_config("{experts: 5, balance: [], router: {kind: bayesian, deviation: 0.5}, capacity: {kind: complexity, by: "
                 "uncertainty, smallest: 1, largest: 3, decay: 0}}"));
  const TokenBatch batch = make_batch(f.ctx, 4, 5);
  const Tensor x = f.ctx.normal({20, kModelWidth}, 1);
  f.forward(batch, x);
  const double u = figure(f, "router_uncertainty").value();
  CHECK(figure(f, "capacity").value() == 3);
  f.layer->after_step(f.ctx);
  f.ctx.step = 1;
  f.forward(batch, x);
  CHECK(figure(f, "capacity").value() == Approx(3 - 2 / std::sqrt(1 + std::numbers::pi * u * u / 8)));
  CHECK_THROWS_WITH(LayerFixture(moe_config("{experts: 5, capacity: {kind: complexity, by: uncertainty}}")),
                    Catch::Contains("topk") && Catch::Contains("bayesian"));
}

}  // namespace moe::test
